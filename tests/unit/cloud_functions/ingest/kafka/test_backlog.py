"""How far a partition may be committed, whatever happens in whichever order."""

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
    """A member that takes, finishes, fails, commits and hands over, against a log of what was really done."""

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
        """Records come in order; compaction and transactions leave holes between them."""
        if partition not in self.began:  # given to this member: it goes on where the broker says
            self.began[partition] = self.ends[partition] = self.broker.get(partition, 0)
            self.open[partition] = set()
        offsets = range(self.ends[partition], self.ends[partition] + count * (gap + 1), gap + 1)
        self.backlog.take(record(partition, offset) for offset in offsets)
        self.open[partition] |= set(offsets)
        self.ends[partition] = offsets[-1] + 1

    @precondition(lambda self: any(self.open.values()))
    @rule(data=st.data())
    def finish(self, data: Any) -> None:
        place = data.draw(st.sampled_from(self._places()))
        self.backlog.done([record(place[:2], place[2])])
        self.open[place[:2]].discard(place[2])
        self.done.add(place)

    @precondition(lambda self: any(self.open.values()))
    @rule(data=st.data(), suspect=st.booleans())
    def fail(self, data: Any, suspect: bool) -> None:
        place = data.draw(st.sampled_from(self._places()))
        self.backlog.retry_later([record(place[:2], place[2])], now_s=self.now_s, longest_s=1.0, suspect=suspect)

    @rule(seconds=st.floats(0, 2))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(worked=st.booleans())
    def commit(self, worked: bool) -> None:
        positions = self.backlog.to_commit()
        if worked:
            self.backlog.committed(positions)
            self.broker.update(positions)
            assert self.backlog.to_commit() == {}

    @precondition(lambda self: self.began)
    @rule(data=st.data(), commits=st.booleans())
    def hand_over(self, data: Any, commits: bool) -> None:
        partition = data.draw(st.sampled_from(sorted(self.began)))
        if commits:
            self.broker.update(self.backlog.to_commit([partition]))
        self.backlog.drop_partitions([partition])
        self.began.pop(partition)
        self.open.pop(partition)

    @invariant()
    def nothing_undone_is_committed(self) -> None:
        """What the broker has, or may get now, is the first record that is not done: no more, and no less."""
        positions = self.backlog.to_commit()
        assert set(positions) <= set(self.began)
        for partition, began in self.began.items():
            known = self.broker.get(partition, began)
            assert positions.get(partition, known) == min(self.open[partition], default=self.ends[partition])
            assert positions.get(partition) != known, "committed again for nothing"

    @invariant()
    def what_waits_is_open_and_due_in_time(self) -> None:
        due = self.backlog.due(self.now_s, most=1000)
        assert {one[:3] for one in due} <= set(self._places())
        assert len(due) <= len(self.backlog)
        assert (self.backlog.seconds_until_due(self.now_s) == 0) == bool(due)
        assert len(self.backlog.due(self.now_s + 1.0, most=1000)) == len(self.backlog)
        assert self.backlog.due(self.now_s, most=1) == due[:1]

    def _places(self) -> list[tuple[str, int, int]]:
        return sorted((*partition, offset) for partition, offsets in self.open.items() for offset in offsets)


TestBacklog = BacklogMachine.TestCase


@given(st.integers(1, 40), st.floats(0.1, 60))
def test_pauses_double_up_to_the_longest(attempts: int, longest_s: float) -> None:
    """However often a record fails, it is tried again within the longest pause."""
    backlog, one = Backlog(), record(PARTITIONS[0], 7)
    backlog.take([one])
    now_s = 0.0
    for attempt in range(attempts):
        backlog.retry_later([one], now_s=now_s, longest_s=longest_s, suspect=True)
        pause_s = backlog.seconds_until_due(now_s)
        assert pause_s == pytest.approx(min(FIRST_PAUSE_S * 2**attempt, longest_s))
        assert backlog.due(now_s + pause_s * 1.001, most=10) == [one]
        now_s += pause_s
    assert backlog.suspects(attempts) == [one]
    assert backlog.suspects(attempts + 1) == []


def test_only_failures_while_others_went_through_count_as_suspect() -> None:
    """An outage is nobody's fault."""
    backlog, one = Backlog(), record(PARTITIONS[0], 7)
    backlog.take([one])
    for suspect in (False, True, False):
        backlog.retry_later([one], now_s=0.0, longest_s=1.0, suspect=suspect)
    assert backlog.suspects(1) == [one]
    assert backlog.suspects(2) == []


def test_a_topic_that_was_made_anew_begins_at_the_beginning() -> None:
    """Committed further on, a crash would skip what is new."""
    backlog = Backlog()
    for offset in (5000, 0):
        one = record(PARTITIONS[0], offset)
        backlog.take([one])
        backlog.done([one])
        backlog.committed(backlog.to_commit())
    backlog.take([record(PARTITIONS[0], 1)])
    assert backlog.to_commit() == {}
    backlog.done([record(PARTITIONS[0], 1)])
    assert backlog.to_commit() == {PARTITIONS[0]: 2}
