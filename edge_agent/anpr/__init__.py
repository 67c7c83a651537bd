"""Number plates: find them, read them, agree on one text a passage."""
