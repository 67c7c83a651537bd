"""One connection to the broker: a paho client, and the messages for which the broker still owes an answer."""

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
        self.ending: Any = None
        """paho's reason for the end; None before it."""
        self.ended_by_message = False
        """Whether the broker itself said why it ends the connection (MQTT 5)."""
        self.socket_error: str | None = None
        """What the socket said when the connection ended, where it said anything."""
        self.refused = False
        """Whether the broker said no."""
        self.receive_maximum: int | None = None
        """How many unacknowledged messages the broker takes at a time, where it says so (MQTT 5)."""

    def begin(self) -> None:
        """The broker has said yes."""
        self._ready_at_s = self._monotonic()
        self.ready.set()

    def uptime_s(self) -> float:
        """How long ago the broker said yes; 0 where it never did."""
        return 0.0 if self._ready_at_s is None else self._monotonic() - self._ready_at_s

    def disconnect(self) -> None:
        """End the connection politely, and where the other side does not read any more, without it."""
        connected = self.client.socket()
        self.client.disconnect()
        if isinstance(connected, socket.socket) and not self.over.wait(DISCONNECT_TIMEOUT_S):
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
        with suppress(AttributeError):  # paho's network thread may end while loop_stop looks at it
            self.client.loop_stop()

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> Future[None]:
        future: Future[None] = Future()
        try:
            sent = self.client.publish(topic, payload, qos=QOS, retain=retain)
        except ValueError as error:  # paho's word for a topic or payload that MQTT cannot carry
            return failed(PermanentError(f"cannot publish on {topic}: {error}"))
        if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return failed(TransientError(f"cannot publish now: {paho.error_string(sent.rc)}"))
        with self._lock:
            early = self._early.pop(sent.mid, None)
            dead = self._dead
            if early is None and dead is None:
                self._waiting[sent.mid] = (future, self._monotonic())
                return future
        if early is not None:
            settle(future, early)
        else:
            future.set_exception(TransientError(dead))
        return future

    def acknowledged(self, mid: int, reason: Any) -> None:
        with self._lock:
            future, _ = self._waiting.pop(mid, (None, 0.0))
            if future is None:
                self._early[mid] = reason
        if future is not None:
            settle(future, reason)

    @property
    def unacknowledged(self) -> int:
        """Messages for which the broker owes an answer."""
        return len(self._waiting)

    def oldest_unacknowledged_s(self) -> float:
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


def settle(future: Future[None], reason: Any) -> None:
    if getattr(reason, "is_failure", False):
        # Of this message alone: the connection goes on. MQTT 5 only.
        future.set_exception(PermanentError(f"the broker refused the message: {reason}"))
    else:
        future.set_result(None)


def failed(error: VedetteError) -> Future[None]:
    future: Future[None] = Future()
    future.set_exception(error)
    return future
