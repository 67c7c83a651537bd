"""Explains connection problems, with the settings to check."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from edge_agent.transport.settings import MqttSettings
from shared.tls_errors import explain_tls_error

CLIENT_ID_CONFLICT = "client id taken over"
"""Kind of the problem that another client uses this device's client id."""
_SESSION_TAKEN_OVER = 0x8E


@dataclass(frozen=True, slots=True)
class ConnectionProblem:
    """One problem: ``kind`` identifies the cause, ``text`` is the explanation for users."""

    kind: str
    text: str


_REFUSALS = {
    0x84: "it does not support MQTT {protocol}; set mqtt.protocol to a version that it supports",
    0x85: "it does not accept the client id {client_id}; set mqtt.client_id to an accepted one",
    0x86: "check mqtt.username and the password",
    0x87: "user name, password or certificate may be wrong, or its policy does not allow the client id"
    " {client_id} to connect",
    0x88: "it is temporarily unavailable; no action is needed on the device",
    0x89: "it is busy; no action is needed on the device",
    0x8A: "this client is banned; contact the broker's administrator",
    0x8C: "it requires another authentication method",
    0x97: "a quota of the broker is exceeded",
    0x9A: "it does not support retained messages, which the device's status requires",
    0x9B: "it does not support QoS 1",
    0x9C: "the broker redirects to another server; set mqtt.host",
    0x9D: "the broker has moved; set mqtt.host",
    0x9F: "the connection rate limit is exceeded",
}
"""By reason code of MQTT 5; paho maps the codes of 3.1.1 to these."""

_ENDINGS = {
    0x87: "the device is not authorized; check the topics that its policy allows for {client_id}",
    0x8B: "it is shutting down",
    0x8D: "it received nothing from the device within the keep-alive interval",
    0x90: "it does not accept a topic",
    0x93: "the device sent more unacknowledged messages than it accepts; lower mqtt.max_in_flight",
    0x95: "a message is too large for it",
    0x97: "a quota of the broker is exceeded",
    0x98: "an administrator closed it (administrative action)",
    0x99: "it does not accept a message's content",
    0x9A: "it does not support retained messages, which the device's status requires",
}

_ALERTS = {
    "CERTIFICATE_REQUIRED": "the broker requires a client certificate",
    "BAD_CERTIFICATE": "the broker does not accept the device's certificate",
    "UNKNOWN_CA": "the broker does not trust the issuer of the device's certificate",
    "CERTIFICATE_EXPIRED": "the device's certificate has expired, or one of the two clocks is wrong",
    "CERTIFICATE_REVOKED": "the device's certificate is revoked",
    "CERTIFICATE_UNKNOWN": "the broker does not accept the device's certificate",
    "HANDSHAKE_FAILURE": "the TLS handshake failed; the broker may require a client certificate",
    "ACCESS_DENIED": "the broker does not accept the device's certificate",
    "NO_APPLICATION_PROTOCOL": "the broker does not know the protocol that mqtt.alpn names",
}
"""Explanation of a TLS alert, by a part of OpenSSL's name of it."""


_NETWORK: tuple[tuple[type[OSError], str, str], ...] = (
    (socket.gaierror, "no such host", "the name cannot be resolved; check mqtt.host and DNS"),
    (ConnectionRefusedError, "nothing listens", "nothing listens there (connection refused); check mqtt.host and port"),
    (TimeoutError, "no answer", "nothing answers; check the address, the network and firewalls"),
)


def connection_refused(reason: Any, settings: MqttSettings, client_id: str) -> ConnectionProblem:
    """Explain a CONNACK that refuses the connection."""
    hint = _REFUSALS.get(int(reason.value), "")
    hint = hint.format(client_id=client_id, protocol=settings.protocol)
    text = f"the broker refused the connection: {reason}"
    return ConnectionProblem(f"refused {reason.value}", f"{text} ({hint})" if hint else text)


def closed_before_connack(
    settings: MqttSettings, client_id: str, *, protocol_error: bool, detail: str | None
) -> ConnectionProblem:
    """Explain a connection that closed before the CONNACK."""
    if detail is not None and (alert := _tls_alert(detail, settings)):
        return alert
    if protocol_error:
        return ConnectionProblem(
            "not mqtt",
            f"the server is not an MQTT {settings.protocol} broker: it refuses that version of the protocol, or sends"
            f" other data; check mqtt.host, mqtt.port{' and mqtt.protocol' if settings.protocol == '5' else ''}"
            f"{'' if settings.uses_tls else ', and whether the port expects TLS (mqtt.tls)'}",
        )
    causes = [_likely_certificate_cause(settings, client_id), "another service listens on this port"]
    if settings.username is None and not settings.uses_tls:
        causes.append("it requires a user name (mqtt.username)")
    suffix = f" ({detail})" if detail else ""
    return ConnectionProblem(
        "closed before answer",
        f"the broker closed the connection before it answered (no CONNACK){suffix}; likely causes: {'; '.join(causes)}",
    )


def _likely_certificate_cause(settings: MqttSettings, client_id: str) -> str:
    if not settings.uses_tls:
        return "the port expects TLS (set mqtt.tls or mqtt.ca_file)"
    if settings.certificate_file is None:
        return "it requires a client certificate (set mqtt.certificate_file and mqtt.private_key_file)"
    return (
        "the device's certificate is not active or not known there, or its policy does not allow the client id"
        f" {client_id} to connect (AWS IoT Core then closes the connection without an answer)"
    )


def _tls_alert(detail: str, settings: MqttSettings) -> ConnectionProblem | None:
    name = detail.upper().replace(" ", "_")
    for part, words in _ALERTS.items():
        if part in name:
            setup = "" if settings.certificate_file else "; set mqtt.certificate_file and mqtt.private_key_file"
            return ConnectionProblem(f"tls {part}", f"{words} (TLS alert: {part.lower().replace('_', ' ')}){setup}")
    return None


def connect_failed(error: OSError, settings: MqttSettings, client_id: str) -> ConnectionProblem:
    """Explain why the connection could not be established."""
    text = f"{type(error).__name__}: {error}"
    if alert := _tls_alert(str(error), settings):
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
    """Explain the end of a connection that had been accepted; ``by_message``: the broker sent a reason (MQTT 5)."""
    code = int(reason.value)
    if by_message and code == _SESSION_TAKEN_OVER:
        return client_id_conflict(client_id, sure=True)
    hint = _ENDINGS.get(code, "").format(client_id=client_id) if by_message else (detail or "")
    reason_text = str(reason)
    if not by_message and reason_text == "Unspecified error":
        reason_text = "the broker closed it without a reason"
        likely = f"it was restarted, or another client uses the client id {client_id}"
        hint = f"{hint}; {likely}" if hint else likely
    text = f"the connection to the MQTT broker ended: {reason_text}"
    return ConnectionProblem(f"ended {code if by_message else ''}", f"{text} ({hint})" if hint else text)


def client_id_conflict(client_id: str, *, sure: bool, times: int = 0, unacknowledged: int = 0) -> ConnectionProblem:
    """Explain a client id conflict, which the broker reports (``sure``) or which short connections indicate."""
    advice = "use a different id for every device (device_id or mqtt.client_id), and stop any other agent with this id"
    if sure:
        return ConnectionProblem(
            CLIENT_ID_CONFLICT, f"another client uses the client id {client_id} and has taken this session; {advice}"
        )
    alternative = " Or the broker closes it because of a message or a topic: check its policy for this device."
    return ConnectionProblem(
        CLIENT_ID_CONFLICT,
        f"the broker accepted the connection and soon closed it, {times} times in a row: most likely another client"
        f" uses the client id {client_id}; {advice}.{alternative if unacknowledged else ''}",
    )
