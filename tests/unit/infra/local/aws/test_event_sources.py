"""The event source mappings acknowledge or delete a message only after its function has processed it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.local.aws.batch_journal import BatchJournal
from infra.local.aws.fanout_event_source import FanoutEventSourceMapping
from infra.local.aws.ingest_event_source import LARGEST_BATCH, Inbox, IngestEventSourceMapping, ReceivedMessage
from infra.local.aws.queue_file import QueueFile
from infra.local.aws.sqs_event import QueueMessage, failed_ids, sqs_event
from shared.errors import TransientError


def _received(number: int, *, size: int = 1) -> ReceivedMessage:
    topic = "vedette/hq/gate-01/events/camera-1/tracking"
    return ReceivedMessage(
        topic=topic, payload=b"%d" % number * size, packet_id=number, connection=1, received_at_ms=1000
    )


class RecordingAcknowledger:
    """Records acknowledged packet ids."""

    def __init__(self) -> None:
        self.packet_ids: list[int] = []

    def acknowledge(self, arrival: ReceivedMessage) -> None:
        self.packet_ids.append(arrival.packet_id)


class Function:
    """A fake ingest function. It records the payloads of each batch; ``behave`` returns those that fail, or raises."""

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
        failed = self._behave(list(payloads.values()))
        failures = [{"itemIdentifier": key} for key, payload in payloads.items() if payload in failed]
        return json.dumps({"batchItemFailures": failures}).encode()


class Harness:
    """A mapping with a clock that only ``steps`` advances."""

    def __init__(self, behave: Callable[[list[str]], set[str]], folder: Path) -> None:
        self.now_s = 0.0
        self.journal = BatchJournal(folder / "batch.json")
        self.inbox = Inbox()
        self.acknowledged = RecordingAcknowledger()
        self.function = Function(behave)
        self.mapping = IngestEventSourceMapping(
            inbox=self.inbox,
            invoke=self.function,
            acknowledger=self.acknowledged,
            journal=self.journal,
            monotonic=lambda: self.now_s,
            sleep=lambda _: None,
        )

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.now_s += 6
            self.mapping.step(idle_s=0)


def _succeed(_: list[str]) -> set[str]:
    return set()


def test_a_batch_has_the_shape_of_an_sqs_event(tmp_path: Path) -> None:
    """The record contains the topic, the exact bytes, the device as client id, and the ARN of the ingest queue."""
    harness = Harness(_succeed, tmp_path)
    harness.inbox.put(_received(7))
    harness.steps(1)
    (event,) = harness.function.events
    (record,) = event["Records"]  # type: ignore[misc]
    assert (record["eventSource"], record["eventSourceARN"].rsplit(":", 1)[1]) == ("aws:sqs", "vedette-ingest")
    body = json.loads(record["body"])
    assert body["topic"] == "vedette/hq/gate-01/events/camera-1/tracking"
    assert (body["client_id"], body["received_at_ms"]) == ("gate-01", 1000)
    assert harness.acknowledged.packet_ids == [7]


def test_failed_messages_are_retried_and_the_others_acknowledged(tmp_path: Path) -> None:
    """Ingest receives again only the messages that it reported as failed."""
    harness = Harness(lambda _: {"2"} if len(harness.function.batches) < 3 else set(), tmp_path)
    for number in (1, 2, 3):
        harness.inbox.put(_received(number))
    harness.steps(1)
    assert harness.acknowledged.packet_ids == [1, 3]
    harness.steps(2)
    assert harness.acknowledged.packet_ids == [1, 3, 2]


def test_a_message_that_crashes_the_function_is_isolated(tmp_path: Path) -> None:
    """The batch is halved until the message is in a batch of its own, which is retried without limit."""

    def behave(payloads: list[str]) -> set[str]:
        if "13" in payloads:
            raise TransientError("the function died")
        return set()

    harness = Harness(behave, tmp_path)
    for number in range(20):
        harness.inbox.put(_received(number))
    harness.steps(60)
    assert sorted(harness.acknowledged.packet_ids) == [number for number in range(20) if number != 13]
    assert harness.function.batches[-1] == ["13"]


def test_messages_of_an_outage_are_acknowledged_once_afterwards(tmp_path: Path) -> None:
    """While the function fails, no message is acknowledged."""
    unavailable = True

    def behave(_: list[str]) -> set[str]:
        if unavailable:
            raise TransientError("the database is unavailable")
        return set()

    harness = Harness(behave, tmp_path)
    for number in range(50):
        harness.inbox.put(_received(number))
    harness.steps(5)
    assert harness.acknowledged.packet_ids == []
    unavailable = False
    harness.steps(30)
    assert sorted(harness.acknowledged.packet_ids) == list(range(50))


def test_a_failed_message_is_retried_after_a_pause(tmp_path: Path) -> None:
    """The function is not invoked again before the pause is over."""
    harness = Harness(lambda _: {"1"}, tmp_path)
    harness.inbox.put(_received(1))
    harness.steps(1)
    harness.mapping.step(idle_s=0)
    assert len(harness.function.batches) == 1


def test_batches_are_limited_in_number_and_bytes() -> None:
    """A batch stays within Lambda's limits, but contains at least one message."""
    inbox = Inbox()
    for number in range(LARGEST_BATCH + 5):
        inbox.put(_received(number))
    assert len(inbox.take(most=LARGEST_BATCH, most_bytes=10**9)) == LARGEST_BATCH
    inbox.put(_received(1, size=2000))
    assert len(inbox.take(most=10, most_bytes=1)) == 1


def test_run_returns_when_it_is_stopped(tmp_path: Path) -> None:
    """The loop ends after the event is set."""
    harness, stopped = Harness(_succeed, tmp_path), threading.Event()
    loop = threading.Thread(target=harness.mapping.run, args=(stopped,))
    loop.start()
    harness.inbox.put(_received(1))
    stopped.set()
    loop.join(10)
    assert not loop.is_alive()


@pytest.mark.parametrize(
    ("response", "failed"),
    [
        (b"", set[str]()),
        (b"null", set[str]()),
        (b'{"batchItemFailures": []}', set[str]()),
        (b'{"batchItemFailures": [{"itemIdentifier": "a"}]}', {"a"}),
        (b'{"batchItemFailures": [{"itemIdentifier": "unknown"}]}', {"a", "b"}),
        (b'{"batchItemFailures": [{"wrong": "a"}]}', {"a", "b"}),
        (b"[1]", {"a", "b"}),
        (b"not json", {"a", "b"}),
    ],
)
def test_the_response_is_interpreted_as_on_aws(response: bytes, failed: set[str]) -> None:
    """A malformed response means that the whole batch failed."""
    messages = [QueueMessage(message_id=name, body="", sent_at_ms=0) for name in ("a", "b")]
    assert failed_ids(response, messages) == failed


def test_fan_out_deletes_delivered_messages(tmp_path: Path) -> None:
    """Messages that the function reports as failed are retried; the others are deleted."""
    queues = QueueFile(tmp_path / "queues.db")
    queues.put("fan", [("good", "{}"), ("bad", "{}")])
    batches: list[list[str]] = []

    def invoke(event: bytes) -> bytes:
        records = json.loads(event)["Records"]
        batches.append([record["body"] for record in records])
        failures = [{"itemIdentifier": record["messageId"]} for record in records if record["body"] == "bad"]
        return json.dumps({"batchItemFailures": failures if len(batches) == 1 else []}).encode()

    mapping = FanoutEventSourceMapping(queues=queues, queue="fan", dead_queue="dead", invoke=invoke)
    mapping.step(wait_s=0)
    assert queues.count("fan") == 1
    mapping.step(wait_s=5)
    assert (batches, queues.count("fan")) == ([["good", "bad"], ["bad"]], 0)
    queues.close()


def test_fan_out_keeps_all_messages_while_the_function_fails(tmp_path: Path) -> None:
    """If an invocation fails, no message of the batch is deleted."""
    queues = QueueFile(tmp_path / "queues.db")
    queues.put("fan", [("a", "{}"), ("b", "{}")])

    def invoke(_: bytes) -> bytes:
        raise TransientError("no function")

    FanoutEventSourceMapping(queues=queues, queue="fan", dead_queue="dead", invoke=invoke).step(wait_s=0)
    assert queues.count("fan") == 2
    queues.close()


def test_fan_out_moves_a_message_to_the_dead_letter_queue_after_thirty_failures(tmp_path: Path) -> None:
    """The body and the attributes are unchanged."""
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


def test_python_an_unexpected_error_of_ingest_loses_no_message(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The batch is retried after a pause, as after an expected error, and one traceback is logged."""
    broken = [True]

    def behave(_: list[str]) -> set[str]:
        if broken[0]:
            raise ZeroDivisionError
        return set()

    harness = Harness(behave, tmp_path)
    for number in range(1, 5):
        harness.inbox.put(_received(number))
    harness.steps(6)
    assert harness.acknowledged.packet_ids == []
    broken[0] = False
    harness.steps(6)
    assert sorted(harness.acknowledged.packet_ids) == [1, 2, 3, 4]
    assert caplog.text.count("Traceback") == 1


def test_python_a_failed_acknowledgement_is_repeated(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """A lost connection may raise any exception. The other messages of the batch are acknowledged."""
    harness = Harness(_succeed, tmp_path)
    acknowledge, faults = harness.acknowledged.acknowledge, [2]

    def fail_at_first(arrival: ReceivedMessage) -> None:
        if faults and arrival.packet_id == faults[0]:
            faults.clear()
            raise RuntimeError
        acknowledge(arrival)

    harness.acknowledged.acknowledge = fail_at_first
    for number in range(1, 4):
        harness.inbox.put(_received(number))
    harness.steps(3)
    assert sorted(harness.acknowledged.packet_ids) == [1, 2, 3]
    assert "acknowledging a message failed unexpectedly" in caplog.text


class Pauses(threading.Event):
    """An event that is set after ``most`` waits; it records the timeout of each wait."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.seconds: list[float | None] = []
        self._most = most

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        if len(self.seconds) >= self._most:
            self.set()
        return self.is_set()


def test_python_an_unreadable_queue_does_not_end_the_loop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each further failure doubles the pause, and one traceback is logged."""
    queues = QueueFile(tmp_path / "queues.db")
    mapping = FanoutEventSourceMapping(queues=queues, queue="missing", dead_queue="dead", invoke=lambda _: b"{}")

    def fail(*_: object, **__: object) -> list[QueueMessage]:
        raise ZeroDivisionError

    queues.take = fail
    pauses = Pauses(5)
    mapping.run(pauses)
    queues.close()
    assert pauses.seconds == [0.2, 0.4, 0.8, 1.6, 2.0]
    assert caplog.text.count("Traceback") == 1
    assert "processing the queue missing failed unexpectedly" in caplog.text


def test_a_target_that_is_down_is_not_asked_for_each_new_event(tmp_path: Path) -> None:
    """The pause grows while nothing is delivered, and ends with the first delivery."""
    queues = QueueFile(tmp_path / "queues.db")
    pauses = Pauses(4)
    invocations = 0

    def invoke(event: bytes) -> bytes:
        nonlocal invocations
        invocations += 1
        queues.put("fan", [("another", "{}")])
        failures = [{"itemIdentifier": record["messageId"]} for record in json.loads(event)["Records"]]
        return json.dumps({"batchItemFailures": [] if invocations == 3 else failures}).encode()

    queues.put("fan", [("first", "{}")])
    FanoutEventSourceMapping(queues=queues, queue="fan", dead_queue="dead", invoke=invoke).run(pauses)
    queues.close()
    assert (pauses.seconds, invocations) == ([0.2, 0.4, 0.2, 0.4], 5)


def test_python_an_error_of_the_inbox_does_not_end_the_loop(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """After an unexpected error the loop waits and continues."""
    harness = Harness(_succeed, tmp_path)

    def fail(timeout_s: float) -> None:
        del timeout_s
        raise ZeroDivisionError

    harness.inbox.wait = fail
    pauses = Pauses(3)
    harness.mapping.run(pauses)
    assert pauses.seconds == [0.1, 0.2, 0.4]
    assert caplog.text.count("Traceback") == 1


class _PowerCut(BaseException):
    """Ends the process at once."""


def test_the_batch_that_a_power_cut_interrupted_is_processed_first(tmp_path: Path) -> None:
    """Its events may be stored and not published, and the broker may have forgotten the messages."""

    def lose_power(_: list[str]) -> set[str]:
        raise _PowerCut

    harness = Harness(lose_power, tmp_path)
    harness.inbox.put(_received(1))
    with pytest.raises(_PowerCut):
        harness.steps(1)

    outcomes = [{"1"}, set[str](), set[str]()]  # the database is not ready at first
    stopped = threading.Event()

    def behave(_: list[str]) -> set[str]:
        if len(restarted.function.batches) == 3:
            stopped.set()
        return outcomes[len(restarted.function.batches) - 1]

    restarted = Harness(behave, tmp_path)
    restarted.inbox.put(_received(2))
    restarted.mapping.run(stopped)
    assert restarted.function.batches == [["1"], ["1"], ["2"]]
    assert restarted.acknowledged.packet_ids == [2]
    assert restarted.journal.left() is None


def test_a_batch_that_always_fails_is_given_up_after_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It would otherwise keep the others waiting for ever."""
    pauses = Pauses(100)

    def fail(payloads: list[str]) -> set[str]:
        if len(harness.function.batches) > 20:
            pauses.set()
        return set(payloads)

    harness = Harness(fail, tmp_path)
    harness.journal.write(sqs_event("q", [QueueMessage(message_id="m", body=_received(1).body(), sent_at_ms=0)]))
    harness.mapping.run(pauses)
    assert len(pauses.seconds) == 20
    assert "given up" in caplog.text
    assert harness.journal.left() is None
