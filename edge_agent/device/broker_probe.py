"""Whether the broker can be reached, without a log-in: a second session of the client id would end the agent's."""

from __future__ import annotations

import socket
from typing import Final

from edge_agent.transport.diagnosis import connect_failed
from edge_agent.transport.settings import MqttSettings

_ALERT_WAIT_S: Final = 0.5
"""How long the broker may take to refuse a certificate after the handshake (TLS 1.3)."""


def broker_problem(mqtt: MqttSettings, *, device_id: str, timeout_s: float) -> str | None:
    """Connect and end the connection again, with TLS if it is configured; return what is wrong, with its likely causes.

    Raises:
        ConfigurationError: a file of the TLS settings cannot be used.
    """
    context = mqtt.tls_context()
    try:
        with socket.create_connection((mqtt.host, mqtt.effective_port), timeout=timeout_s) as plain:
            if context is not None:
                with context.wrap_socket(plain, server_hostname=mqtt.host) as stream:
                    _await_alert(stream)
    except OSError as error:
        return connect_failed(error, mqtt, mqtt.client_id or device_id).text
    return None


def _await_alert(stream: socket.socket) -> None:
    """Wait for the broker to refuse the certificate; raise OSError if it does. It sends nothing to a silent client."""
    stream.settimeout(_ALERT_WAIT_S)
    try:
        ended = stream.recv(1) == b""
    except TimeoutError:
        return
    if ended:
        raise ConnectionResetError("the broker closed the connection after the handshake")
