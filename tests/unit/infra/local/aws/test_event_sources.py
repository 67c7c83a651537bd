"""The loops that hand messages to functions: nothing is acknowledged or deleted before it was processed."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.local.aws.fanout_event_source import FanoutEventSourceMapping
from infra.local.aws.ingest_event_source import LARGEST_BATCH, Inbox, IngestEventSourceMapping, ReceivedMessage
from infra.local.aws.queue_file import QueueFile
from infra.local.aws.sqs_event import QueueMessage, failed_ids
from shared.errors import TransientError


def _arrival(number: int, *, size: int = 1) -> ReceivedMessage:
    topic = "vedette/hq/gate-01/events/camera-1/tracking"
    return ReceivedMessage(
        topic=topic, payload=b"%d" % number * size, packet_id=number, connection=1, received_at_ms=1000
    )


class Acknowledged:
    """Records acknowledged packet ids."""

    def __init__(self) -> None:
        self.packet_ids: list[int] = []

    def acknowledge(self, arrival: ReceivedMessage) -> None:
        self.packet_ids.append(arrival.packet_id)


class Function:
    """A fake ingest function: records the payloads of each batch, and answers or raises as `behave` says."""

    def __init__(self, behave: Callable[[list[str]], set[str]]) -> None:
        self._behave = behave
        self.batches: list[list[str]] = []
        self.events: list[dict[str, object]] = []

    def __call__(self, event: bytes) -> bytes:
        request = json.loads(event)
        self.events.append(request)
        payloads = {
            record["messageId"]: base64.b64decode(json.loads(record["body"])["payload_base64"]).decode()
            for record in request["Records"]
        }
        self.batches.append(list(payloads.values()))
        bad = self._behave(list(payloads.values()))
        failures = [{"itemIdentifier": key} for key, payload in payloads.items() if payload in bad]
        return json.dumps({"batchItemFailures": failures}).encode()


class Harness:
    """A mapping with a clock that moves only when it sleeps or the test says so."""

    def __init__(self, behave: Callable[[list[str]], set[str]]) -> None:
        self.now_s = 0.0
        self.inbox = Inbox()
        self.acknowledged = Acknowledged()
        self.function = Function(behave)
        self.mapping = IngestEventSourceMapping(
            inbox=self.inbox,
            invoke=self.function,
            acknowledger=self.acknowledged,
            monotonic=lambda: self.now_s,
            sleep=lambda _: None,
        )

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.now_s += 6
            self.mapping.step(idle_s=0)


def _all_well(_: list[str]) -> set[str]:
    return set()


def test_a_batch_has_the_shape_of_an_sqs_event() -> None:
    """The record carries topic, exact bytes, the device as client id, and the queue it stands for."""
    harness = Harness(_all_well)
    harness.inbox.put(_arrival(7))
    harness.steps(1)
    (event,) = harness.function.events
    (record,) = event["Records"]  # type: ignore[misc]
    assert (record["eventSource"], record["eventSourceARN"].rsplit(":", 1)[1]) == ("aws:sqs", "vedette-ingest")
    body = json.loads(record["body"])
    assert body["topic"] == "vedette/hq/gate-01/events/camera-1/tracking"
    assert (body["client_id"], body["received_at_ms"]) == ("gate-01", 1000)
    assert harness.acknowledged.packet_ids == [7]


def test_failed_messages_are_tried_again_and_their_neighbours_acknowledged() -> None:
    """Of a batch, what ingest reports comes again; the rest is done with."""
    harness = Harness(lambda _: {"2"} if len(harness.function.batches) < 3 else set())
    for number in (1, 2, 3):
        harness.inbox.put(_arrival(number))
    harness.steps(1)
    assert harness.acknowledged.packet_ids == [1, 3]
    harness.steps(2)
    assert harness.acknowledged.packet_ids == [1, 3, 2]


def test_one_message_that_crashes_the_function_ends_up_alone() -> None:
    """The batch is halved until the bad message is alone; it is never given up."""

    def behave(payloads: list[str]) -> set[str]:
        if "13" in payloads:
            raise TransientError("the function died")
        return set()

    harness = Harness(behave)
    for number in range(20):
        harness.inbox.put(_arrival(number))
    harness.steps(60)
    assert sorted(harness.acknowledged.packet_ids) == [number for number in range(20) if number != 13]
    assert harness.function.batches[-1] == ["13"]


def test_an_outage_acknowledges_nothing_and_then_everything_once() -> None:
    """While the function fails nothing is acknowledged; afterwards everything is, once."""
    away = True

    def behave(_: list[str]) -> set[str]:
        if away:
            raise TransientError("the database is away")
        return set()

    harness = Harness(behave)
    for number in range(50):
        harness.inbox.put(_arrival(number))
    harness.steps(5)
    assert harness.acknowledged.packet_ids == []
    away = False
    harness.steps(30)
    assert sorted(harness.acknowledged.packet_ids) == list(range(50))


def test_retries_wait_for_their_time() -> None:
    """A failed message is not tried again before its pause is over."""
    harness = Harness(lambda _: {"1"})
    harness.inbox.put(_arrival(1))
    harness.steps(1)
    harness.mapping.step(idle_s=0)
    assert len(harness.function.batches) == 1


def test_batches_are_bounded_in_number_and_bytes() -> None:
    """No more than Lambda takes, yet always at least one."""
    inbox = Inbox()
    for number in range(LARGEST_BATCH + 5):
        inbox.put(_arrival(number))
    assert len(inbox.take(most=LARGEST_BATCH, most_bytes=10**9)) == LARGEST_BATCH
    inbox.put(_arrival(1, size=2000))
    assert len(inbox.take(most=10, most_bytes=1)) == 1


def test_the_loop_ends_when_stopped() -> None:
    """``run`` processes messages and returns soon after the event is set."""
    harness, stopped = Harness(_all_well), threading.Event()
    loop = threading.Thread(target=harness.mapping.run, args=(stopped,))
    loop.start()
    harness.inbox.put(_arrival(1))
    stopped.set()
    loop.join(10)
    assert not loop.is_alive()


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (b"", set[str]()),
        (b"null", set[str]()),
        (b'{"batchItemFailures": []}', set[str]()),
        (b'{"batchItemFailures": [{"itemIdentifier": "a"}]}', {"a"}),
        (b'{"batchItemFailures": [{"itemIdentifier": "stranger"}]}', {"a", "b"}),
        (b'{"batchItemFailures": [{"wrong": "a"}]}', {"a", "b"}),
        (b"[1]", {"a", "b"}),
        (b"not json", {"a", "b"}),
    ],
)
def test_the_answer_is_read_as_aws_reads_it(answer: bytes, failed: set[str]) -> None:
    """An answer of the wrong shape means that the whole batch failed."""
    messages = [QueueMessage(message_id=name, body="", sent_at_ms=0) for name in ("a", "b")]
    assert failed_ids(answer, messages) == failed


def test_fan_out_deletes_what_went_well(tmp_path: Path) -> None:
    """Messages that the function reports as failed are retried; the others are deleted."""
    queues = QueueFile(tmp_path / "queues.db")
    queues.put("fan", [("good", "{}"), ("bad", "{}")])
    seen: list[list[str]] = []

    def invoke(event: bytes) -> bytes:
        records = json.loads(event)["Records"]
        seen.append([record["body"] for record in records])
        failures = [{"itemIdentifier": record["messageId"]} for record in records if record["body"] == "bad"]
        return json.dumps({"batchItemFailures": failures if len(seen) == 1 else []}).encode()

    mapping = FanoutEventSourceMapping(queues=queues, queue="fan", dead_queue="dead", invoke=invoke)
    mapping.step(wait_s=0)
    assert queues.count("fan") == 1
    mapping.step(wait_s=5)
    assert (seen, queues.count("fan")) == ([["good", "bad"], ["bad"]], 0)
    queues.close()


def test_fan_out_keeps_everything_while_the_function_is_down(tmp_path: Path) -> None:
    """A function that fails altogether leaves the queue as it was."""
    queues = QueueFile(tmp_path / "queues.db")
    queues.put("fan", [("a", "{}"), ("b", "{}")])

    def invoke(_: bytes) -> bytes:
        raise TransientError("no function")

    FanoutEventSourceMapping(queues=queues, queue="fan", dead_queue="dead", invoke=invoke).step(wait_s=0)
    assert queues.count("fan") == 2
    queues.close()


def test_fan_out_gives_up_after_many_tries(tmp_path: Path) -> None:
    """What fails thirty times ends in the dead-letter queue, whole."""
    queues = QueueFile(tmp_path / "queues.db")
    queues.put("fan", [("poison", '{"a": {}}')])

    def invoke(_: bytes) -> bytes:
        raise TransientError("cannot read it")

    mapping = FanoutEventSourceMapping(queues=queues, queue="fan", dead_queue="dead", invoke=invoke)
    for _ in range(29):
        queues.hide(queues.take("fan", most=1, hidden_s=0), hidden_s=0)
    mapping.step(wait_s=0)
    assert queues.count("fan") == 0
    (dead,) = queues.take("dead", most=1, hidden_s=0)
    assert (dead.body, dead.attributes) == ("poison", '{"a": {}}')
    queues.close()


def test_python_an_unexpected_failure_of_ingest_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The batch is tried again with a pause, as after an expected failure; one traceback is logged."""
    broken = [True]

    def behave(_: list[str]) -> set[str]:
        if broken[0]:
            raise ZeroDivisionError
        return set()

    harness = Harness(behave)
    for number in range(1, 5):
        harness.inbox.put(_arrival(number))
    harness.steps(6)
    assert harness.acknowledged.packet_ids == []
    broken[0] = False
    harness.steps(6)
    assert sorted(harness.acknowledged.packet_ids) == [1, 2, 3, 4]
    assert caplog.text.count("Traceback") == 1


def test_python_an_acknowledgement_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """A broken connection may raise anything; the other messages of the batch are acknowledged all the same."""
    harness = Harness(_all_well)
    acknowledge, faults = harness.acknowledged.acknowledge, [2]

    def fail_at_first(arrival: ReceivedMessage) -> None:
        if faults and arrival.packet_id == faults[0]:
            faults.clear()
            raise RuntimeError
        acknowledge(arrival)

    harness.acknowledged.acknowledge = fail_at_first
    for number in range(1, 4):
        harness.inbox.put(_arrival(number))
    harness.steps(3)
    assert sorted(harness.acknowledged.packet_ids) == [1, 2, 3]
    assert "acknowledging a message failed unexpectedly" in caplog.text


class Pauses(threading.Event):
    """An event that is set after `most` waits; records the timeout of each wait."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.seconds: list[float | None] = []
        self._most = most

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        if len(self.seconds) >= self._most:
            self.set()
        return self.is_set()


def test_python_a_queue_that_cannot_be_read_does_not_end_the_loop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each failure in a row doubles the pause; one traceback is logged."""
    queues = QueueFile(tmp_path / "queues.db")
    mapping = FanoutEventSourceMapping(queues=queues, queue="missing", dead_queue="dead", invoke=lambda _: b"{}")

    def fail(*_: object, **__: object) -> list[QueueMessage]:
        raise ZeroDivisionError

    queues.take = fail
    pauses = Pauses(5)
    mapping.run(pauses)
    queues.close()
    assert pauses.seconds == [0.2, 0.4, 0.8, 1.6, 3.2]
    assert caplog.text.count("Traceback") == 1
    assert "processing the queue missing failed unexpectedly" in caplog.text


def test_python_an_inbox_that_fails_does_not_end_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    """After an unexpected error the loop waits and continues."""
    harness = Harness(_all_well)

    def fail(_: float) -> None:
        raise ZeroDivisionError

    harness.inbox.wait = fail
    pauses = Pauses(3)
    harness.mapping.run(pauses)
    assert pauses.seconds == [0.1, 0.2, 0.4]
    assert caplog.text.count("Traceback") == 1
