"""Executes commands from the cloud on worker threads and publishes replies on ``…/replies/{command_id}``.

MQTT may deliver a command twice. It is executed once, and its reply is published again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from edge_agent.device.replies import ReplyQueue
from edge_agent.outbox import Outbox
from edge_agent.transport.publisher import MessagePublisher
from shared.clock import Clock, SystemClock
from shared.commands import (
    MAX_COMMAND_BYTES,
    Command,
    ConfigureCommand,
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
"""Maximum number of queued commands. Further commands are answered with an error."""
MAX_REMEMBERED = 1000
"""Number of recent command ids, and of refused messages, that are remembered."""
MAX_UNAVAILABLE_RANGES = 2000
"""Maximum in one reply, to stay below the broker's message size limit. The cloud can request the rest."""
_STOPPING = "the device is stopping; retry when it is online again"
_RETRY_EVERY_S = 5.0
_POLL_INTERVAL_S = 0.2
"""Polling interval for commands that are not ready to execute."""

ReplyFields = Mapping[str, object]
"""Further fields of the reply: ``latency_ms``, ``resolution``, ``codec`` and the like."""


class NotReadyError(TransientError):
    """The command cannot be executed yet. It is retried until it succeeds or expires.

    The handler must limit how long it raises this.
    """


class InProgressError(NotReadyError):
    """The command is being executed and does not expire any more. It is retried until its outcome is known."""


class CommandFailedError(VedetteError):
    """The command failed; ``fields`` are further fields of the reply."""

    def __init__(self, message: str, *, fields: ReplyFields) -> None:
        super().__init__(message)
        self.fields = fields


def refuse_configuration(command: ConfigureCommand) -> ReplyFields:
    """Handle ``configure`` on a device that is not managed."""
    raise CommandFailedError(
        "this device is not configured through the API: its cameras are in its own file (agent.toml, managed)",
        fields={"rejected_version": command.version},
    )


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A command that is not ready. One that is in progress does not expire."""

    command: Command
    in_progress: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandHandlers:
    """One handler per command. A handler returns further fields of the reply, or raises.

    The reply contains the text of a VedetteError. After NotReadyError the command is retried and does not block others.
    """

    snapshot: Callable[[SnapshotCommand], ReplyFields | None]
    test_connection: Callable[[TestConnectionCommand], ReplyFields | None]
    reload: Callable[[ReloadCommand], ReplyFields | None]
    resend: Callable[[ResendCommand], ReplyFields | None]
    configure: Callable[[ConfigureCommand], ReplyFields | None] = refuse_configuration

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
            case ConfigureCommand():
                fields = self.configure(command)
        return fields or {}


class ResendHandler:
    """Queues sent events again, if the outbox still stores them."""

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
    """Queues commands from the network thread, executes them on worker threads, and publishes the replies.

    Pass ``receive`` to ``MqttPublisher`` as ``on_command``, then call ``start`` with the publisher.
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
        """``retry_every_s`` is the interval at which an idle worker retries unsent replies."""
        self._topics = topics
        self._handlers = handlers
        self._clock = clock or SystemClock()
        self._waiting: queue.Queue[tuple[str, bytes] | None] = queue.Queue(MAX_WAITING)
        self._lock = threading.Lock()
        self._replies_by_id: OrderedDict[str, bytes | None] = OrderedDict()
        """Recent command ids with their replies; None while a command is executing."""
        self._not_ready: list[_Waiting] = []
        """Commands that raised NotReadyError, for example until a camera's first frame."""
        self._refused: OrderedDict[bytes, None] = OrderedDict()
        """Digests of refused messages. A retained message arrives again with every connection."""
        self._replies: ReplyQueue | None = None
        self._retry_every_s = retry_every_s
        self._faults = FaultLog(logger)
        self._threads = [
            threading.Thread(target=self._work, name=f"commands-{number}", daemon=True)
            for number in range(1, workers + 1)
        ]

    def start(self, publisher: MessagePublisher) -> None:
        """Start the worker threads."""
        self._replies = ReplyQueue(publisher=publisher, clock=self._clock)
        for thread in self._threads:
            thread.start()

    def receive(self, topic: str, payload: bytes) -> None:
        """Queue one message from ``…/commands/{command}``. Never blocks or raises."""
        try:
            self._waiting.put_nowait((topic, payload))
        except queue.Full:
            logger.warning("too many queued commands; refusing one on %s", topic[:200])
            self._refuse(topic, payload, "too many queued commands")

    def close(self, timeout_s: float = 5.0) -> None:
        """Finish running commands, and answer queued ones with an error."""
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
        for waiting in self._take_not_ready():
            self._reply_to(waiting.command.command_id, waiting.command.command, _STOPPING, {})

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
        """Retry unsent replies and commands that were not ready."""
        self._retry_replies()
        for waiting in self._take_not_ready():
            try:
                self._execute(waiting.command, waited=True, in_progress=waiting.in_progress)
            except Exception as error:
                self._faults.log(error, "handling a command failed")

    def _take_not_ready(self) -> list[_Waiting]:
        with self._lock:
            commands, self._not_ready = self._not_ready, []
        return commands

    def _retry_replies(self) -> None:
        """Retry unsent replies. Called every few seconds, so a failure needs no further pause."""
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
                logger.warning("refusing a message on %s: %s", topic[:200], error)
            self._refuse(topic, payload, str(error))
            return
        if self._is_new(command.command_id):
            self._execute(command)

    def _execute(self, command: Command, *, waited: bool = False, in_progress: bool = False) -> None:
        """Execute the command and reply. A command that is not ready is queued for a retry."""
        try:
            error, fields = self._outcome(command, waited=waited, in_progress=in_progress)
        except NotReadyError as not_ready:
            if not waited:
                logger.info("the command %s waits: %s", command.command, not_ready)
            with self._lock:
                self._not_ready.append(_Waiting(command, in_progress=isinstance(not_ready, InProgressError)))
            return
        self._reply_to(command.command_id, command.command, error, fields)

    def _outcome(self, command: Command, *, waited: bool, in_progress: bool) -> tuple[str | None, ReplyFields]:
        """Execute the command; return the error text (None on success) and the reply's further fields."""
        if not in_progress and command.expires_at is not None and command.expires_at <= self._clock.now():
            return f"the command expired {'while it waited' if waited else 'before it arrived'}", {}
        try:
            return None, self._handlers.execute(command)
        except NotReadyError:
            raise
        except CommandFailedError as error:
            return str(error), error.fields
        except VedetteError as error:
            return str(error), {}
        except Exception as error:
            logger.exception("the command %s failed", command.command)
            return f"internal error ({type(error).__name__}); see the device's log", {}

    def _is_new(self, command_id: str) -> bool:
        """Record the command id; return False for a duplicate, whose reply is sent again."""
        with self._lock:
            if command_id not in self._replies_by_id:
                self._replies_by_id[command_id] = None
                if len(self._replies_by_id) > MAX_REMEMBERED:
                    self._replies_by_id.popitem(last=False)
                return True
            reply = self._replies_by_id[command_id]
        if reply is not None:
            self._send(command_id, reply)
        return False

    def _is_first_refusal(self, topic: str, payload: bytes) -> bool:
        """Record a refused message; return whether it was not refused before."""
        digest = hashlib.sha256(topic.encode("utf-8", "replace") + b"\0" + payload).digest()
        with self._lock:
            first = digest not in self._refused
            self._refused[digest] = None
            if len(self._refused) > MAX_REMEMBERED:
                self._refused.popitem(last=False)
        return first

    def _refuse(self, topic: str, payload: bytes, why: str) -> None:
        """Reply to an invalid message with an error, if it contains a command id."""
        command_id = _command_id_of(payload)
        if command_id is not None:
            self._reply_to(command_id, topic.rsplit("/", 1)[-1][:100], why, {}, remember=False)

    def _reply_to(
        self, command_id: str, command: str, error: str | None, fields: ReplyFields, *, remember: bool = True
    ) -> None:
        try:
            reply = self._reply(command_id, command, error, fields)
        except ValidationError:
            logger.exception("the handler of %s returned invalid reply fields", command)
            reply = self._reply(command_id, command, "internal error; see the device's log", {})
        payload = reply.model_dump_json(exclude_none=True).encode()
        if remember:
            with self._lock:
                if command_id in self._replies_by_id:
                    self._replies_by_id[command_id] = payload
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


def _parse(topic: str, payload: bytes) -> Command:
    command = parse_command(payload)
    topic_command = topic.rsplit("/", 1)[-1]
    if command.command != topic_command:
        raise ContractError(f"a {command.command} command on the topic of {topic_command[:100]}", reason="bad_topic")
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
