"""AWS clients, the errors they raise, and the limits of batch requests.

Importing boto3 and making a client take longer than most invocations, so a client is made on first use, or ahead of the
first request where that costs none. boto3 itself
reads ``AWS_ENDPOINT_URL`` and ``AWS_ENDPOINT_URL_<SERVICE>``, which direct clients to a local substitute.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote_plus, urlsplit

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

MAX_BATCH_ENTRIES: Final = 10
"""Entries that SNS ``PublishBatch`` and SQS ``SendMessageBatch`` accept in one request."""
MAX_BATCH_BYTES: Final = 256 * 1024
"""Size limit of such a request, all entries together."""

_LEFT: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~% ")
"""Characters that ``quote_plus`` leaves in a form, and the two with an encoding of their own."""

Item = TypeVar("Item")


class AwsClients:
    """Makes and caches one client for each service. Thread-safe."""

    def __init__(
        self,
        *,
        region: str | None = None,
        connect_timeout_s: float = 2.0,
        read_timeout_s: float = 5.0,
        retries: int = 2,
    ) -> None:
        """``retries``: how often a request is repeated that was throttled or got no answer."""
        self._region = region
        self._retries = retries
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str | None], Any] = {}

    def client(self, service: str, *, endpoint_url: str | None = None) -> Any:
        """Return the client of ``service``; make it on first use."""
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
            retries={"mode": "standard", "max_attempts": self._retries},
            max_pool_connections=16,
        )
        if service == "s3":
            # Without these, botocore presigns URLs with Signature Version 2 in some regions, and for the global host in
            # all. A new bucket answers there with a redirect to its regional host, for which the signature is wrong.
            regional = {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
            config = config.merge(Config(signature_version="s3v4", s3=regional))
        if service == "sns":
            # The parameters are made here and not by users; checking them took a fifth of each request.
            config = config.merge(Config(parameter_validation=False))
        client = boto3.client(service, region_name=self._region, endpoint_url=endpoint_url, config=config)
        if service == "sns":
            client.meta.events.register("before-call.sns.PublishBatch", encode_form)
        if service == "s3" and not _is_aws(client.meta.endpoint_url):
            # Other stores are rarely reachable as BUCKET.HOST, which botocore uses for every host with a name.
            config = config.merge(Config(s3={"addressing_style": "path"}))
            client = boto3.client(service, region_name=self._region, endpoint_url=endpoint_url, config=config)
        return client


def encode_form(params: dict[str, Any], **_: object) -> None:
    """Encode the form of a request, as botocore does it twice and slower: once to sign it, once to send it.

    A handler of botocore's event ``before-call``. It returns nothing, so the request is sent.
    """
    form = params["body"]
    if isinstance(form, dict):
        params["body"] = "&".join([f"{name}={_form_value(value)}" for name, value in form.items()]).encode("ascii")


def _form_value(value: object) -> str:
    """Return what ``quote_plus`` returns. A document has many characters to encode, but few different ones."""
    if not isinstance(value, str):
        return quote_plus(value if isinstance(value, bytes) else str(value))
    if not value.isascii():
        return quote_plus(value)
    value = value.replace("%", "%25")  # first, because the others add it
    for character in set(value) - _LEFT:
        value = value.replace(character, f"%{ord(character):02X}")
    return value.replace(" ", "+")


def starts_ahead_of_requests(variables: Mapping[str, str]) -> bool:
    """Return whether Lambda imports a handler ahead of the requests: for a snapshot, or as provisioned concurrency.

    What is made at import then costs no request. Everywhere else it would lengthen each cold start.
    """
    return variables.get("AWS_LAMBDA_INITIALIZATION_TYPE") in {"snap-start", "provisioned-concurrency"}


def _is_aws(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))


def aws_error(error: Exception, *, doing: str) -> VedetteError:
    """Return a boto3 error as TransientError (retry) or PermanentError; ``doing`` completes the phrase "while …"."""
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError):
        return TransientError(f"AWS did not respond while {doing}: {type(error).__name__}")
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _RETRY_LATER or status >= _SERVER_ERROR:
        return TransientError(f"AWS rejected a request for now while {doing}: {code}")
    return PermanentError(f"AWS rejected a request while {doing}: {code}")


def entry_batches(items: Iterable[Item], size_bytes: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Split items into batches that fit into one SNS or SQS batch request; ``size_bytes`` returns an entry's size."""
    batch: list[Item] = []
    batch_bytes = 0
    for item in items:
        item_bytes = size_bytes(item)
        if batch and (len(batch) == MAX_BATCH_ENTRIES or batch_bytes + item_bytes > MAX_BATCH_BYTES):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(item)
        batch_bytes += item_bytes
    if batch:
        yield batch
