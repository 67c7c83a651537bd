"""Builds what is uploaded for each Lambda function: its own code and libraries, compiled, and nothing else."""
