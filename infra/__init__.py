"""Packaging for AWS, the systemd unit, and the one-machine stack in ``local/``. May import every package."""
