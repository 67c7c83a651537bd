"""The dashboard: ``/`` in a browser, and the files in ``static/``. Imports no other resource."""
