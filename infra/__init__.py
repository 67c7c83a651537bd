"""What runs Vedette: the AWS pieces and, in ``local/``, everything on one machine."""
