"""Signals that a device's reply may have been recorded, so that a waiting request reads its row again.

A signal saves time and is never relied on: a wait also ends after a while, so a lost one only delays the response.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import threading
from collections.abc import Generator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import Any, Final, Protocol
from uuid import UUID

import psycopg

from cloud_functions.db.commands.record import LISTEN
from cloud_functions.db.connect import Connect
from shared.errors import VedetteError
from shared.retry import Backoff, FaultLog

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 0.03
_LONGEST_PAUSE_S: Final = 0.2
_PAUSE_FACTOR: Final = 1.5
_PAUSE_WHILE_LISTENING_S: Final = 2.0
_JOIN_TIMEOUT_S: Final = 5.0


class ReplySignal(Protocol):
    """The signal of one command."""

    async def pause(self, at_most_s: float) -> None:
        """Return when the reply may have been recorded, after ``at_most_s`` seconds at the latest."""
        ...


class ReplySignals(Protocol):
    """Makes a signal for each command that a request waits for."""

    def watch(self, command_id: UUID) -> AbstractContextManager[ReplySignal]:
        """Return the signal of a command. Enter it before the command is sent."""
        ...

    def close(self) -> None:
        """Release threads and connections."""
        ...


class _Pauses:
    """Increasing pauses between two looks at a row."""

    def __init__(self) -> None:
        self._next_s = _FIRST_PAUSE_S

    def next_s(self) -> float:
        pause_s = self._next_s
        self._next_s = min(pause_s * _PAUSE_FACTOR, _LONGEST_PAUSE_S)
        return pause_s


class _PolledReply:
    """A signal after each pause."""

    def __init__(self) -> None:
        self._pauses = _Pauses()

    async def pause(self, at_most_s: float) -> None:
        await asyncio.sleep(min(self._pauses.next_s(), at_most_s))


class PolledReplySignals:
    """Signals at intervals of 30 ms that grow to 200 ms. For Lambda, and behind a pooler, which supports no LISTEN."""

    @contextmanager
    def watch(self, command_id: UUID) -> Generator[ReplySignal]:
        del command_id
        yield _PolledReply()

    def close(self) -> None:
        pass


class _AnnouncedReply:
    """A signal that ``ListeningReplySignals`` sets from its thread."""

    def __init__(self, signals: ListeningReplySignals) -> None:
        self._signals = signals
        self._pauses = _Pauses()
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def set(self) -> None:
        """Set the signal. Thread-safe."""
        with suppress(RuntimeError):  # the event loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._event.set)

    async def pause(self, at_most_s: float) -> None:
        pause_s = _PAUSE_WHILE_LISTENING_S if self._signals.is_listening else self._pauses.next_s()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), min(pause_s, at_most_s))
        self._event.clear()


class ListeningReplySignals:
    """Signals from PostgreSQL's notifications, on one connection of its own for all waiting requests. For a server.

    The connection is opened by the first wait, and opened again when it is lost; meanwhile the rows are polled.
    """

    def __init__(self, *, connect: Connect) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._waiting: dict[str, set[_AnnouncedReply]] = {}
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._faults = FaultLog(logger)
        self.is_listening = False
        """Whether a reply is announced. Otherwise its row must be polled."""

    @contextmanager
    def watch(self, command_id: UUID) -> Generator[ReplySignal]:
        key = str(command_id)
        reply = _AnnouncedReply(self)
        with self._lock:
            self._waiting.setdefault(key, set()).add(reply)
            self._start_thread()
        try:
            yield reply
        finally:
            with self._lock:
                waiting = self._waiting[key]
                waiting.discard(reply)
                if not waiting:
                    del self._waiting[key]

    def close(self) -> None:
        self._closing.set()
        self._wake_sender.send(b"x")
        if self._thread is not None:
            self._thread.join(_JOIN_TIMEOUT_S)
        self._wake_sender.close()
        self._wake_receiver.close()

    def _start_thread(self) -> None:
        if self._thread is None and not self._closing.is_set():
            self._thread = threading.Thread(target=self._run, name="api-replies", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        backoff = Backoff(min_s=0.2, max_s=10.0)
        while not self._closing.is_set():
            try:
                with closing(self._connect()) as connection:
                    connection.execute(LISTEN)
                    backoff.succeeded()
                    self._listen(connection)
            except (psycopg.Error, VedetteError) as error:
                logger.warning("replies of devices are polled, because LISTEN failed: %s", type(error).__name__)
            except Exception as error:
                self._faults.log(error, "listening for replies of devices failed")
            finally:
                self.is_listening = False
            self._closing.wait(backoff.failed())

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        """Set signals until the connection is lost (raises psycopg.Error) or ``close`` is called."""
        self.is_listening = True
        self._set_all()  # what was announced before LISTEN has been missed
        while not self._closing.is_set():
            select.select([connection.fileno(), self._wake_receiver], [], [])
            connection.pgconn.consume_input()
            while (notification := connection.pgconn.notifies()) is not None:
                self._set(notification.extra.decode("ascii", "replace"))

    def _set(self, key: str) -> None:
        with self._lock:
            waiting = list(self._waiting.get(key, ()))
        for reply in waiting:
            reply.set()

    def _set_all(self) -> None:
        with self._lock:
            waiting = [reply for replies in self._waiting.values() for reply in replies]
        for reply in waiting:
            reply.set()
