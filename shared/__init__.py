"""The contract between the edge agent and the cloud functions. May import the standard library and pydantic only."""

__version__ = "0.1.0"
