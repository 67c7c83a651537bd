"""The connection to the MQTT broker (paho-mqtt).

Every connection uses a new paho client, so paho queues no messages: unacknowledged messages fail back to the caller
when a connection ends. A separate thread connects, monitors and reconnects. Exceptions in callbacks are caught, so
they cannot end paho's network thread.

Connection problems are logged once per kind, and once when they are resolved. ``diagnosis.py`` explains them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

from edge_agent.transport import diagnosis
from edge_agent.transport.client import ClientFactory, connect_client
from edge_agent.transport.connection import DISCONNECT_TIMEOUT_S, QOS, MqttConnection, failed
from edge_agent.transport.diagnosis import ConnectionProblem
from edge_agent.transport.problem_log import ProblemLog
from edge_agent.transport.settings import MqttSettings
from shared.clock import Clock, SystemClock
from shared.errors import TransientError
from shared.heartbeat import ConnectionHealth, DeviceStatus
from shared.retry import Backoff, FaultLog
from shared.topics import DeviceTopics

logger = logging.getLogger(__name__)

_CHECK_EVERY_S = 0.5
_STABLE_AFTER_S = 5.0
_SHORT_CONNECTION_S = 90.0
"""A connection that the broker closes within this time counts as short. Another client with the same id reconnects
within a minute."""
_CONFLICT_AFTER = 3
"""Number of short connections in a row that indicates a client id conflict."""

CommandListener = Callable[[str, bytes], None]
"""Receives topic and payload on the network thread. Must return quickly."""


class MqttPublisher:
    """Maintains the connection to the broker. Implements ``MessagePublisher``.

    The constructor raises ConfigurationError for unusable certificates or a missing password. An unavailable broker
    raises nothing: ``start`` returns at once and the publisher keeps reconnecting.
    """

    def __init__(
        self,
        *,
        settings: MqttSettings,
        topics: DeviceTopics,
        on_command: CommandListener | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._on_command = on_command
        self._clock = clock or SystemClock()
        self._clients = ClientFactory(settings=settings, client_id=self.client_id)
        self._listeners: list[Callable[[], None]] = []
        self._connection: MqttConnection | None = None
        self._closing = threading.Event()
        self._faults = FaultLog(logger)
        self._thread = threading.Thread(target=self._reconnect_loop, name="mqtt-connection", daemon=True)
        where = f"MQTT broker {settings.host}:{settings.effective_port}"
        self._problems = ProblemLog(logger, subject=where)
        self._subscription_problems = ProblemLog(logger, subject=where)
        self._connections = 0
        self._short_connections = 0
        """Consecutive connections that the broker accepted and soon closed."""
        self._last_problem: tuple[ConnectionProblem, datetime] | None = None
        self.last_error: str | None = None
        """Why the last attempt failed or the last connection ended; None while connected."""

    @property
    def connected(self) -> bool:
        connection = self._connection
        return connection is not None and connection.ready.is_set()

    @property
    def max_in_flight(self) -> int:
        connection = self._connection
        receive_maximum = None if connection is None else connection.receive_maximum
        return min(self._settings.max_in_flight, receive_maximum or self._settings.max_in_flight)

    @property
    def client_id(self) -> str:
        return self._settings.client_id or self._topics.device_id

    def health(self) -> ConnectionHealth:
        """Return the connection section of the heartbeat."""
        last = self._last_problem
        return ConnectionHealth(
            reconnects=max(self._connections - 1, 0),
            client_id_conflict=self._problems.kind == diagnosis.CLIENT_ID_CONFLICT,
            last_error=None if last is None else last[0].text,
            last_error_at=None if last is None else last[1],
        )

    def add_listener(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def start(self) -> None:
        """Start connecting in the background."""
        self._thread.start()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> Future[None]:
        connection = self._connection
        if connection is None or not connection.ready.is_set():
            return failed(TransientError("not connected to the MQTT broker"))
        return connection.publish(topic, payload, retain=retain)

    def close(self, timeout_s: float = 5.0) -> None:
        """Publish the status ``offline`` and disconnect. Safe to call twice."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _reconnect_loop(self) -> None:
        # The jitter spreads the reconnects of a fleet.
        settings = self._settings
        backoff = Backoff(min_s=settings.reconnect_min_s, max_s=settings.reconnect_max_s, jitter_ratio=0.5)
        while not self._closing.is_set():
            if self._connect_once() > self._stable_after_s:
                backoff.succeeded()
            self._closing.wait(backoff.failed())

    @property
    def _stable_after_s(self) -> float:
        """Minimum uptime of a stable connection, in seconds. During a client id conflict it exceeds the reconnect
        interval of the other client."""
        has_conflict = self._problems.kind == diagnosis.CLIENT_ID_CONFLICT
        return max(_SHORT_CONNECTION_S, self._settings.reconnect_max_s) if has_conflict else _STABLE_AFTER_S

    def _connect_once(self) -> float:
        """Connect, run until the connection ends, and return its uptime in seconds. Raises nothing."""
        connection: MqttConnection | None = None
        try:
            client = self._clients.new_client(will_topic=self._topics.status, will=self._status("offline"))
            connection = MqttConnection(client=client, monotonic=self._clock.monotonic)
            self._run(connection)
        except OSError as error:
            self._report_problem(diagnosis.connect_failed(error, self._settings, self.client_id))
        except Exception as error:
            # This thread must survive any error: the next connection may succeed.
            self._faults.log(error, "connecting to the MQTT broker failed")
            self.last_error = f"{type(error).__name__}: {error}"
        return 0.0 if connection is None else connection.uptime_s()

    def _run(self, connection: MqttConnection) -> None:
        client = connection.client
        client.on_connect = lambda _c, _u, _f, reason, properties: self._on_connect(connection, reason, properties)
        client.on_disconnect = lambda _c, _u, flags, reason, _p: self._on_disconnect(connection, flags, reason)
        client.on_publish = lambda _c, _u, mid, reason, _p: connection.acknowledged(mid, reason)
        client.on_message = lambda _c, _u, message: self._on_message(message)
        client.on_subscribe = lambda _c, _u, _m, reasons, _p: self._on_subscribe(reasons)
        client.on_log = lambda _c, _u, level, text: _note_socket_error(connection, level, text)
        try:
            connect_client(client, self._settings)
            client.loop_start()
            self._monitor(connection)
        finally:
            self._connection = None
            if connection.ready.is_set():
                self._publish_offline(connection)
            connection.disconnect()
            connection.fail("the connection to the MQTT broker was lost")
            self._notify_listeners()

    def _monitor(self, connection: MqttConnection) -> None:
        """Wait until the connection ends or stalls, or ``close`` is called. Report the reason."""
        settings = self._settings
        if not connection.connack.wait(settings.connect_timeout_s):
            text = "the broker accepted the connection but does not answer"
            self._report_problem(
                ConnectionProblem("no answer", f"{text} (no CONNACK within {settings.connect_timeout_s:g} s)")
            )
            return
        while not connection.closed.wait(_CHECK_EVERY_S) and not self._closing.is_set():
            if connection.oldest_unacknowledged_s() > settings.ack_timeout_s:
                text = f"the broker acknowledged nothing for {settings.ack_timeout_s:g} s; reconnecting"
                self._report_problem(ConnectionProblem("no acknowledgement", text))
                return
            if connection.uptime_s() > self._stable_after_s:
                self._short_connections = 0
                self._problems.recovered("connected again")
        if connection.closed.is_set() and not self._closing.is_set():
            self._explain_end(connection)

    def _explain_end(self, connection: MqttConnection) -> None:
        """Report why the broker or the network ended the connection."""
        if connection.refused:
            return  # already reported
        if not connection.ready.is_set():
            protocol_error = connection.ending is not None and "Protocol error" in str(connection.ending)
            self._report_problem(
                diagnosis.closed_before_connack(
                    self._settings, self.client_id, protocol_error=protocol_error, detail=connection.socket_error
                )
            )
            return
        short = connection.uptime_s() < _SHORT_CONNECTION_S
        self._short_connections = self._short_connections + 1 if short else 0
        by_message = connection.ended_by_message
        problem = diagnosis.connection_ended(
            connection.ending, self.client_id, by_message=by_message, detail=connection.socket_error
        )
        if self._short_connections >= _CONFLICT_AFTER and not by_message:
            problem = diagnosis.client_id_conflict(
                self.client_id, sure=False, times=self._short_connections, unacknowledged=connection.unacknowledged
            )
        self._report_problem(problem)

    def _on_connect(self, connection: MqttConnection, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._report_problem(diagnosis.connection_refused(reason, self._settings, self.client_id))
            connection.refused = True
            connection.closed.set()
            connection.connack.set()
            return
        connection.receive_maximum = getattr(properties, "ReceiveMaximum", None)
        try:
            if self._on_command is not None:
                self._subscribe(connection)
            connection.publish(self._topics.status, self._status("online", at_now=True), retain=True)
        except Exception as error:
            self._faults.log(error, "announcing the device failed")
        self.last_error = None
        self._connections += 1
        if self._short_connections == 0:
            if self._problems.kind is None:
                logger.info("connected to the MQTT broker %s:%d", self._settings.host, self._settings.effective_port)
            self._problems.recovered("connected again")
        self._connection = connection
        connection.mark_ready()
        connection.connack.set()
        self._notify_listeners()

    def _subscribe(self, connection: MqttConnection) -> None:
        code, _ = connection.client.subscribe(self._topics.commands_filter, QOS)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:  # the connection just ended; _monitor reports it
            logger.debug("cannot subscribe to commands: %s", paho.error_string(code))

    def _on_subscribe(self, reasons: list[Any]) -> None:
        if any(reason.is_failure for reason in reasons):
            refusal = ", ".join(str(reason) for reason in reasons)
            self._subscription_problems.report(
                "subscription",
                f"the broker refuses the subscription to {self._topics.commands_filter} ({refusal}): the device"
                " receives no commands; allow the topic in the broker's access list or policy",
            )
        else:
            self._subscription_problems.recovered("the subscription to commands is accepted")

    def _on_disconnect(self, connection: MqttConnection, flags: Any, reason: Any) -> None:
        """Record the end of the connection; runs on the network thread."""
        if not connection.ended_by_message:  # the socket closes after DISCONNECT, with less detail
            connection.ending = reason
            connection.ended_by_message = bool(flags.is_disconnect_packet_from_server)
        connection.closed.set()
        connection.connack.set()

    def _on_message(self, message: paho.MQTTMessage) -> None:
        try:
            if not paho.topic_matches_sub(self._topics.commands_filter, message.topic):
                # Some brokers (amqtt) send a reconnecting client the retained messages of other subscriptions.
                logger.debug("the broker sent %s, which was not subscribed to", message.topic[:200])
            elif self._on_command is not None:
                self._on_command(message.topic, bytes(message.payload))
        except Exception as error:
            self._faults.log(error, "handling a message from the broker failed")

    def _publish_offline(self, connection: MqttConnection) -> None:
        """Publish the status ``offline``: the broker does not publish the last will after a clean disconnect."""
        if connection.closed.is_set():
            return
        future = connection.publish(self._topics.status, self._status("offline", at_now=True), retain=True)
        acknowledged = threading.Event()
        future.add_done_callback(lambda _: acknowledged.set())
        acknowledged.wait(DISCONNECT_TIMEOUT_S)

    def _status(self, status: Any, *, at_now: bool = False) -> bytes:
        """Return the status message. The last will has no timestamp, because it is created at connect time."""
        timestamp = self._clock.now() if at_now else None
        message = DeviceStatus(device_id=self._topics.device_id, status=status, timestamp=timestamp)
        return message.model_dump_json().encode()

    def _report_problem(self, problem: ConnectionProblem) -> None:
        """Report a connection problem, which is logged once per kind."""
        self.last_error = problem.text
        self._last_problem = (problem, self._clock.now())
        self._problems.report(problem.kind, problem.text)

    def _notify_listeners(self) -> None:
        for listener in self._listeners:
            try:
                listener()
            except Exception as error:
                self._faults.log(error, "a listener of the MQTT publisher failed")


def _note_socket_error(connection: MqttConnection, level: int, text: str) -> None:
    """Record a socket error that paho only logs, such as a TLS alert or a reset."""
    if level in {paho.MQTT_LOG_ERR, paho.MQTT_LOG_WARNING} and "socket" in text:
        connection.socket_error = text.rpartition("socket: ")[2] or text
