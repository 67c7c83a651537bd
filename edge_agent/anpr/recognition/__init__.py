"""What a plate's crop says: rectification, the readers, and the fusion of their characters."""
