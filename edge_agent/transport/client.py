"""Creates paho clients from the settings, and connects them with MQTT 3.1.1 or 5."""

from __future__ import annotations

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.transport.connection import QOS
from edge_agent.transport.settings import MqttSettings

_SESSION_EXPIRY_S = 0xFFFF_FFFF
"""The session never expires, as in MQTT 3.1.1."""


class ClientFactory:
    """Creates paho clients with TLS, login and last will.

    The constructor raises ConfigurationError for unusable certificates or a missing password.
    """

    def __init__(self, *, settings: MqttSettings, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._password = settings.read_password()
        self._tls = settings.tls_context()

    def new_client(self, *, will_topic: str, will: bytes) -> paho.Client:
        """Return a client that is not connected and does not reconnect by itself. ``will``: its retained last will."""
        settings = self._settings
        is_mqtt5 = settings.protocol == "5"
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if is_mqtt5 else settings.clean_session,
            protocol=MQTTProtocolVersion.MQTTv5 if is_mqtt5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = settings.connect_timeout_s
        client.max_inflight_messages_set(0)  # no limit here: the sender limits the window
        if self._tls is not None:
            client.tls_set_context(self._tls)
        if settings.username is not None:
            password = None if self._password is None else self._password.get_secret_value()
            client.username_pw_set(settings.username, password)
        client.will_set(will_topic, will, qos=QOS, retain=True)
        return client


def connect_client(client: paho.Client, settings: MqttSettings) -> None:
    """Open the connection and send CONNECT. Raises OSError if the broker cannot be reached."""
    if settings.protocol != "5":
        client.connect(settings.host, settings.effective_port, settings.keepalive_s)
        return
    properties = Properties(PacketTypes.CONNECT)
    if not settings.clean_session:
        properties.SessionExpiryInterval = _SESSION_EXPIRY_S
    client.connect(
        settings.host,
        settings.effective_port,
        settings.keepalive_s,
        clean_start=settings.clean_session,
        properties=properties,
    )
