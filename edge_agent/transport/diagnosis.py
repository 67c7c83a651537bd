"""What a broker's behaviour means to the person who set up the device, and what to look at."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from edge_agent.transport.settings import MqttSettings
from shared.tls_errors import explain_tls_error

CLIENT_ID_CONFLICT = "client id taken over"
"""The kind of trouble in which another client uses this device's client id."""
_SESSION_TAKEN_OVER = 0x8E


@dataclass(frozen=True, slots=True)
class ConnectionProblem:
    """One failure: ``kind`` is the same for the same cause, ``text`` is for people."""

    kind: str
    text: str


_REFUSALS = {
    0x84: "it does not speak MQTT {protocol}; set mqtt.protocol to a version that it speaks",
    0x85: "it does not accept the client id {client_id}; set mqtt.client_id to one that it does",
    0x86: "check mqtt.username and the password",
    0x87: "user name, password or certificate may be wrong, or its policy does not let the client id {client_id}"
    " connect",
    0x88: "it is not available just now; nothing is to be done on the device",
    0x89: "it is busy; nothing is to be done on the device",
    0x8A: "this client is banned there; ask whoever runs the broker",
    0x8C: "it wants another way to authenticate",
    0x97: "a quota of the broker's is used up",
    0x9A: "it does not take retained messages, which the device's status is",
    0x9B: "it does not offer QoS 1",
    0x9C: "another server is to be used; set mqtt.host",
    0x9D: "the broker has moved; set mqtt.host",
    0x9F: "too many connections were made in a short time",
}
"""By reason code of MQTT 5; paho gives those of 3.1.1 as the same."""

_ENDINGS = {
    0x87: "it says that the device is not authorized; check what its policy lets {client_id} publish and subscribe to",
    0x8B: "it is shutting down",
    0x8D: "it heard nothing from the device for too long (keep alive)",
    0x90: "it does not accept a topic",
    0x93: "the device sent more messages at a time than it takes; lower mqtt.max_in_flight",
    0x95: "a message is too large for it",
    0x97: "a quota of the broker's is used up",
    0x98: "somebody ended it there (administrative action)",
    0x99: "it does not accept a message's content",
    0x9A: "it does not take retained messages, which the device's status is",
}

_ALERTS = {
    "CERTIFICATE_REQUIRED": "the broker wants a client certificate",
    "BAD_CERTIFICATE": "the broker does not accept the device's certificate",
    "UNKNOWN_CA": "the broker does not know who issued the device's certificate",
    "CERTIFICATE_EXPIRED": "the device's certificate has expired, or one of the two clocks is wrong",
    "CERTIFICATE_REVOKED": "the device's certificate is revoked",
    "CERTIFICATE_UNKNOWN": "the broker does not accept the device's certificate",
    "HANDSHAKE_FAILURE": "the broker and the device found no way to agree in the TLS handshake; it may want a client"
    " certificate",
    "ACCESS_DENIED": "the broker does not accept the device's certificate",
    "NO_APPLICATION_PROTOCOL": "the broker does not know the protocol that mqtt.alpn names",
}
"""What the other side says in a TLS alert, by a part of OpenSSL's name for it."""


_NETWORK: tuple[tuple[type[OSError], str, str], ...] = (
    (socket.gaierror, "no such host", "the name cannot be resolved; check mqtt.host and DNS"),
    (ConnectionRefusedError, "nothing listens", "nothing listens there (connection refused); check mqtt.host and port"),
    (TimeoutError, "no answer at all", "nothing answers; check the address, the network and firewalls"),
)


def connection_refused(reason: Any, settings: MqttSettings, client_id: str) -> ConnectionProblem:
    """Explain a CONNACK that says no."""
    hint = _REFUSALS.get(int(reason.value), "")
    hint = hint.format(client_id=client_id, protocol=settings.protocol)
    text = f"the broker refused the connection: {reason}"
    return ConnectionProblem(f"refused {reason.value}", f"{text} ({hint})" if hint else text)


def closed_before_connack(
    settings: MqttSettings, client_id: str, *, protocol_error: bool, detail: str | None
) -> ConnectionProblem:
    """Explain a connection that ended before the broker had said yes or no."""
    if detail is not None and (alert := _alert(detail, settings)):
        return alert
    if protocol_error:
        return ConnectionProblem(
            "not mqtt",
            f"what answers is not an MQTT {settings.protocol} broker: it refuses that version of the protocol, or sends"
            f" something else; check mqtt.host, mqtt.port{' and mqtt.protocol' if settings.protocol == '5' else ''}"
            f"{'' if settings.uses_tls else ', and whether the port expects TLS (mqtt.tls)'}",
        )
    causes = [_likely_certificate_cause(settings, client_id), "another service listens on this port"]
    if settings.username is None and not settings.uses_tls:
        causes.append("it wants a user name (mqtt.username)")
    said = f" ({detail})" if detail else ""
    return ConnectionProblem(
        "closed before answer",
        f"the broker closed the connection before it answered (no CONNACK){said}; likely causes: {'; '.join(causes)}",
    )


def _likely_certificate_cause(settings: MqttSettings, client_id: str) -> str:
    if not settings.uses_tls:
        return "the port expects TLS (set mqtt.tls or mqtt.ca_file)"
    if settings.certificate_file is None:
        return "it wants a client certificate (set mqtt.certificate_file and mqtt.private_key_file)"
    return (
        "the device's certificate is not active or not known there, or its policy does not let the client id"
        f" {client_id} connect (AWS IoT Core closes without an answer then)"
    )


def _alert(detail: str, settings: MqttSettings) -> ConnectionProblem | None:
    name = detail.upper().replace(" ", "_")
    for part, words in _ALERTS.items():
        if part in name:
            setup = "" if settings.certificate_file else "; set mqtt.certificate_file and mqtt.private_key_file"
            return ConnectionProblem(f"tls {part}", f"{words} (TLS alert: {part.lower().replace('_', ' ')}){setup}")
    return None


def connect_failed(error: OSError, settings: MqttSettings, client_id: str) -> ConnectionProblem:
    """Explain why the connection could not be made at all."""
    text = f"{type(error).__name__}: {error}"
    if alert := _alert(str(error), settings):
        return alert
    if "EOF" in text or isinstance(error, ConnectionResetError | BrokenPipeError):
        return closed_before_connack(settings, client_id, protocol_error=False, detail=text)
    if explained := explain_tls_error(error):
        return ConnectionProblem(f"tls {explained}", explained)
    for kind, name, words in _NETWORK:
        if isinstance(error, kind):
            return ConnectionProblem(name, f"{words} ({text})")
    return ConnectionProblem(f"{type(error).__name__} {error.errno}", text)


def connection_ended(reason: Any, client_id: str, *, by_message: bool, detail: str | None) -> ConnectionProblem:
    """Explain the end of a connection that had been accepted; ``by_message``: the broker said why (MQTT 5)."""
    code = int(reason.value)
    if by_message and code == _SESSION_TAKEN_OVER:
        return client_id_conflict(client_id, sure=True)
    hint = _ENDINGS.get(code, "").format(client_id=client_id) if by_message else (detail or "")
    said = str(reason)
    if not by_message and said == "Unspecified error":
        said = "the broker closed it without a reason"
        likely = f"it was restarted, or another client uses the client id {client_id}"
        hint = f"{hint}; {likely}" if hint else likely
    text = f"the connection to the MQTT broker ended: {said}"
    return ConnectionProblem(f"ended {code if by_message else ''}", f"{text} ({hint})" if hint else text)


def client_id_conflict(client_id: str, *, sure: bool, times: int = 0, unacknowledged: int = 0) -> ConnectionProblem:
    """Say that another client uses this id: as the broker says (``sure``), or as the pattern shows."""
    advice = "give every device an id of its own (device_id or mqtt.client_id), and stop a second agent with this one"
    if sure:
        return ConnectionProblem(
            CLIENT_ID_CONFLICT, f"another client uses the client id {client_id} and has taken this session; {advice}"
        )
    other = " Or the broker closes it because of a message or a topic: check its policy for this device."
    return ConnectionProblem(
        CLIENT_ID_CONFLICT,
        f"the broker accepted the connection and soon closed it, {times} times in a row: most likely another client"
        f" uses the client id {client_id}; {advice}.{other if unacknowledged else ''}",
    )
