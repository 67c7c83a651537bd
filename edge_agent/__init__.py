"""The agent that runs on a device with cameras. May import ``shared``, and never ``cloud_functions`` or ``infra``."""
