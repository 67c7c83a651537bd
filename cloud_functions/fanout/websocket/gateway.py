"""Sends to WebSocket connections through the management API of API Gateway (``@connections``).

Under uvicorn the API has the same interface on a loopback port, so the same client is used.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Final, Protocol

from cloud_functions.aws import AwsClients, aws_error

log = logging.getLogger(__name__)

MAX_PARALLEL: Final = 16
"""Requests at the same time."""
_TIMEOUT_S: Final = 2.0
_GONE: Final = 410
_THROTTLED: Final = 429


class Outcome(StrEnum):
    """What came of sending to a connection."""

    SENT = "sent"
    REFUSED = "refused"
    """For now: its client reads too slowly, or the gateway did not answer."""
    GONE = "gone"
    """There is no such connection any more."""


class ConnectionGateway(Protocol):
    """Sends to connections and closes them. Thread-safe."""

    def send(self, connection_id: str, text: str) -> Outcome:
        """Send one message."""
        ...

    def close(self, connection_id: str) -> None:
        """Close a connection; do nothing if there is none or it cannot be closed."""
        ...


class ApiGateway:
    """The management API at ``endpoint_url``: ``https://ID.execute-api.REGION.amazonaws.com/STAGE``."""

    def __init__(self, *, endpoint_url: str) -> None:
        self._endpoint_url = endpoint_url
        # Without retries: the connection is sent to again later, and others do not wait for it.
        self._aws = AwsClients(connect_timeout_s=_TIMEOUT_S, read_timeout_s=_TIMEOUT_S, retries=0)

    def send(self, connection_id: str, text: str) -> Outcome:
        client = self._aws.client("apigatewaymanagementapi", endpoint_url=self._endpoint_url)
        try:
            client.post_to_connection(ConnectionId=connection_id, Data=text.encode("utf-8", "replace"))
        except Exception as error:  # boto3 raises many types
            return _outcome(error)
        return Outcome.SENT

    def close(self, connection_id: str) -> None:
        client = self._aws.client("apigatewaymanagementapi", endpoint_url=self._endpoint_url)
        try:
            client.delete_connection(ConnectionId=connection_id)
        except Exception as error:
            if _outcome(error) is not Outcome.GONE:
                log.warning("%s", aws_error(error, doing="closing a WebSocket connection"))


def _outcome(error: Exception) -> Outcome:
    from botocore.exceptions import ClientError

    status = (
        error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(error, ClientError) else None
    )
    if status == _GONE:
        return Outcome.GONE
    if status != _THROTTLED:
        log.warning("%s", aws_error(error, doing="sending to a WebSocket connection"))
    return Outcome.REFUSED
