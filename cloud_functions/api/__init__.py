"""The HTTP API: ``handler`` (Lambda) and ``server`` (uvicorn) serve the same ``app``; one folder for each resource."""
