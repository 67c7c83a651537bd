"""How rejected messages are kept."""

from __future__ import annotations

from typing import Any

from cloud_functions.aws import MAX_BATCH_BYTES
from cloud_functions.ingest.dead_letters import NoDeadLetters, SqsDeadLetters
from cloud_functions.ingest.sources.messages import Rejection


class RecordingSqs:
    """Remembers calls; breaks while ``away``; refuses entries whose body is ``no``."""

    def __init__(self, *, away: bool = False) -> None:
        self.calls: list[list[dict[str, Any]]] = []
        self._away = away

    def client(self, service: str) -> RecordingSqs:
        assert service == "sqs"
        return self

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl == "https://queue"
        if self._away:
            raise ConnectionError
        self.calls.append(Entries)
        return {"Failed": [{"Id": entry["Id"]} for entry in Entries if entry["MessageBody"] == "no"]}


def send(sqs: RecordingSqs, *rejections: Rejection) -> set[str]:
    return SqsDeadLetters(queue_url="https://queue", aws=sqs).send(rejections)  # type: ignore[arg-type]


def test_the_original_travels_with_its_reason() -> None:
    """Unchanged body; reason, detail and topic as attributes, made printable; empty ones left out."""
    sqs = RecordingSqs()
    assert (
        send(sqs, Rejection("m1", "body", "invalid", "bad\x00 field", "vedette/x"), Rejection("m2", "b", "r", ""))
        == set()
    )
    [[first, second]] = sqs.calls
    assert first["MessageBody"] == "body"
    told = {name: value["StringValue"] for name, value in first["MessageAttributes"].items()}
    assert told == {"reason": "invalid", "detail": "bad\ufffd field", "topic": "vedette/x"}
    assert set(second["MessageAttributes"]) == {"reason"}


def test_calls_keep_to_the_limits() -> None:
    """Ten entries and 256 KB a call."""
    sqs = RecordingSqs()
    send(sqs, *(Rejection(f"m{number}", "x" * 100_000, "r", "d") for number in range(5)))
    send(sqs, *(Rejection(f"m{number}", "x", "r", "d") for number in range(25)))
    assert [len(call) for call in sqs.calls] == [2, 2, 1, 10, 10, 5]
    assert all(sum(len(entry["MessageBody"]) for entry in call) <= MAX_BATCH_BYTES for call in sqs.calls)


def test_what_could_not_be_kept_is_named() -> None:
    """So that the event source keeps it."""
    assert send(RecordingSqs(), Rejection("m1", "no", "r", "d"), Rejection("m2", "yes", "r", "d")) == {"m1"}
    assert send(RecordingSqs(away=True), Rejection("m1", "x", "r", "d")) == {"m1"}
    assert NoDeadLetters().send([Rejection("m1", "x", "r", "d")]) == {"m1"}
