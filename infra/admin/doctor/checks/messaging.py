"""The MQTT broker and Redis."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit
from uuid import uuid4

from cloud_functions.settings import Environment, redis_url
from infra.admin.doctor.causes import address, network_cause, open_socket
from infra.admin.doctor.context import CONNECT_TIMEOUT_S, DoctorContext
from shared.diagnosis import Finding

_REFUSED: Final = {
    1: ("does not support MQTT 3.1.1", "use a broker that does"),
    2: ("refuses the client id", "allow any client id, or name a user with that right"),
    3: ("is not available now", "see the log of the broker"),
    4: ("refuses user name or password", "correct them in MQTT_URL"),
    5: ("does not authorise this client", "add user name and password to MQTT_URL, or allow the client"),
}
"""By the return code of a CONNACK (MQTT 3.1.1, 3.2.2.3)."""


def broker(context: DoctorContext) -> Iterator[Finding]:
    """Whether the broker accepts a client. On AWS the broker is AWS IoT Core, which has no variable."""
    url = context.variable("MQTT_URL")
    if url is None:
        yield Finding("broker", "skipped", "MQTT_URL is not set; AWS IoT Core needs none")
        return
    parts = urlsplit(url)
    tls = parts.scheme == "mqtts"
    host, port = parts.hostname or "", parts.port or (8883 if tls else 1883)
    where = address(host, port)
    try:
        with open_socket(host, port, tls=tls, timeout_s=CONNECT_TIMEOUT_S) as connection:
            code = _connect(connection, parts)
    except OSError as error:
        yield Finding("broker", "fault", *network_cause(error, where=where, setting="MQTT_URL"))
        return
    if code == 0:
        yield Finding("broker", "ok", f"the MQTT broker at {where} accepts clients{' over TLS' if tls else ''}")
    elif code is None:
        remedy = "correct MQTT_URL: is it another service, or does the port expect TLS (mqtts://)?"
        yield Finding("broker", "fault", f"{where} does not answer as an MQTT broker", remedy)
    else:
        words, remedy = _REFUSED.get(code, (f"refuses the connection (code {code})", "see the log of the broker"))
        yield Finding("broker", "fault", f"the MQTT broker at {where} {words}", remedy)


def redis(context: DoctorContext) -> Iterator[Finding]:
    """Whether Redis answers, and whether its memory is nearly full."""
    url = redis_url(Environment(context.variables))
    if url is None:
        yield Finding("redis", "skipped", "REDIS_URL is not set: events are not published to Redis")
        return
    import redis as client_library
    from redis.exceptions import NoPermissionError

    parts = urlsplit(url)
    where = address(parts.hostname or "localhost", parts.port or 6379)
    try:
        with client_library.Redis.from_url(
            url, socket_connect_timeout=CONNECT_TIMEOUT_S, socket_timeout=CONNECT_TIMEOUT_S
        ) as client:
            client.ping()
            information = client.info()
    except (client_library.AuthenticationError, NoPermissionError):
        yield Finding("redis", "fault", f"Redis at {where} refuses user or password", "correct them in REDIS_URL")
        return
    except client_library.RedisError as error:
        yield Finding("redis", "fault", *network_cause(error, where=where, setting="REDIS_URL"))
        return
    assert isinstance(information, dict)  # noqa: S101 - of a synchronous client
    used, most = int(information.get("used_memory", 0)), int(information.get("maxmemory", 0))
    if most and used * 10 > most * 9:
        text = f"Redis at {where} uses {used * 100 // most} % of its memory"
        yield Finding("redis", "warning", text, "raise maxmemory, or lower REDIS_STREAM_LENGTH")
        return
    version = information.get("valkey_version") or information.get("redis_version")
    yield Finding("redis", "ok", f"version {version} at {where}, {information.get('connected_clients')} clients")


def _connect(connection: socket.socket, url: SplitResult) -> int | None:
    """Send an MQTT 3.1.1 CONNECT with a clean session; return the code of the answer, None if it is not a CONNACK."""
    flags, payload = 0x02, _field(f"vedette-doctor-{uuid4().hex[:8]}")
    if url.username:
        flags |= 0x80
        payload += _field(unquote(url.username))
        if url.password:
            flags |= 0x40
            payload += _field(unquote(url.password))
    body = _field("MQTT") + bytes([4, flags, 0, 10]) + payload
    connection.settimeout(CONNECT_TIMEOUT_S)
    connection.sendall(b"\x10" + _length(len(body)) + body)
    answer = b""
    with suppress(TimeoutError):  # it waits for something else
        while len(answer) < 4 and (part := connection.recv(4 - len(answer))):
            answer += part
    if len(answer) < 4 or answer[0] != 0x20:
        return None
    if answer[3] == 0:
        connection.sendall(b"\xe0\x00")  # DISCONNECT
    return answer[3]


def _field(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _length(count: int) -> bytes:
    encoded = bytearray()
    while True:
        count, low = divmod(count, 128)
        encoded.append(low | (0x80 if count else 0))
        if not count:
            return bytes(encoded)
