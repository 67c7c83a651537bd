"""Builders, harnesses and servers that tests share. Imports no test."""
