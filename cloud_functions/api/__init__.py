"""The HTTP API. ``handler`` (Lambda) and uvicorn serve the app that ``wiring`` builds; one folder per resource."""
