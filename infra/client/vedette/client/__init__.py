"""A client of Vedette's HTTP API.

    from vedette.client import Client

    with Client("http://localhost:8069", username="ana", password="…") as client:
        for event in client.events(event_type="anpr", start_time="2026-11-20"):
            client.download_snapshot(event["id"], "plate.jpg")

``client.py`` has the methods, ``session.py`` log-in, retries and errors of a request, ``types.py`` the types of
responses, which ``make schemas`` generates from the OpenAPI document. Needs httpx: ``pip install 'vedette[client]'``.
"""

from vedette.client.client import Client
from vedette.client.errors import (
    ApiError,
    AuthenticationError,
    ConflictError,
    ConnectionFailedError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    TooManyRequestsError,
    UnavailableError,
    VedetteClientError,
)
from vedette.client.session import ApiKey, Login, Retries

__all__ = [
    "ApiError",
    "ApiKey",
    "AuthenticationError",
    "Client",
    "ConflictError",
    "ConnectionFailedError",
    "InvalidRequestError",
    "Login",
    "NotFoundError",
    "PermissionDeniedError",
    "Retries",
    "TooManyRequestsError",
    "UnavailableError",
    "VedetteClientError",
]
