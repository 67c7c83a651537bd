"""What the cloud asks of this device, done off the network thread and answered on ``…/replies/{command_id}``.

MQTT may deliver a command twice: it is carried out once, and its reply sent again. Replies wait while the broker is
away, for a while and not without bound.
"""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from edge_agent.outbox import Outbox
from edge_agent.transport.publisher import MessagePublisher
from shared.clock import Clock, SystemClock
from shared.commands import (
    MAX_COMMAND_BYTES,
    Command,
    ReloadCommand,
    Reply,
    ResendCommand,
    SnapshotCommand,
    TestConnectionCommand,
    parse_command,
)
from shared.errors import ContractError, TransientError, VedetteError
from shared.ids import is_segment
from shared.retry import FaultLog
from shared.topics import DeviceTopics

logger = logging.getLogger(__name__)

MAX_WAITING = 100
"""Commands that have arrived and not begun; more are answered with an error."""
MAX_REMEMBERED = 1000
MAX_UNSENT_REPLIES = 256
MAX_UNAVAILABLE_RANGES = 2000
"""In one reply, to stay under the broker's limit for one message; who needs more asks again."""
REPLY_LIFETIME_S = 600.0
_STOPPING = "the device is stopping; ask again when it is back"
_RETRY_EVERY_S = 5.0
_POLL_INTERVAL_S = 0.2
"""How often it is looked whether a command that waits can be carried out."""

ReplyFields = Mapping[str, object]
"""Further fields of the reply: ``latency_ms``, ``resolution``, ``codec`` and the like."""


class NotReadyError(TransientError):
    """The command cannot be carried out yet; it is tried again until it can, or until it expires.

    A handler that raises it sees to it that this does not go on for ever.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandHandlers:
    """Who carries out what. A handler returns further fields of the reply, or raises; a VedetteError's text is sent.

    A handler may raise NotReadyError: the command then waits, and holds up no other.
    """

    snapshot: Callable[[SnapshotCommand], ReplyFields | None]
    test_connection: Callable[[TestConnectionCommand], ReplyFields | None]
    reload: Callable[[ReloadCommand], ReplyFields | None]
    resend: Callable[[ResendCommand], ReplyFields | None]

    def execute(self, command: Command) -> ReplyFields:
        match command:
            case SnapshotCommand():
                fields = self.snapshot(command)
            case TestConnectionCommand():
                fields = self.test_connection(command)
            case ReloadCommand():
                fields = self.reload(command)
            case ResendCommand():
                fields = self.resend(command)
        return fields or {}


class ResendHandler:
    """Puts events that were sent, and are still held, back into the outbox."""

    def __init__(self, *, outbox: Outbox) -> None:
        self._outbox = outbox

    def __call__(self, command: ResendCommand) -> ReplyFields:
        outcome = self._outbox.resend(command.sequence_epoch, command.ranges)
        return {
            "sequence_epoch": command.sequence_epoch,
            "resent": outcome.resent,
            "unavailable": outcome.unavailable[:MAX_UNAVAILABLE_RANGES],
        }


class CommandDispatcher:
    """Takes commands from the network thread, has them carried out, and sends the replies.

    Give ``receive`` to the publisher as its ``on_command``, then call ``start`` with the publisher.
    """

    def __init__(
        self,
        *,
        topics: DeviceTopics,
        handlers: CommandHandlers,
        clock: Clock | None = None,
        workers: int = 2,
        retry_every_s: float = _RETRY_EVERY_S,
    ) -> None:
        """``retry_every_s`` is how often an idle worker sends replies again that could not be sent."""
        self._topics = topics
        self._handlers = handlers
        self._clock = clock or SystemClock()
        self._waiting: queue.Queue[tuple[str, bytes] | None] = queue.Queue(MAX_WAITING)
        self._lock = threading.Lock()
        self._known: OrderedDict[str, bytes | None] = OrderedDict()
        """Command ids seen lately, with the reply once there is one."""
        self._not_ready: list[Command] = []
        """Commands that wait for something on the device, such as a camera's first frame."""
        self._refused: OrderedDict[bytes, None] = OrderedDict()
        """Digests of refused messages; a retained one comes again with every connection."""
        self._replies: ReplyQueue | None = None
        self._retry_every_s = retry_every_s
        self._faults = FaultLog(logger)
        self._threads = [
            threading.Thread(target=self._work, name=f"commands-{number}", daemon=True)
            for number in range(1, workers + 1)
        ]

    def start(self, publisher: MessagePublisher) -> None:
        """Begin to carry out and to answer."""
        self._replies = ReplyQueue(publisher=publisher, clock=self._clock)
        for thread in self._threads:
            thread.start()

    def receive(self, topic: str, payload: bytes) -> None:
        """Take one message from ``…/commands/{command}``; never blocks, never raises."""
        try:
            self._waiting.put_nowait((topic, payload))
        except queue.Full:
            logger.warning("too many commands at a time; one on %s is not carried out", topic[:200])
            self._refuse(topic, payload, "too many commands at a time")

    def close(self, timeout_s: float = 5.0) -> None:
        """Finish what has begun; what waits is answered, not carried out."""
        while True:
            try:
                message = self._waiting.get_nowait()
            except queue.Empty:
                break
            if message is not None:
                self._refuse(*message, _STOPPING)
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)
        for command in self._take_not_ready():
            self._reply_to(command.command_id, command.command, _STOPPING, {})

    def _work(self) -> None:
        while True:
            try:
                message = self._waiting.get(timeout=_POLL_INTERVAL_S if self._not_ready else self._retry_every_s)
                if message is None:
                    return
                self._handle(*message)
                self._retry_pending()
            except queue.Empty:
                self._retry_pending()
            except Exception as error:
                self._faults.log(error, "handling a command failed")

    def _retry_pending(self) -> None:
        """Try what waits, now that there is nothing else to do."""
        self._retry_replies()
        for command in self._take_not_ready():
            try:
                self._execute(command, waited=True)
            except Exception as error:
                self._faults.log(error, "handling a command failed")

    def _take_not_ready(self) -> list[Command]:
        with self._lock:
            commands, self._not_ready = self._not_ready, []
        return commands

    def _retry_replies(self) -> None:
        """Send replies that wait; called every few seconds, so a failure needs no further pause."""
        try:
            if self._replies is not None:
                self._replies.try_again()
        except Exception as error:
            self._faults.log(error, "sending replies again failed")

    def _handle(self, topic: str, payload: bytes) -> None:
        try:
            command = _parse(topic, payload)
        except ContractError as error:
            if self._is_first_refusal(topic, payload):
                logger.warning("a message on %s is refused: %s", topic[:200], error)
            self._refuse(topic, payload, str(error))
            return
        if self._is_new(command.command_id):
            self._execute(command)

    def _execute(self, command: Command, *, waited: bool = False) -> None:
        """Carry out and answer; what cannot be carried out yet waits, without holding up another."""
        try:
            error, fields = self._outcome(command, waited=waited)
        except NotReadyError as not_ready:
            if not waited:
                logger.info("the command %s waits: %s", command.command, not_ready)
            with self._lock:
                self._not_ready.append(command)
            return
        self._reply_to(command.command_id, command.command, error, fields)

    def _outcome(self, command: Command, *, waited: bool) -> tuple[str | None, ReplyFields]:
        """Carry out, and return what went wrong (None: nothing) and the reply's further fields."""
        if command.expires_at is not None and command.expires_at <= self._clock.now():
            return f"the command had expired {'while it waited' if waited else 'when it arrived'}", {}
        try:
            return None, self._handlers.execute(command)
        except NotReadyError:
            raise
        except VedetteError as error:
            return str(error), {}
        except Exception as error:
            logger.exception("the command %s failed", command.command)
            return f"internal error ({type(error).__name__}); the device's log says more", {}

    def _is_new(self, command_id: str) -> bool:
        """Remember the command; of one seen before, send the reply again where there is one."""
        with self._lock:
            if command_id not in self._known:
                self._known[command_id] = None
                if len(self._known) > MAX_REMEMBERED:
                    self._known.popitem(last=False)
                return True
            reply = self._known[command_id]
        if reply is not None:
            self._send(command_id, reply)
        return False

    def _is_first_refusal(self, topic: str, payload: bytes) -> bool:
        """Remember a refused message; tell whether the same was not refused before."""
        digest = hashlib.sha256(topic.encode("utf-8", "replace") + b"\0" + payload).digest()
        with self._lock:
            first = digest not in self._refused
            self._refused[digest] = None
            if len(self._refused) > MAX_REMEMBERED:
                self._refused.popitem(last=False)
        return first

    def _refuse(self, topic: str, payload: bytes, why: str) -> None:
        """Answer a message that is no command, where it says at least who asks."""
        command_id = _command_id_of(payload)
        if command_id is not None:
            self._reply_to(command_id, topic.rsplit("/", 1)[-1][:100], why, {}, remember=False)

    def _reply_to(
        self, command_id: str, command: str, error: str | None, fields: ReplyFields, *, remember: bool = True
    ) -> None:
        try:
            reply = self._reply(command_id, command, error, fields)
        except ValidationError:
            logger.exception("the handler of %s gave an answer of another shape", command)
            reply = self._reply(command_id, command, "internal error; the device's log says more", {})
        payload = reply.model_dump_json(exclude_none=True).encode()
        if remember:
            with self._lock:
                if command_id in self._known:
                    self._known[command_id] = payload
        self._send(command_id, payload)

    def _reply(self, command_id: str, command: str, error: str | None, fields: ReplyFields) -> Reply:
        return Reply.model_validate(
            {
                **fields,
                "command_id": command_id,
                "command": command,
                "site_id": self._topics.site_id,
                "device_id": self._topics.device_id,
                "timestamp": self._clock.now(),
                "status": "ok" if error is None else "error",
                "error": error,
            }
        )

    def _send(self, command_id: str, payload: bytes) -> None:
        if self._replies is not None:
            self._replies.send(self._topics.reply(command_id), payload)


class ReplyQueue:
    """Publishes replies, keeping those not acknowledged until they are, or too old, or too many."""

    def __init__(self, *, publisher: MessagePublisher, clock: Clock) -> None:
        self._publisher = publisher
        self._clock = clock
        self._lock = threading.Lock()
        self._unsent: deque[tuple[str, bytes, float]] = deque(maxlen=MAX_UNSENT_REPLIES)
        publisher.add_listener(self.try_again)

    def send(self, topic: str, payload: bytes) -> None:
        """Publish now, or as soon as the broker is back."""
        self._publish(topic, payload, self._clock.monotonic())

    def _publish(self, topic: str, payload: bytes, since_s: float) -> None:
        future = self._publisher.publish(topic, payload)
        future.add_done_callback(lambda done: self._process_results(done, (topic, payload, since_s)))

    def _process_results(self, future: Future[None], reply: tuple[str, bytes, float]) -> None:
        error = future.exception()
        if error is None:
            return
        if not isinstance(error, TransientError):
            logger.error("the reply on %s cannot be sent: %s", reply[0], error)
            return
        with self._lock:
            if len(self._unsent) == self._unsent.maxlen:
                logger.warning("too many replies wait for the broker; the one on %s is given up", self._unsent[0][0])
            self._unsent.append(reply)

    def try_again(self) -> None:
        """Publish what could not be published before; called whenever the connection comes, and now and then."""
        if not self._publisher.connected:
            return
        with self._lock:
            waiting = list(self._unsent)
            self._unsent.clear()
        for number, (topic, payload, since_s) in enumerate(waiting):
            if self._clock.monotonic() - since_s >= REPLY_LIFETIME_S:
                logger.warning("the reply on %s waited %g s for the broker and is given up", topic, REPLY_LIFETIME_S)
                continue
            try:
                self._publish(topic, payload, since_s)
            except Exception:
                with self._lock:
                    self._unsent.extend(waiting[number:])
                raise


def _parse(topic: str, payload: bytes) -> Command:
    command = parse_command(payload)
    named = topic.rsplit("/", 1)[-1]
    if command.command != named:
        raise ContractError(f"a {command.command} command on the topic of {named[:100]}", reason="bad_topic")
    return command


def _command_id_of(payload: bytes) -> str | None:
    if len(payload) > MAX_COMMAND_BYTES:
        return None
    try:
        message: Any = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    command_id = message.get("command_id") if isinstance(message, dict) else None
    return command_id if isinstance(command_id, str) and is_segment(command_id) else None
