"""Commands to devices and their replies."""
