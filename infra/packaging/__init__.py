"""Builds the artefact of each Lambda function: its code and libraries, compiled. May import ``shared``."""
