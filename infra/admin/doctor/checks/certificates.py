"""Certificates that expire soon: those of servers with TLS, and those in files."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from cloud_functions.settings import Environment, redis_url
from infra.admin.doctor.causes import address, network_cause, open_socket
from infra.admin.doctor.context import CONNECT_TIMEOUT_S, DoctorContext
from shared.certificate_expiry import expiry_finding
from shared.diagnosis import Finding

_PORTS: Final = {"https": 443, "mqtts": 8883, "rediss": 6379}


class TlsServer(NamedTuple):
    """A server whose certificate is checked."""

    what: str
    host: str
    port: int
    setting: str


def certificates(context: DoctorContext) -> Iterator[Finding]:
    """The certificates of broker, API and Redis if they use TLS, and of the files that --certificate names."""
    servers = list(_servers(context))
    if not servers and not context.certificate_files:
        yield Finding("certificates", "skipped", "no server here uses TLS, and --certificate names no file")
    for server in servers:
        yield _of_server(server, context)
    for path in context.certificate_files:
        yield from _of_file(path, context)


def _servers(context: DoctorContext) -> Iterator[TlsServer]:
    for what, url, setting in (
        ("broker", context.variable("MQTT_URL"), "MQTT_URL"),
        ("api", context.api_url, "--api"),
        ("redis", redis_url(Environment(context.variables)), "REDIS_URL"),
    ):
        parts = urlsplit(url or "")
        if parts.scheme in _PORTS:
            yield TlsServer(what, parts.hostname or "", parts.port or _PORTS[parts.scheme], setting)


def _of_server(server: TlsServer, context: DoctorContext) -> Finding:
    name, where = f"certificate-{server.what}", address(server.host, server.port)
    try:
        with open_socket(server.host, server.port, tls=True, timeout_s=CONNECT_TIMEOUT_S) as connection:
            assert isinstance(connection, ssl.SSLSocket)  # noqa: S101 - tls=True
            found = connection.getpeercert() or {}
    except OSError as error:
        return Finding(name, "fault", *network_cause(error, where=where, setting=server.setting))
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC)
    return expiry_finding(name, f"the certificate of {where}", end, now=context.clock.now())


def _of_file(path: Path, context: DoctorContext) -> Iterator[Finding]:
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        yield Finding("certificate-file", "fault", f"{path} cannot be read: {error.strerror}", "correct --certificate")
        return
    except ValueError:
        yield Finding("certificate-file", "fault", f"{path} contains no certificate (PEM)", "correct --certificate")
        return
    for one in found:
        end = one.not_valid_after_utc
        yield expiry_finding("certificate-file", f"the certificate in {path}", end, now=context.clock.now())
