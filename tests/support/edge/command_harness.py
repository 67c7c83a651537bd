"""The command dispatcher of a device, between a fake publisher and recording handlers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from edge_agent.device.commands import CommandDispatcher, CommandHandlers
from shared.clock import ManualClock
from shared.commands import Reply
from shared.topics import DeviceTopics
from tests.support.edge.fake_transport import FakePublisher
from tests.support.waiting import eventually

TOPICS = DeviceTopics("hq", "gate-01")


class RecordingHandler:
    """Records the commands that it executes, and returns or raises what ``behavior`` does."""

    def __init__(self) -> None:
        self.commands: list[Any] = []
        self.behavior: Callable[[Any], Any] = lambda _: None

    def __call__(self, command: Any) -> Any:
        self.commands.append(command)
        return self.behavior(command)

    def ids(self) -> list[str]:
        return [command.command_id for command in self.commands]


class CommandHarness:
    """A running dispatcher; ``send`` stands for the cloud."""

    def __init__(self, *, resend: Callable[[Any], Any] | None = None, workers: int = 2) -> None:
        self.clock = ManualClock()
        self.publisher = FakePublisher()
        self.handler = RecordingHandler()
        handlers = CommandHandlers(
            snapshot=self.handler,
            test_connection=self.handler,
            reload=self.handler,
            resend=resend or self.handler,
            configure=self.handler,
        )
        self.dispatcher = CommandDispatcher(topics=TOPICS, handlers=handlers, clock=self.clock, workers=workers)
        self.dispatcher.start(self.publisher)

    def send(
        self, command: str = "reload", command_id: str = "c-1", *, topic: str | None = None, **fields: Any
    ) -> None:
        """Pass one command to the dispatcher, as the network thread does."""
        payload = json.dumps({"command": command, "command_id": command_id, **fields}).encode()
        self.dispatcher.receive(topic or TOPICS.command(command), payload)

    def replies(self) -> list[Reply]:
        return [Reply.model_validate_json(payload) for _, payload in self.publisher.published]

    def last_reply(self) -> Reply:
        """Wait for a reply and return the newest one."""
        eventually(lambda: self.publisher.published)
        return self.replies()[-1]
