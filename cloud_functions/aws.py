"""AWS clients, made when first needed: importing boto3 and making a client cost more than most invocations.

``AWS_ENDPOINT_URL`` and its kin point every client at a local stand-in; boto3 reads them by itself.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from shared.errors import PermanentError, TransientError, VedetteError

_RETRY_LATER: Final = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "KMSThrottling",
        "KMSThrottlingException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttled",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_SERVER_ERROR: Final = 500


class AwsClients:
    """Makes one client a service and keeps it; safe to call from several threads."""

    def __init__(
        self, *, region: str | None = None, connect_timeout_s: float = 2.0, read_timeout_s: float = 5.0
    ) -> None:
        self._region = region
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str | None], Any] = {}

    def client(self, service: str, *, endpoint_url: str | None = None) -> Any:
        """Return the client of ``service``, made on first use."""
        with self._lock:
            key = (service, endpoint_url)
            if key not in self._clients:
                self._clients[key] = self._make(service, endpoint_url)
            return self._clients[key]

    def _make(self, service: str, endpoint_url: str | None) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(
            connect_timeout=self._connect_timeout_s,
            read_timeout=self._read_timeout_s,
            retries={"mode": "standard", "max_attempts": 2},
            max_pool_connections=16,
        )
        return boto3.client(
            service,
            region_name=self._region,
            endpoint_url=endpoint_url,
            config=config,
        )


def aws_error(error: Exception, *, doing: str) -> VedetteError:
    """Sort what boto3 raised by what the caller does about it; ``doing`` completes "while …"."""
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError):
        return TransientError(f"AWS did not answer while {doing}: {type(error).__name__}")
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _RETRY_LATER or status >= _SERVER_ERROR:
        return TransientError(f"AWS refused for now while {doing}: {code}")
    return PermanentError(f"AWS refused while {doing}: {code}")
