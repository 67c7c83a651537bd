"""The contracts that both halves of Vedette speak. Standard library and pydantic only."""

__version__ = "0.1.0"
