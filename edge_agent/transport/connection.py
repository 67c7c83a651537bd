"""One connection to the broker: a paho client and its unacknowledged messages."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

from shared.errors import PermanentError, TransientError, VedetteError

QOS = 1
DISCONNECT_TIMEOUT_S = 1.0


class MqttConnection:
    """One paho client and its unacknowledged messages.

    The lock is never held during a call to paho, because paho runs callbacks while it holds its own locks.
    """

    def __init__(self, *, client: paho.Client, monotonic: Callable[[], float]) -> None:
        self.client = client
        self.connack = threading.Event()
        """Set when the CONNACK arrived or the connection closed."""
        self.ready = threading.Event()
        self.closed = threading.Event()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[Future[None], float]] = {}
        self._early: dict[int, Any] = {}
        """Acknowledgements that arrived before paho returned the message id."""
        self._closed_because: str | None = None
        self._ready_at_s: float | None = None
        self.ending: Any = None
        """paho's reason code for the end of the connection; None while it is open."""
        self.ended_by_message = False
        """Whether the broker sent DISCONNECT with a reason (MQTT 5)."""
        self.socket_error: str | None = None
        """The socket error that ended the connection, if any."""
        self.refused = False
        """Whether the CONNACK refused the connection."""
        self.receive_maximum: int | None = None
        """The broker's Receive Maximum (MQTT 5): how many unacknowledged messages it accepts."""

    def mark_ready(self) -> None:
        """Record that the broker accepted the connection."""
        self._ready_at_s = self._monotonic()
        self.ready.set()

    def uptime_s(self) -> float:
        """Return the time since the CONNACK, in seconds; 0 if there was none."""
        return 0.0 if self._ready_at_s is None else self._monotonic() - self._ready_at_s

    def disconnect(self) -> None:
        """Send DISCONNECT; shut the socket down if the broker does not react."""
        connected = self.client.socket()
        self.client.disconnect()
        if isinstance(connected, socket.socket) and not self.closed.wait(DISCONNECT_TIMEOUT_S):
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
        with suppress(AttributeError):  # paho's network thread may end while loop_stop joins it
            self.client.loop_stop()

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> Future[None]:
        """Publish at QoS 1; see ``MessagePublisher.publish``."""
        future: Future[None] = Future()
        try:
            sent = self.client.publish(topic, payload, qos=QOS, retain=retain)
        except ValueError as error:  # raised by paho for a topic or payload that MQTT cannot carry
            return failed(PermanentError(f"cannot publish on {topic}: {error}"))
        if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return failed(TransientError(f"cannot publish now: {paho.error_string(sent.rc)}"))
        with self._lock:
            early = self._early.pop(sent.mid, None)
            closed_because = self._closed_because
            if early is None and closed_because is None:
                self._waiting[sent.mid] = (future, self._monotonic())
                return future
        if early is not None:
            resolve(future, early)
        else:
            future.set_exception(TransientError(closed_because))
        return future

    def acknowledged(self, mid: int, reason: Any) -> None:
        """Complete the future of a message; runs on the network thread."""
        with self._lock:
            future, _ = self._waiting.pop(mid, (None, 0.0))
            if future is None:
                self._early[mid] = reason
        if future is not None:
            resolve(future, reason)

    @property
    def unacknowledged(self) -> int:
        """Number of unacknowledged messages."""
        return len(self._waiting)

    def oldest_unacknowledged_s(self) -> float:
        """Return the age of the oldest unacknowledged message, in seconds; 0 if there is none."""
        with self._lock:
            first = next(iter(self._waiting.values()), None)
        return 0.0 if first is None else self._monotonic() - first[1]

    def fail(self, why: str) -> None:
        """Mark the connection as closed and fail all unacknowledged messages."""
        with self._lock:
            self._closed_because = why
            waiting = list(self._waiting.values())
            self._waiting.clear()
        self.closed.set()
        for future, _ in waiting:
            future.set_exception(TransientError(why))


def resolve(future: Future[None], reason: Any) -> None:
    """Complete the future with the reason code of the PUBACK."""
    if getattr(reason, "is_failure", False):
        # The broker refuses only this message; the connection stays open (MQTT 5).
        future.set_exception(PermanentError(f"the broker refused the message: {reason}"))
    else:
        future.set_result(None)


def failed(error: VedetteError) -> Future[None]:
    """Return a future that has failed."""
    future: Future[None] = Future()
    future.set_exception(error)
    return future
