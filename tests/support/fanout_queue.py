"""The queue of a fan-out target in memory: what maintenance sends to it, as the event of the function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class FanoutQueue:
    """Keeps messages. ``fails_after``: how many it takes before it is unavailable; None for any number."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    fails_after: int | None = None

    def send(self, bodies: Mapping[str, str], attributes: Mapping[str, Mapping[str, str]] | None = None) -> set[str]:
        failed: set[str] = set()
        for name, body in bodies.items():
            if self.fails_after is not None and len(self.messages) >= self.fails_after:
                failed.add(name)
                continue
            self.messages.append(sqs_record(f"{name}-{len(self.messages)}", body, (attributes or {}).get(name, {})))
        return failed

    def event(self) -> dict[str, Any]:
        """Return the event of the function for all messages, and empty the queue."""
        taken, self.messages = self.messages, []
        return {"Records": taken}


def sqs_record(message_id: str, body: str, attributes: Mapping[str, str]) -> dict[str, Any]:
    """Return one message as SQS passes it to a function."""
    values = {name: {"dataType": "String", "stringValue": value} for name, value in attributes.items()}
    return {"messageId": message_id, "body": body, "messageAttributes": values}
