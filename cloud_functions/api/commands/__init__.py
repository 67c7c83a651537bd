"""Commands to devices: asks a device and waits for its reply. Other resources import ``ask``."""
