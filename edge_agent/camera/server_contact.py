"""Contacts the server of a camera's stream: whether its name resolves, its port is open, and it speaks the protocol.

FFmpeg reports the first two as one error, "I/O error". This distinguishes them, and needs no user name or password.
"""

from __future__ import annotations

import errno
import socket
import ssl
import threading
from typing import Any, Final
from urllib.parse import urlsplit

from edge_agent.camera.live import ConnectionLostError
from shared.clock import Clock
from shared.stream_address import parse_address

PORTS: Final = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""Schemes of network cameras and their default ports."""
NO_ROUTE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})
"""Errors of the operating system for a host that cannot be reached."""
_WITH_TLS: Final = frozenset({"rtsps", "https"})
_MAX_STATUS_LINE: Final = 1024


def contact_server(text: str, *, timeout_s: float, clock: Clock, with_request: bool) -> None:
    """Connect to the server of the address ``text``; with ``with_request`` also wait for any response of its protocol.

    Raises ConnectionLostError with the cause, and ConfigurationError if the address is invalid.
    """
    deadline_s = clock.monotonic() + timeout_s
    parts = urlsplit(parse_address(text).url)
    host, scheme = parts.hostname or "", parts.scheme.lower()
    port = parts.port or PORTS[scheme]
    addresses = _resolved(host, port, timeout_s)
    with _connected(addresses, f"{host}:{port}", timeout_s=deadline_s - clock.monotonic()) as connection:
        if with_request:
            connection.settimeout(max(deadline_s - clock.monotonic(), 0.1))
            shown_host = f"[{host}]" if ":" in host else host
            _require_response(connection, scheme, host=host, target=f"{scheme}://{shown_host}:{port}{parts.path}")


def _resolved(host: str, port: int, timeout_s: float) -> list[Any]:
    """Return the addresses of a host. The resolver takes no timeout, so it runs on a thread of its own."""
    found: list[Any] = []
    errors: list[OSError] = []

    def resolve() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            errors.append(error if isinstance(error, OSError) else OSError(str(error)))

    thread = threading.Thread(target=resolve, name="camera resolver", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if errors or not found:
        raise ConnectionLostError(
            f"the host name {host} cannot be resolved; check the address and the network", cause="host_unreachable"
        )
    return found


def _connected(addresses: list[Any], shown: str, *, timeout_s: float) -> socket.socket:
    """Return a connection to the first address that accepts one; raise ConnectionLostError for the last error."""
    lost = ConnectionLostError(f"{shown} did not answer", cause="timed_out")
    for family, kind, protocol, _, address in addresses:
        connection = socket.socket(family, kind, protocol)
        connection.settimeout(max(timeout_s, 0.1))
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            lost = _connect_error(error, shown, timeout_s)
        else:
            return connection
    raise lost


def _connect_error(error: OSError, shown: str, timeout_s: float) -> ConnectionLostError:
    if isinstance(error, TimeoutError):
        return ConnectionLostError(f"{shown} did not answer within {timeout_s:.1f} s", cause="timed_out")
    if isinstance(error, ConnectionRefusedError):
        return ConnectionLostError(f"{shown} refused the connection; check host and port", cause="connection_refused")
    if error.errno in NO_ROUTE:
        reason = f"{shown} cannot be reached ({error.strerror}); check the address and the network"
        return ConnectionLostError(reason, cause="host_unreachable")
    return ConnectionLostError(f"{shown} cannot be contacted ({error.strerror})")


def _require_response(connection: socket.socket, scheme: str, *, host: str, target: str) -> None:
    """Send a request that needs no login, and require a status line, whichever the status is."""
    if scheme.startswith("rtsp"):
        protocol, request = "RTSP", f"OPTIONS {target} RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: vedette\r\n\r\n"
    else:
        protocol = "HTTP"
        request = f"HEAD / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: vedette\r\nConnection: close\r\n\r\n"
    try:
        if scheme in _WITH_TLS:
            with _tls().wrap_socket(connection, server_hostname=host) as secured:
                line = _first_line(secured, request)
        else:
            line = _first_line(connection, request)
    except TimeoutError:
        raise ConnectionLostError("the port is open, but nothing answers in time", cause="timed_out") from None
    except OSError as error:
        reason = "TLS failed" if isinstance(error, ssl.SSLError) else "the server closed the connection"
        raise ConnectionLostError(f"{reason}; check host, port and scheme") from None
    if not line:
        raise ConnectionLostError("the server closed the connection; check host, port and scheme")
    if not line.startswith(f"{protocol}/".encode()):
        raise ConnectionLostError(f"the server answers, but not in {protocol}; check the port", cause="not_video")


def _first_line(connection: socket.socket, request: str) -> bytes:
    connection.sendall(request.encode("ascii", "ignore"))
    return connection.recv(_MAX_STATUS_LINE)


def _tls() -> ssl.SSLContext:
    """Return a context without verification, as FFmpeg connects to cameras: their certificates are self-signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
