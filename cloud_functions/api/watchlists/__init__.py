"""Watch-lists and their patterns. Imports no other resource."""
