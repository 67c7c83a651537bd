"""Dead letters: reads them from a queue, and describes each without secrets and protected plates."""

from __future__ import annotations

import binascii
import json
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from cloud_functions.aws import MAX_BATCH_ENTRIES, aws_error
from infra.admin.dead_letters.queues import INGEST, DeadLetterQueue
from shared.clock import format_utc
from shared.redact import MASK, redact, redact_values

HIDDEN_S: Final = 120
"""Seconds for which a letter that was read is hidden from other readers, unless it is released before."""
NO_REASON: Final = "not_processed"
"""Ingest, or a target, failed with it repeatedly: a valid message, as after an outage."""
RULE_FAILED: Final = "rule_failed"
"""The IoT rule could not put it on the ingest queue."""
_RULE_PAYLOAD: Final = "base64OriginalPayload"
"""In the message of a failed IoT rule."""
EARLIER: Final = "earlier_reasons"
"""Field of a message of ingest, and attribute of a message of fan-out: why it was a dead letter before."""
_SHOWN_OF_PROTECTED: Final = ("event_id", "site_id", "device_id", "camera_id", "event_type", "timestamp", "sequence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter."""

    queue: DeadLetterQueue
    message_id: str
    receipt_handle: str
    body: str
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sent_at: datetime | None = None

    @property
    def reason(self) -> str:
        """Why it is here: a code of ingest, RULE_FAILED or NO_REASON."""
        return self.attribute("reason") or (RULE_FAILED if _RULE_PAYLOAD in self._envelope else NO_REASON)

    @property
    def detail(self) -> str:
        failures = self._envelope.get("failures") if self.reason == RULE_FAILED else None
        if isinstance(failures, list):
            return redact("; ".join(str(one.get("errorMessage", "")) for one in failures if isinstance(one, dict)))
        return redact(self.attribute("detail"))

    @property
    def earlier_reasons(self) -> list[str]:
        """Why it was here before it was sent again, oldest first."""
        given: Any = self._envelope.get(EARLIER)
        if given is None:
            given = _json(self.attribute(EARLIER))
        return [str(reason) for reason in given] if isinstance(given, list) else []

    @property
    def is_sealed(self) -> bool:
        """Whether it is of a protected site: only the master key opens it."""
        return set(self._envelope) == {"site_id", "letter", "sealed"}

    @property
    def topic(self) -> str:
        return self.attribute("topic") or str(self._envelope.get("topic", ""))

    @property
    def device(self) -> str:
        """The device that sent it; empty if it is unknown."""
        levels = self.topic.split("/")
        if len(levels) > 2:  # vedette/SITE/DEVICE/…
            return levels[2]
        return str(self.content.get("device_id", "")) if isinstance(self.content, dict) else ""

    @property
    def content(self) -> Any:
        """The device's message, or the event of fan-out, as JSON; its text if it is not JSON."""
        envelope = self._envelope
        if self.is_sealed:
            return envelope
        if isinstance(envelope.get("Message"), str) and envelope.get("Type") == "Notification":
            return _json(envelope["Message"])
        payload = envelope.get("payload_base64", envelope.get(_RULE_PAYLOAD))
        if payload is None:
            return envelope or self.body
        try:
            text = binascii.a2b_base64(payload).decode(errors="replace")
        except (ValueError, TypeError):
            return self.body
        decoded = _json(text)
        return text if decoded is None else decoded

    def shown_content(self, open_sites: Collection[str]) -> Any:
        """Return the content without secrets. The plates of sites that are not in ``open_sites`` are left out."""
        content = self.content
        if self.is_sealed:
            return {"site_id": content["site_id"], "sealed": MASK}
        if not isinstance(content, dict):
            # A damaged message may contain a plate anywhere.
            return redact(str(content)) if _site_of_topic(self.topic) in open_sites else MASK
        if _has_plates(content) and str(content.get("site_id")) not in open_sites:
            return {name: content[name] for name in _SHOWN_OF_PROTECTED if name in content} | {"event_data": MASK}
        return redact_values(content)

    def attribute(self, name: str) -> str:
        """Return the text of a message attribute; empty without it."""
        value = self.attributes.get(name)
        return str(value.get("StringValue", "")) if isinstance(value, dict) else ""

    @property
    def _envelope(self) -> dict[str, Any]:
        found = _json(self.body)
        return found if isinstance(found, dict) else {}

    @property
    def ingest_body(self) -> str:
        """The body with which ingest reads it: that of a failed IoT rule becomes the envelope of the rule."""
        envelope = self._envelope
        if self.reason != RULE_FAILED:
            return self.body
        return json.dumps(
            {
                "payload_base64": envelope[_RULE_PAYLOAD],
                "topic": envelope.get("topic", ""),
                "client_id": envelope.get("clientId", ""),
                "received_at_ms": 0 if self.sent_at is None else round(self.sent_at.timestamp() * 1000),
            },
            separators=(",", ":"),
        )

    def as_json(self, open_sites: Collection[str], *, with_content: bool) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        described: dict[str, Any] = {
            "id": self.message_id,
            "queue": self.queue.name,
            "reason": self.reason,
            "detail": self.detail if _site_of_topic(self.topic) in open_sites or not self.detail else MASK,
            "earlier_reasons": self.earlier_reasons,
            "device": self.device,
            "topic": redact(self.topic),
            "sent_at": None if self.sent_at is None else format_utc(self.sent_at),
            "bytes": len(self.body.encode()),
            "sealed": self.is_sealed,
        }
        return described | ({"content": self.shown_content(open_sites)} if with_content else {})


@dataclass(slots=True)
class Reading:
    """Letters that are hidden from other readers until they are released, and how many are left in each queue."""

    letters: list[Letter] = field(default_factory=list[Letter])
    in_flight: dict[str, int] = field(default_factory=dict[str, int])
    """By queue: letters that another reader holds."""
    is_complete: bool = True
    """False if there are more letters than were asked for."""


@contextmanager
def read_letters(queues: Sequence[DeadLetterQueue], *, most: int, reason: str | None = None) -> Generator[Reading]:
    """Yield the letters of the queues, at most ``most`` of each, and make those that remain visible again.

    Reading a letter hides it, so another reader does not see it meanwhile, and letters that another one holds are only
    counted. Raises TransientError or PermanentError.
    """
    held: list[Letter] = []
    reading = Reading()
    try:
        for queue in queues:
            found = _receive(queue, most)
            held += found
            reading.letters += [letter for letter in found if reason in (None, letter.reason)]
            reading.is_complete = reading.is_complete and len(found) < most
            others = _attribute(queue, "ApproximateNumberOfMessagesNotVisible") - len(found)
            if others > 0:
                reading.in_flight[queue.name] = others
        yield reading
    finally:
        release(held)


def _receive(queue: DeadLetterQueue, most: int) -> list[Letter]:
    found: dict[str, Letter] = {}
    while len(found) < most:
        try:
            answer = queue.client.receive_message(
                QueueUrl=queue.url,
                MaxNumberOfMessages=min(MAX_BATCH_ENTRIES, most - len(found)),
                VisibilityTimeout=HIDDEN_S,
                WaitTimeSeconds=0 if found else 1,  # a wait asks all servers of SQS, so that an empty answer is true
                MessageAttributeNames=["All"],
                AttributeNames=["SentTimestamp"],
            )
        except Exception as error:
            raise aws_error(error, doing=f"reading the dead letters of {queue.name}") from error
        messages = answer.get("Messages", [])
        if not messages:
            break
        found |= {message["MessageId"]: _letter(queue, message) for message in messages}
    return list(found.values())


def release(letters: Sequence[Letter]) -> None:
    """Make letters visible again at once. Those that were deleted are ignored; an error only delays others."""
    for queue in {letter.queue.url: letter.queue for letter in letters}.values():
        mine = [letter for letter in letters if letter.queue.url == queue.url]
        for start in range(0, len(mine), MAX_BATCH_ENTRIES):
            entries = [
                {"Id": str(number), "ReceiptHandle": letter.receipt_handle, "VisibilityTimeout": 0}
                for number, letter in enumerate(mine[start : start + MAX_BATCH_ENTRIES])
            ]
            try:
                queue.client.change_message_visibility_batch(QueueUrl=queue.url, Entries=entries)
            except Exception:  # noqa: S112 - boto3 raises many types; they become visible by themselves
                continue


def _letter(queue: DeadLetterQueue, message: Mapping[str, Any]) -> Letter:
    sent_ms = int(message.get("Attributes", {}).get("SentTimestamp", 0))
    return Letter(
        queue=queue,
        message_id=message["MessageId"],
        receipt_handle=message["ReceiptHandle"],
        body=message["Body"],
        attributes=message.get("MessageAttributes", {}),
        sent_at=datetime.fromtimestamp(sent_ms / 1000, UTC) if sent_ms else None,
    )


def _attribute(queue: DeadLetterQueue, name: str) -> int:
    try:
        answer = queue.client.get_queue_attributes(QueueUrl=queue.url, AttributeNames=[name])
    except Exception as error:
        raise aws_error(error, doing=f"counting the dead letters of {queue.name}") from error
    return int(answer.get("Attributes", {}).get(name, 0))


def _has_plates(content: Mapping[str, Any]) -> bool:
    """Return whether a message may contain a plate: any but one of a type that is known to have none."""
    return content.get("event_type") not in ("motion", "tracking", "detection", "camera_status", "snapshot")


def _site_of_topic(topic: str) -> str:
    levels = topic.split("/")
    return levels[1] if len(levels) > 2 else ""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def source_of(letter: Letter) -> str:
    """Return ``ingest`` or ``fanout``."""
    return INGEST if letter.queue.name == INGEST else "fanout"
