"""The consumer retries failed records, pauses during an outage, and dead-letters records that keep failing."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from cloud_functions.ingest.kafka.consumer import LONGEST_OUTAGE_PAUSE_S, MAX_SUSPECT_FAILURES
from cloud_functions.ingest.progress import BatchResult
from cloud_functions.ingest.sources.messages import Invocation
from tests.support.kafka_consumer_harness import PLATES, ConsumerHarness, ids


def test_a_partition_is_committed_up_to_its_first_failed_record() -> None:
    """Later records are processed meanwhile, and are committed once the failed one is done."""
    harness = ConsumerHarness(plates=30)
    harness.ingest.failing = lambda message_id: message_id in ids(4)
    harness.steps(3)
    assert harness.source.committed == {PLATES: 4}
    assert set(harness.ingest.done) == ids(*range(30)) - ids(4)
    harness.ingest.failing = lambda message_id: False
    harness.steps(10)
    assert harness.source.committed == {PLATES: 30}
    assert sorted(harness.ingest.done) == sorted(ids(*range(30)))


def test_during_an_outage_the_consumer_pauses_and_commits_nothing() -> None:
    """It retries a limited number of records after growing pauses, and continues when the outage ends."""
    harness = ConsumerHarness(plates=500)
    harness.ingest.failing = lambda message_id: True
    began_s = harness.clock.now_s
    steps = 0
    while harness.clock.now_s < began_s + 600:
        harness.consumer.step()
        steps += 1
    assert harness.source.commits == 0
    assert harness.source.paused
    assert 100 <= harness.source.position[PLATES] <= 110
    assert 600 / LONGEST_OUTAGE_PAUSE_S <= len(harness.ingest.batches) <= 600 / LONGEST_OUTAGE_PAUSE_S + 10
    assert steps < 600 / 0.4
    harness.ingest.failing = lambda message_id: False
    harness.steps(100)
    assert harness.source.committed == {PLATES: 500}
    assert harness.ingest.dead_letters == []


def test_a_single_failing_record_does_not_block_later_ones() -> None:
    """If a topic has no other record, an outage is assumed until the next record succeeds."""
    harness = ConsumerHarness(plates=1)
    harness.ingest.crashing = ids(0)
    harness.steps(50)
    assert harness.ingest.done == []
    for number in range(2, 30):
        harness.source.ends[PLATES] = number
        arrived_s = harness.clock.now_s
        while len(harness.ingest.done) < number - 1:
            harness.consumer.step()
        assert harness.clock.now_s - arrived_s <= (LONGEST_OUTAGE_PAUSE_S if number == 2 else 0.6)
    assert harness.source.commits == 0


def test_more_failing_records_than_a_batch_do_not_block_others() -> None:
    """Retries take turns with new records."""
    harness = ConsumerHarness(plates=25)
    harness.ingest.failing = lambda message_id: message_id in ids(*range(20))
    harness.steps(200)
    assert set(harness.ingest.done) == ids(20, 21, 22, 23, 24)
    assert harness.source.commits == 0


def test_a_rejected_record_does_not_end_an_outage() -> None:
    """Records can be rejected without the database, so a rejection does not make failed records suspect."""
    harness = ConsumerHarness(batch=2, plates=200)
    harness.ingest.failing = lambda message_id: True
    harness.ingest.rejecting = ids(*range(0, 200, 2))
    harness.steps(2000)
    assert harness.ingest.dead_letters == []
    assert harness.source.committed == {PLATES: 1}


def test_a_record_that_crashes_ingest_is_isolated_and_dead_lettered(caplog: pytest.LogCaptureFixture) -> None:
    """It is found by halving its batch. The other records are done, and after many attempts it is dead-lettered."""
    harness = ConsumerHarness(plates=1000, batch=100)
    harness.ingest.crashing = ids(123)
    harness.steps(12)
    assert set(harness.ingest.done) == ids(*range(1000)) - ids(123)
    assert harness.source.committed == {PLATES: 123}
    assert "ingesting plates-0@123 failed unexpectedly" in caplog.text
    for number in range(1000, 1000 + 10 * MAX_SUSPECT_FAILURES):
        harness.source.ends[PLATES] = number
        harness.clock.now_s += 5
        harness.consumer.step()
    [dead_letter] = harness.ingest.dead_letters
    assert (dead_letter.message_id, dead_letter.reason) == ("plates-0@123", "undeliverable")
    assert harness.source.committed == {PLATES: number}


def test_a_record_that_cannot_be_dead_lettered_is_not_committed() -> None:
    """It stays in the backlog, and dead-lettering is repeated."""
    harness = ConsumerHarness(plates=1)
    harness.ingest.crashing = ids(0)
    refused: list[int] = []
    harness.ingest.process = refuse_rejections(harness.ingest.process, refused)  # type: ignore[method-assign]
    for number in range(1, 10 * MAX_SUSPECT_FAILURES):
        harness.source.ends[PLATES] = number
        harness.clock.now_s += 5
        harness.consumer.step()
    assert refused == [1] * len(refused)
    assert len(refused) > 5
    assert harness.source.commits == 0


def refuse_rejections(
    process: Callable[[Invocation], BatchResult], refused: list[int]
) -> Callable[[Invocation], BatchResult]:
    def refusing(invocation: Invocation) -> BatchResult:
        if invocation.rejections:
            message_ids = {rejection.message_id for rejection in invocation.rejections}
            refused.append(len(message_ids))
            return BatchResult(message_ids, message_ids)
        return process(invocation)

    return refusing


def test_the_number_of_records_in_memory_is_limited() -> None:
    """The consumer stops fetching when too many records wait for a retry."""
    harness = ConsumerHarness(plates=100_000)
    harness.ingest.failing = lambda message_id: int(message_id.rpartition("@")[2]) % 2 == 1
    harness.steps(200)
    assert harness.source.position[PLATES] <= 2 * 10 * 10 + 10
    harness.ingest.failing = lambda message_id: False
    while harness.source.committed != {PLATES: 100_000}:
        harness.consumer.step()


def test_stopping_commits_and_logs_a_summary(caplog: pytest.LogCaptureFixture) -> None:
    """This also happens when an exception ends the consumer."""
    caplog.set_level(logging.INFO)
    harness = ConsumerHarness(plates=250, every=100)
    stopped = iter([False] * 25)
    harness.consumer.run(lambda: next(stopped, True))
    assert harness.source.committed == {PLATES: 250}
    lines = [line.getMessage() for line in caplog.records]
    assert [line.partition(" ")[0] for line in lines] == ["100", "200", "250"]
    assert "0 to retry, 150 behind" in lines[0]
    harness.ingest.failing = lambda message_id: True
    harness.source.ends[PLATES] = 260
    consumer = harness.new_consumer()
    with pytest.raises(KeyboardInterrupt):
        consumer.run(interrupted_at(3))
    assert harness.source.committed == {PLATES: 250}
    assert "10 not processed" in caplog.text


def interrupted_at(count: int) -> Callable[[], bool]:
    calls = iter(range(count))

    def stopped() -> bool:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return False

    return stopped


def test_python_a_repeated_error_of_ingest_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Several records fail many times in the same way, and the log contains one traceback."""
    harness = ConsumerHarness(plates=1000, batch=100)
    harness.ingest.crashing = ids(123, 321, 555)
    for number in range(1000, 1100):
        harness.source.ends[PLATES] = number
        harness.clock.now_s += 5
        harness.consumer.step()
    assert caplog.text.count("Traceback") == 1


def test_python_an_unexpected_error_of_dead_letters_does_not_end_the_consumer(caplog: pytest.LogCaptureFixture) -> None:
    """The record stays in the backlog, and is dead-lettered when that works again."""
    harness = ConsumerHarness(plates=100, batch=100)
    harness.ingest.crashing = ids(7)
    process, failing = harness.ingest.process, [True]

    def fail_dead_letters(invocation: Invocation) -> BatchResult:
        if invocation.rejections and failing[0]:
            raise ZeroDivisionError
        return process(invocation)

    harness.ingest.process = fail_dead_letters

    def steps(first: int, last: int) -> None:
        for number in range(first, last):
            harness.source.ends[PLATES] = number
            harness.clock.now_s += 5
            harness.consumer.step()

    steps(100, 100 + 10 * MAX_SUSPECT_FAILURES)
    assert "writing dead letters failed unexpectedly" in caplog.text
    assert harness.ingest.dead_letters == []
    failing[0] = False
    steps(100 + 10 * MAX_SUSPECT_FAILURES, 100 + 12 * MAX_SUSPECT_FAILURES)
    assert [rejection.message_id for rejection in harness.ingest.dead_letters] == ["plates-0@7"]
