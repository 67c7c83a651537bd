"""SQL of cameras, their groups and health, and the keys of their passwords."""
