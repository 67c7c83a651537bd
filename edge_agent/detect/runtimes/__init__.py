"""Inference runtimes. To add one: a module in this folder and a row in ``table.RUNTIMES``. May import ``types``."""
