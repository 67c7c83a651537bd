"""``vedette-local demo``: this machine as a device of the stack."""
