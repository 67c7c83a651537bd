"""The connection to the MQTT broker (paho-mqtt; imported only here).

paho gets a fresh client for every connection, so nothing ever waits in its memory: what was not acknowledged when a
connection ends fails back to whoever published it. Connecting, waiting and connecting again happen on a thread of
their own; nothing a callback does can end paho's network thread.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from edge_agent.transport.settings import MqttSettings
from edge_agent.transport.tls import client_context
from shared.clock import Clock, SystemClock
from shared.errors import PermanentError, TransientError, VedetteError
from shared.heartbeat import DeviceStatus
from shared.retry import Backoff, FaultLog
from shared.tls_errors import explain_tls_error
from shared.topics import DeviceTopics

logger = logging.getLogger(__name__)

QOS = 1
_CHECK_EVERY_S = 0.5
_STABLE_AFTER_S = 5.0
_GOODBYE_S = 1.0

CommandListener = Callable[[str, bytes], None]
"""Gets topic and payload, on the network thread: hand over and return."""


class MqttLink:
    """Keeps one connection to the broker for as long as the agent lives. Implements ``MessageLink``.

    Raises ConfigurationError at once for unusable certificates or a password that is not where it should be; a broker
    that is away raises nothing: ``start`` returns at once and the link goes on trying.
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
        self._password = settings.read_password()
        self._tls = self._tls_context()
        self._listeners: list[Callable[[], None]] = []
        self._connection: _Connection | None = None
        self._closing = threading.Event()
        self._faults = FaultLog(logger)
        self._thread = threading.Thread(target=self._keep_connected, name="mqtt-link", daemon=True)
        self.last_error: str | None = None
        """Why the last attempt failed or the last connection ended; None while connected."""

    @property
    def connected(self) -> bool:
        connection = self._connection
        return connection is not None and connection.ready.is_set()

    @property
    def max_in_flight(self) -> int:
        return self._settings.max_in_flight

    def add_listener(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def start(self) -> None:
        """Begin connecting, in the background."""
        self._thread.start()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> Future[None]:
        connection = self._connection
        if connection is None or not connection.ready.is_set():
            return _failed(TransientError("not connected to the MQTT broker"))
        return connection.publish(topic, payload, retain=retain)

    def close(self, timeout_s: float = 5.0) -> None:
        """Say ``offline`` and disconnect; safe to call twice."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _tls_context(self) -> Any:
        settings = self._settings
        if not settings.uses_tls:
            return None
        context = client_context(
            ca_file=settings.ca_file,
            certificate_file=settings.certificate_file,
            private_key_file=settings.private_key_file,
        )
        if settings.alpn is not None:
            context.set_alpn_protocols([settings.alpn])
        return context

    def _keep_connected(self) -> None:
        # The jitter spreads the reconnects of a fleet.
        settings = self._settings
        backoff = Backoff(min_s=settings.reconnect_min_s, max_s=settings.reconnect_max_s, jitter_ratio=0.5)
        while not self._closing.is_set():
            if self._connect_once() > _STABLE_AFTER_S:
                backoff.succeeded()
            self._closing.wait(backoff.failed())

    def _connect_once(self) -> float:
        """Keep one connection until it ends; return how long it lived, in seconds. Raises nothing."""
        connection: _Connection | None = None
        try:
            connection = _Connection(client=self._new_client(), monotonic=self._clock.monotonic)
            self._run(connection)
        except OSError as error:
            self._note(explain_tls_error(error) or f"{type(error).__name__}: {error}")
        except Exception as error:
            # Whatever goes wrong with one connection, the next may be fine; this thread must not end.
            self._faults.log(error, "connecting to the MQTT broker failed")
            self.last_error = f"{type(error).__name__}: {error}"
        return 0.0 if connection is None else connection.lived_s()

    def _run(self, connection: _Connection) -> None:
        client = connection.client
        client.on_connect = lambda _c, _u, _f, reason, _p: self._on_connect(connection, reason)
        client.on_disconnect = lambda _c, _u, _f, reason, _p: self._on_disconnect(connection, reason)
        client.on_publish = lambda _c, _u, mid, reason, _p: connection.acknowledged(mid, reason)
        client.on_message = lambda _c, _u, message: self._on_message(message)
        try:
            client.connect(self._settings.host, self._settings.effective_port, self._settings.keepalive_s)
            client.loop_start()
            self._watch(connection)
        finally:
            self._connection = None
            if connection.ready.is_set():
                self._say_goodbye(connection)
            connection.hang_up()
            connection.fail("the connection to the MQTT broker was lost")
            self._tell_listeners()

    def _watch(self, connection: _Connection) -> None:
        """Return when the connection is over, hangs, or is no longer wanted."""
        if not connection.answered.wait(self._settings.connect_timeout_s):
            self._note("the broker accepted the connection but does not answer")
            return
        while not connection.over.wait(_CHECK_EVERY_S) and not self._closing.is_set():
            if connection.oldest_age_s() > self._settings.ack_timeout_s:
                self._note(f"the broker acknowledged nothing for {self._settings.ack_timeout_s:g} s")
                return

    def _new_client(self) -> paho.Client:
        settings = self._settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id or self._topics.device_id,
            clean_session=settings.clean_session,
            reconnect_on_failure=False,
        )
        client.connect_timeout = settings.connect_timeout_s
        client.max_inflight_messages_set(0)  # no limit here: the sender keeps the window
        if self._tls is not None:
            client.tls_set_context(self._tls)
        if settings.username is not None:
            password = None if self._password is None else self._password.get_secret_value()
            client.username_pw_set(settings.username, password)
        client.will_set(self._topics.status, self._status("offline"), qos=QOS, retain=True)
        return client

    def _on_connect(self, connection: _Connection, reason: Any) -> None:
        if reason.is_failure:
            self._note(f"the broker refused the connection: {reason}")
            connection.over.set()
            connection.answered.set()
            return
        try:
            if self._on_command is not None:
                connection.client.subscribe(self._topics.commands_filter, QOS)
            connection.publish(self._topics.status, self._status("online", at_now=True), retain=True)
        except Exception as error:
            self._faults.log(error, "announcing the device failed")
        self.last_error = None
        logger.info("connected to the MQTT broker %s:%d", self._settings.host, self._settings.effective_port)
        self._connection = connection
        connection.begin()
        connection.answered.set()
        self._tell_listeners()

    def _on_disconnect(self, connection: _Connection, reason: Any) -> None:
        if connection.ready.is_set() and not self._closing.is_set():
            self._note(f"the connection to the MQTT broker ended: {reason}")
        connection.over.set()
        connection.answered.set()

    def _on_message(self, message: paho.MQTTMessage) -> None:
        try:
            if self._on_command is not None:
                self._on_command(message.topic, bytes(message.payload))
        except Exception as error:
            self._faults.log(error, "handling a message from the broker failed")

    def _say_goodbye(self, connection: _Connection) -> None:
        """Replace the retained status: after a clean disconnect the broker does not publish the last will."""
        if connection.over.is_set():
            return
        done = connection.publish(self._topics.status, self._status("offline", at_now=True), retain=True)
        said = threading.Event()
        done.add_done_callback(lambda _: said.set())
        said.wait(_GOODBYE_S)

    def _status(self, status: Any, *, at_now: bool = False) -> bytes:
        """The will is written when the connection begins, so it names no time."""
        timestamp = self._clock.now() if at_now else None
        message = DeviceStatus(device_id=self._topics.device_id, status=status, timestamp=timestamp)
        return message.model_dump_json().encode()

    def _note(self, reason: str) -> None:
        """Log a reason once, not at every attempt."""
        if reason != self.last_error:
            logger.warning("MQTT broker %s:%d: %s", self._settings.host, self._settings.effective_port, reason)
        self.last_error = reason

    def _tell_listeners(self) -> None:
        for listener in self._listeners:
            try:
                listener()
            except Exception as error:
                self._faults.log(error, "a listener of the MQTT link failed")


class _Connection:
    """One paho client and the messages it still owes an answer for.

    The lock is never held while paho is called: paho calls back while it holds locks of its own.
    """

    def __init__(self, *, client: paho.Client, monotonic: Callable[[], float]) -> None:
        self.client = client
        self.answered = threading.Event()
        """The broker said yes or no, or the connection ended."""
        self.ready = threading.Event()
        self.over = threading.Event()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[Future[None], float]] = {}
        self._early: dict[int, Any] = {}
        """Acknowledged before ``publish`` had returned the message's number."""
        self._dead: str | None = None
        self._ready_at_s: float | None = None

    def begin(self) -> None:
        """The broker has said yes."""
        self._ready_at_s = self._monotonic()
        self.ready.set()

    def lived_s(self) -> float:
        """How long ago the broker said yes; 0 where it never did."""
        return 0.0 if self._ready_at_s is None else self._monotonic() - self._ready_at_s

    def hang_up(self) -> None:
        """End the connection politely, and where the other side does not read any more, without it."""
        connected = self.client.socket()
        self.client.disconnect()
        if isinstance(connected, socket.socket) and not self.over.wait(_GOODBYE_S):
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
        with suppress(AttributeError):  # paho's network thread may end while loop_stop looks at it
            self.client.loop_stop()

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> Future[None]:
        future: Future[None] = Future()
        try:
            sent = self.client.publish(topic, payload, qos=QOS, retain=retain)
        except ValueError as error:  # paho's word for a topic or payload that MQTT cannot carry
            return _failed(PermanentError(f"cannot publish on {topic}: {error}"))
        if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return _failed(TransientError(f"cannot publish now: {paho.error_string(sent.rc)}"))
        with self._lock:
            early = self._early.pop(sent.mid, None)
            dead = self._dead
            if early is None and dead is None:
                self._waiting[sent.mid] = (future, self._monotonic())
                return future
        if early is not None:
            _settle(future, early)
        else:
            future.set_exception(TransientError(dead))
        return future

    def acknowledged(self, mid: int, reason: Any) -> None:
        with self._lock:
            future, _ = self._waiting.pop(mid, (None, 0.0))
            if future is None:
                self._early[mid] = reason
        if future is not None:
            _settle(future, reason)

    def oldest_age_s(self) -> float:
        """How long the message that waits longest has waited; 0 when none does."""
        with self._lock:
            first = next(iter(self._waiting.values()), None)
        return 0.0 if first is None else self._monotonic() - first[1]

    def fail(self, why: str) -> None:
        """The connection is over: nothing that waits will be acknowledged."""
        with self._lock:
            self._dead = why
            waiting = list(self._waiting.values())
            self._waiting.clear()
        self.over.set()
        for future, _ in waiting:
            future.set_exception(TransientError(why))


def _settle(future: Future[None], reason: Any) -> None:
    if getattr(reason, "is_failure", False):
        future.set_exception(TransientError(f"the broker refused the message: {reason}"))
    else:
        future.set_result(None)


def _failed(error: VedetteError) -> Future[None]:
    future: Future[None] = Future()
    future.set_exception(error)
    return future
