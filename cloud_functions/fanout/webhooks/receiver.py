"""One receiver: a connection to a checked address, and one request at a time with a time limit for all of it.

Redirects are not followed, and only the beginning of a response is read. The connection stays open between requests.
"""

from __future__ import annotations

import functools
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, NamedTuple, Self
from urllib.parse import SplitResult, urlsplit

from cloud_functions.fanout.webhooks.addresses import AddressPolicy, Resolve, resolve

TIMEOUT_S: Final = 15.0
_MAX_RESPONSE_BYTES: Final = 16 * 1024
_USER_AGENT: Final = "vedette-webhooks/1"
_GONE: Final = 410
_LOST: Final = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
# OpenSSL's verification results (x509_vfy.h). The ssl module has no names for them.
_CERTIFICATE_CODES: Final = {
    9: "certificate-expired",  # or not valid yet
    10: "certificate-expired",
    18: "certificate-untrusted",
    19: "certificate-untrusted",
    20: "certificate-untrusted",
    21: "certificate-untrusted",
    62: "certificate-name",
    64: "certificate-name",
}


class Response(NamedTuple):
    """What came of a request."""

    status: int | None
    """None if no response arrived."""
    error: str | None
    """A short code; None for a success."""
    retry_after_s: float | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the receiver says that it wants no further deliveries."""
        return self.status == _GONE


class _RefusedError(Exception):
    """The address may not be connected to; the text is the code."""


class _CheckedConnection(http.client.HTTPConnection):
    """A connection to the first allowed address of a host, with TLS for https."""

    def __init__(
        self,
        url: SplitResult,
        *,
        policy: AddressPolicy,
        resolve_host: Resolve,
        timeout_s: float,
        tls: Callable[[], ssl.SSLContext],
    ) -> None:
        self._is_https = url.scheme == "https"
        super().__init__(str(url.hostname), url.port or (443 if self._is_https else 80), timeout=timeout_s)
        self._policy = policy
        self._resolve = resolve_host
        self._tls = tls
        self.deadline_s = 0.0
        """When the request ends, on the monotonic clock."""

    def connect(self) -> None:
        address = self._checked_address()
        remaining_s = self.deadline_s - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError
        self.sock = socket.create_connection((address, self.port), timeout=remaining_s)
        # Headers and body are two segments. Without this, the second one waits 40 ms for an acknowledgement.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._is_https:
            # The handshake follows in a second step, so that the time limit can end it.
            secured = self._tls().wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock = secured
            secured.do_handshake()

    def _checked_address(self) -> str:
        try:
            addresses = self._resolve(self.host, self.port)
        except (OSError, UnicodeError):
            raise _RefusedError("name-not-resolved") from None
        allowed = [address for address in addresses if self._policy.allows(address)]
        if not allowed:
            raise _RefusedError("address-not-allowed")
        if not self._is_https and not self._policy.allows_private(allowed[0]):
            raise _RefusedError("https-required")
        return allowed[0]


class Receiver:
    """Sends requests to one URL. Use it in a ``with`` statement, from one thread."""

    def __init__(
        self,
        url: str,
        *,
        policy: AddressPolicy,
        timeout_s: float = TIMEOUT_S,
        resolve_host: Resolve = resolve,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """``tls`` returns the authorities that are trusted; by default, those of the system."""
        parts = urlsplit(url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout_s = timeout_s
        self._make: Callable[[], _CheckedConnection] = lambda: _CheckedConnection(
            parts, policy=policy, resolve_host=resolve_host, timeout_s=timeout_s, tls=tls or _tls_context
        )
        self._connection: _CheckedConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._close()

    def post(self, body: bytes, headers: Mapping[str, str]) -> Response:
        """Send one request and return what came of it. Never raises for what the receiver does."""
        is_reused = self._connection is not None
        try:
            return self._send(body, headers)
        except _LOST:
            self._close()
            if not is_reused:
                return Response(None, "connection-lost")
        # The receiver closed a connection that was idle: the request goes to a new one.
        try:
            return self._send(body, headers)
        except _LOST:
            self._close()
            return Response(None, "connection-lost")

    def _send(self, body: bytes, headers: Mapping[str, str]) -> Response:
        connection = self._connection = self._connection or self._make()
        connection.deadline_s = time.monotonic() + self._timeout_s
        # The socket's timeout is for each read. A response that comes byte by byte is ended by this.
        timer = threading.Timer(self._timeout_s, _shut_down, [connection])
        timer.daemon = True
        timer.start()
        try:
            connection.request("POST", self._path, body, {"User-Agent": _USER_AGENT, **headers})
            response = connection.getresponse()
            if not _is_read(response):
                self._close()
        except _RefusedError as error:
            self._close()
            return Response(None, str(error))
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() < connection.deadline_s:
                if isinstance(error, _LOST):
                    raise
                self._close()
                return Response(None, _code(error))
            self._close()
            return Response(None, "timeout")
        finally:
            timer.cancel()
        return Response(response.status, _status_error(response.status), _seconds(response.getheader("Retry-After")))

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@functools.cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _is_read(response: http.client.HTTPResponse) -> bool:
    """Read the body if it is short; return whether the connection can be used again. The status alone counts.

    Into a buffer, because ``read`` takes a chunk of -1 bytes for everything until the end, whatever its limit.
    """
    buffer = bytearray(_MAX_RESPONSE_BYTES)
    try:
        length = response.readinto(buffer)
    except (OSError, http.client.HTTPException):
        return False
    return length < _MAX_RESPONSE_BYTES and response.isclosed() and not response.will_close


def _shut_down(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _status_error(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    return "redirect" if 300 <= status < 400 else "status"


def _code(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CERTIFICATE_CODES.get(error.verify_code, "tls")
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "connection-refused"
    return "connection-failed" if isinstance(error, OSError) else "invalid-response"


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds of a ``Retry-After``, which is a number or a date; None for anything else."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max((aware - datetime.now(UTC)).total_seconds(), 0.0)
