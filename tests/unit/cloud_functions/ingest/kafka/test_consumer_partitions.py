"""The consumer commits offsets, and hands partitions over to other members of its group."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.kafka_consumer_harness import PLATES, ConsumerHarness, ids


def test_a_revoked_partition_is_committed_up_to_its_first_failed_record() -> None:
    """This member does not retry any record of it afterwards."""
    harness = ConsumerHarness(plates=10, others=5)
    harness.source.failing_commits = True
    harness.ingest.failing = lambda message_id: message_id in ids(6)
    harness.steps(2)
    assert harness.source.committed == {}
    harness.source.failing_commits = False
    harness.source.while_polling = lambda: harness.consumer.revoked({PLATES})
    before = len(harness.ingest.batches)
    harness.ingest.failing = lambda message_id: False
    harness.steps(1)
    assert harness.source.committed == {PLATES: 6, ("others", 0): 5}
    harness.source.while_polling = lambda: None
    harness.steps(20)
    assert len(harness.ingest.batches) == before


def test_a_lost_partition_is_not_committed() -> None:
    """Another member already consumes it, and may have committed a higher offset."""
    harness = ConsumerHarness(plates=10)
    harness.source.failing_commits = True
    harness.steps(1)
    harness.source.failing_commits = False
    harness.source.while_polling = lambda: harness.consumer.lost({PLATES})
    harness.steps(5)
    assert harness.source.committed == {}


def test_failed_records_of_a_partition_lost_meanwhile_are_not_retried() -> None:
    """The partition is lost while ingest processes its records; the next member consumes them again."""
    harness = ConsumerHarness(plates=10)
    harness.ingest.failing = lambda message_id: harness.consumer.lost({PLATES}) is None
    harness.steps(5)
    assert harness.ingest.batches == [10]
    assert harness.source.commits == 0


def test_a_failed_commit_is_repeated_with_the_next_step() -> None:
    """A temporary failure of the broker has no other effect, and a successful commit is not repeated."""
    harness = ConsumerHarness(plates=10)
    harness.source.failing_commits = True
    harness.steps(3)
    harness.source.failing_commits = False
    harness.steps(1)
    assert (harness.source.committed, harness.source.commits) == ({PLATES: 10}, 4)
    harness.steps(3)
    assert harness.source.commits == 4


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(1, 30)), min_size=1, max_size=6),
    st.integers(0, 60),
    st.integers(1, 20),
    st.integers(0, 2**32),
)
def test_no_record_is_lost_when_members_die(
    lives: list[tuple[float, float, int]], count: int, batch: int, seed: int
) -> None:
    """For any failures of records, commits and members, every committed record is done.

    Each new member starts at the committed offsets, and in the end every record is done.
    """
    rng = random.Random(seed)
    harness = ConsumerHarness(plates=count, others=7)
    for failing_ratio, failing_commits_ratio, steps in lives:
        harness.source.position = {
            partition: harness.source.committed.get(partition, 0) for partition in harness.source.ends
        }
        consumer = harness.new_consumer(batch=batch)
        for _ in range(steps):
            failing = {message_id for message_id in ids(*range(count)) if rng.random() < failing_ratio}
            harness.ingest.failing = failing.__contains__
            harness.source.failing_commits = rng.random() < failing_commits_ratio
            consumer.step()
            done = set(harness.ingest.done)
            committed = harness.source.committed.get(PLATES, 0)
            assert ids(*range(committed)) <= done
    harness.ingest.failing = lambda message_id: False
    harness.source.failing_commits = False
    harness.source.position = {
        partition: harness.source.committed.get(partition, 0) for partition in harness.source.ends
    }
    consumer = harness.new_consumer(batch=batch)
    while any(harness.source.committed.get(partition, 0) != end for partition, end in harness.source.ends.items()):
        consumer.step()
    assert set(harness.ingest.done) == ids(*range(count)) | {f"others-0@{offset}" for offset in range(7)}
