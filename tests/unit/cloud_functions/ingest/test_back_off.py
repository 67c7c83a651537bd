"""A message that ingest returns is delivered again after a pause that grows with its deliveries."""

from __future__ import annotations

from typing import Any

import pytest

from cloud_functions.ingest.back_off import QueueBackOff, pause_s
from cloud_functions.ingest.handler import build_ingest
from tests.support.ports import reserve_port
from tests.support.wire_events import batch, wire_event

QUEUE = "https://sqs.eu-central-1.amazonaws.com/1/ingest"


class Sqs:
    """Records the requests; each entry of ``failures`` fails one."""

    def __init__(self, *failures: Exception) -> None:
        self.requests: list[dict[str, Any]] = []
        self._failures = list(failures)

    def client(self, service: str) -> Sqs:
        assert service == "sqs"
        return self

    def change_message_visibility_batch(self, **request: Any) -> dict[str, Any]:
        if self._failures:
            raise self._failures.pop(0)
        self.requests.append(request)
        return {}


def _record(name: str, deliveries: int = 1) -> dict[str, Any]:
    return {
        "messageId": name,
        "receiptHandle": f"handle-{name}",
        "attributes": {"ApproximateReceiveCount": str(deliveries)},
    }


@pytest.mark.parametrize(("deliveries", "expected_s"), [(0, 15), (1, 15), (2, 30), (5, 240), (6, 360), (100, 360)])
def test_the_pause_doubles_up_to_a_limit(deliveries: int, expected_s: int) -> None:
    """The limit is the visibility timeout of the template, so that an outage may last as long as before."""
    assert pause_s(_record("a", deliveries)) == expected_s


def test_only_returned_messages_get_a_pause_in_requests_of_ten() -> None:
    """Ten entries are the limit of SQS."""
    sqs: Any = Sqs()
    records = [_record(f"m{number}", deliveries=2) for number in range(13)]
    QueueBackOff(queue_url=QUEUE, aws=sqs).apply({"Records": records}, {f"m{number}" for number in range(1, 13)})
    assert [len(request["Entries"]) for request in sqs.requests] == [10, 2]
    entries = [entry for request in sqs.requests for entry in request["Entries"]]
    assert [entry["ReceiptHandle"] for entry in entries] == [f"handle-m{number}" for number in range(1, 13)]
    assert {entry["VisibilityTimeout"] for entry in entries} == {30}
    assert {request["QueueUrl"] for request in sqs.requests} == {QUEUE}


def test_a_failing_queue_is_asked_once_and_nothing_is_raised() -> None:
    """The messages come back after the visibility timeout."""
    sqs: Any = Sqs(ConnectionError("no route"))
    records = [_record(f"m{number}") for number in range(25)]
    QueueBackOff(queue_url=QUEUE, aws=sqs).apply({"Records": records}, {record["messageId"] for record in records})
    assert sqs.requests == []


def test_a_slow_queue_takes_no_more_than_its_time() -> None:
    """An invocation that is out of time would process its batch for nothing."""
    sqs: Any = Sqs()
    clock = iter([0.0, 1.0, 4.0, 6.0])
    records = [_record(f"m{number}") for number in range(40)]
    back_off = QueueBackOff(queue_url=QUEUE, aws=sqs, monotonic=lambda: next(clock))
    back_off.apply({"Records": records}, {record["messageId"] for record in records})
    assert len(sqs.requests) == 2


def test_ingest_sets_the_pause_of_what_it_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here everything, because there is no database."""
    applied: list[tuple[Any, set[str]]] = []
    monkeypatch.setattr(QueueBackOff, "apply", lambda _, event, failed: applied.append((event, set(failed))))
    database_url = f"postgresql://127.0.0.1:{reserve_port()}/none"
    event = batch([wire_event()])
    expected = {record["messageId"] for record in event["Records"]}
    variables = {"DATABASE_URL": database_url, "RETURN_QUEUE_URL": QUEUE}
    answer = build_ingest(variables).handle(event)
    assert {one["itemIdentifier"] for one in answer["batchItemFailures"]} == expected
    assert applied == [(event, expected)]
    build_ingest({"DATABASE_URL": database_url}).handle(event)
    assert len(applied) == 1
