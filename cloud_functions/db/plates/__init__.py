"""Plate reads in the database: lists, similarity search, protected reads, conversion."""
