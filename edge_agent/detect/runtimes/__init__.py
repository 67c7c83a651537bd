"""Inference runtimes. To add one: a file here and a row in ``table.RUNTIMES``. May import ``types``."""
