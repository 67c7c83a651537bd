"""Access control: permissions, protected plates, the check of Host and Origin. Imports ``http``, but no resource."""
