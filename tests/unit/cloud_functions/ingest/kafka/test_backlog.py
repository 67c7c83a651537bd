"""The backlog allows commits up to the first record that is not done, for any order of operations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cloud_functions.ingest.kafka.backlog import FIRST_PAUSE_S, Backlog
from cloud_functions.ingest.sources.kafka_records import KafkaRecord

PARTITIONS = [("plates", 0), ("plates", 1), ("others", 0)]


def record(partition: tuple[str, int], offset: int) -> KafkaRecord:
    return KafkaRecord(*partition, offset, 0, None, b"{}", ())


class BacklogMachine(RuleBasedStateMachine):
    """A group member that takes, finishes, fails, commits and loses records, compared with a simple model."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog()
        self.ends = dict.fromkeys(PARTITIONS, 0)
        self.began: dict[tuple[str, int], int] = {}
        self.open: dict[tuple[str, int], set[int]] = {}
        self.broker: dict[tuple[str, int], int] = {}
        self.done: set[tuple[str, int, int]] = set()
        self.now_s = 0.0

    @rule(partition=st.sampled_from(PARTITIONS), count=st.integers(1, 5), gap=st.integers(0, 2))
    def take(self, partition: tuple[str, int], count: int, gap: int) -> None:
        """Add records in order; compaction and transactions leave gaps between offsets."""
        if partition not in self.began:  # a newly assigned partition starts at the committed offset
            self.began[partition] = self.ends[partition] = self.broker.get(partition, 0)
            self.open[partition] = set()
        offsets = range(self.ends[partition], self.ends[partition] + count * (gap + 1), gap + 1)
        self.backlog.take(record(partition, offset) for offset in offsets)
        self.open[partition] |= set(offsets)
        self.ends[partition] = offsets[-1] + 1

    @precondition(lambda self: any(self.open.values()))
    @rule(data=st.data())
    def finish(self, data: Any) -> None:
        topic, number, offset = data.draw(st.sampled_from(self._open_records()))
        self.backlog.done([record((topic, number), offset)])
        self.open[topic, number].discard(offset)
        self.done.add((topic, number, offset))

    @precondition(lambda self: any(self.open.values()))
    @rule(data=st.data(), suspect=st.booleans())
    def fail(self, data: Any, suspect: bool) -> None:
        topic, number, offset = data.draw(st.sampled_from(self._open_records()))
        records = [record((topic, number), offset)]
        self.backlog.retry_later(records, now_s=self.now_s, longest_s=1.0, suspect=suspect)

    @rule(seconds=st.floats(0, 2))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(succeeds=st.booleans())
    def commit(self, succeeds: bool) -> None:
        positions = self.backlog.to_commit()
        if succeeds:
            self.backlog.committed(positions)
            self.broker.update(positions)
            assert self.backlog.to_commit() == {}

    @precondition(lambda self: self.began)
    @rule(data=st.data(), commits=st.booleans())
    def lose_partition(self, data: Any, commits: bool) -> None:
        partition = data.draw(st.sampled_from(sorted(self.began)))
        if commits:
            self.broker.update(self.backlog.to_commit([partition]))
        self.backlog.drop_partitions([partition])
        self.began.pop(partition)
        self.open.pop(partition)

    @invariant()
    def commits_end_at_the_first_open_record(self) -> None:
        """The committed offset, or the one that may be committed now, is that of the first record not done."""
        positions = self.backlog.to_commit()
        assert set(positions) <= set(self.began)
        for partition, began in self.began.items():
            known = self.broker.get(partition, began)
            assert positions.get(partition, known) == min(self.open[partition], default=self.ends[partition])
            assert positions.get(partition) != known, "an offset that is already committed"

    @invariant()
    def only_open_records_become_due(self) -> None:
        due = self.backlog.due(self.now_s, most=1000)
        assert {(retry.topic, retry.partition, retry.offset) for retry in due} <= set(self._open_records())
        assert len(due) <= len(self.backlog)
        assert (self.backlog.seconds_until_due(self.now_s) == 0) == bool(due)
        assert len(self.backlog.due(self.now_s + 1.0, most=1000)) == len(self.backlog)
        assert self.backlog.due(self.now_s, most=1) == due[:1]

    def _open_records(self) -> list[tuple[str, int, int]]:
        return sorted((*partition, offset) for partition, offsets in self.open.items() for offset in offsets)


TestBacklog = BacklogMachine.TestCase


@given(st.integers(1, 40), st.floats(0.1, 60))
def test_pauses_double_up_to_the_longest(attempts: int, longest_s: float) -> None:
    """After any number of failures, a record is retried within the longest pause."""
    backlog, failing = Backlog(), record(PARTITIONS[0], 7)
    backlog.take([failing])
    now_s = 0.0
    for attempt in range(attempts):
        backlog.retry_later([failing], now_s=now_s, longest_s=longest_s, suspect=True)
        pause_s = backlog.seconds_until_due(now_s)
        assert pause_s == pytest.approx(min(FIRST_PAUSE_S * 2**attempt, longest_s))
        assert backlog.due(now_s + pause_s * 1.001, most=10) == [failing]
        now_s += pause_s
    assert backlog.suspects(attempts) == [failing]
    assert backlog.suspects(attempts + 1) == []


def test_only_failures_while_other_records_succeed_make_a_suspect() -> None:
    """During an outage every record fails, so a failure says nothing about the record."""
    backlog, failing = Backlog(), record(PARTITIONS[0], 7)
    backlog.take([failing])
    for suspect in (False, True, False):
        backlog.retry_later([failing], now_s=0.0, longest_s=1.0, suspect=suspect)
    assert backlog.suspects(1) == [failing]
    assert backlog.suspects(2) == []


def test_a_recreated_topic_is_committed_from_its_beginning() -> None:
    """If the old, higher offset stayed committed, new records would be skipped after a crash."""
    backlog = Backlog()
    for offset in (5000, 0):
        only = record(PARTITIONS[0], offset)
        backlog.take([only])
        backlog.done([only])
        backlog.committed(backlog.to_commit())
    backlog.take([record(PARTITIONS[0], 1)])
    assert backlog.to_commit() == {}
    backlog.done([record(PARTITIONS[0], 1)])
    assert backlog.to_commit() == {PARTITIONS[0]: 2}
