"""Packaging for AWS, the systemd unit, ``vedette-admin`` and the one-machine stack in ``local/``. May import all."""
