"""``GET /health``. Imports no other resource."""
