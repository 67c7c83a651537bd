"""Files that are made from the OpenAPI document: the types of the Python client, and the Postman collection.

``python -m infra.api_artifacts`` writes them, as ``make schemas`` does; a test compares them with the document.
"""
