"""``vedette-local demo``: this machine as a device of the stack. May import all of ``infra.local`` but ``cli``."""
