"""Rejected messages are sent to the dead-letter queue."""

from __future__ import annotations

from typing import Any

from cloud_functions.aws import MAX_BATCH_BYTES
from cloud_functions.ingest.dead_letters import NoDeadLetters, SqsDeadLetters
from cloud_functions.ingest.sources.messages import Rejection


class RecordingSqs:
    """Records requests; raises an error if ``unavailable``; rejects entries whose body is ``no``."""

    def __init__(self, *, unavailable: bool = False) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self._unavailable = unavailable

    def client(self, service: str) -> RecordingSqs:
        assert service == "sqs"
        return self

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl == "https://queue"
        if self._unavailable:
            raise ConnectionError
        self.requests.append(Entries)
        return {"Failed": [{"Id": entry["Id"]} for entry in Entries if entry["MessageBody"] == "no"]}


def send(sqs: RecordingSqs, *rejections: Rejection) -> set[str]:
    return SqsDeadLetters(queue_url="https://queue", aws=sqs).send(rejections)  # type: ignore[arg-type]


def test_a_dead_letter_has_the_original_body_and_the_reason() -> None:
    """Reason, detail and topic are printable attributes; empty ones are omitted."""
    sqs = RecordingSqs()
    assert (
        send(sqs, Rejection("m1", "body", "invalid", "bad\x00 field", "vedette/x"), Rejection("m2", "b", "r", ""))
        == set()
    )
    [[first, second]] = sqs.requests
    assert first["MessageBody"] == "body"
    attributes = {name: value["StringValue"] for name, value in first["MessageAttributes"].items()}
    assert attributes == {"reason": "invalid", "detail": "bad\ufffd field", "topic": "vedette/x"}
    assert set(second["MessageAttributes"]) == {"reason"}


def test_requests_stay_within_the_limits_of_sqs() -> None:
    """A request has at most ten entries and 256 KB."""
    sqs = RecordingSqs()
    send(sqs, *(Rejection(f"m{number}", "x" * 100_000, "r", "d") for number in range(5)))
    send(sqs, *(Rejection(f"m{number}", "x", "r", "d") for number in range(25)))
    assert [len(entries) for entries in sqs.requests] == [2, 2, 1, 10, 10, 5]
    assert all(sum(len(entry["MessageBody"]) for entry in entries) <= MAX_BATCH_BYTES for entries in sqs.requests)


def test_the_ids_of_unsent_dead_letters_are_returned() -> None:
    """The event source then delivers their messages again."""
    assert send(RecordingSqs(), Rejection("m1", "no", "r", "d"), Rejection("m2", "yes", "r", "d")) == {"m1"}
    assert send(RecordingSqs(unavailable=True), Rejection("m1", "x", "r", "d")) == {"m1"}
    assert NoDeadLetters().send([Rejection("m1", "x", "r", "d")]) == {"m1"}
