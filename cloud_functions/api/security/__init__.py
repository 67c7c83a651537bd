"""Who may do what: permissions, protected plates, the check of Host and Origin."""
