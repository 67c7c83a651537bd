"""The contract of every fan-out target: nothing is lost, and a bad message harms only itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_functions.event_messages import as_replayed, compressed
from cloud_functions.fanout.targets import TARGETS
from tests.support.fanout_targets import HARNESSES, Services, TargetHarness, message


def test_every_target_is_held_to_the_contract() -> None:
    """A target without a harness, or a harness without its target, fails here."""
    assert set(HARNESSES) == set(TARGETS)


@pytest.fixture(params=sorted(HARNESSES))
def target(
    request: pytest.FixtureRequest, database_url: str, redis_url: str, tmp_path: Path
) -> Iterator[TargetHarness]:
    harness = HARNESSES[request.param](Services(database_url, redis_url, tmp_path))
    yield harness
    harness.close()


def test_a_target_keeps_its_contract(target: TargetHarness) -> None:
    """One test with all faults, because each target needs its services once."""
    # The document arrives unchanged, compressed or not.
    plain, small = target.document(), target.document()
    batch = [message(plain), message(compressed(small), attributes={"content_encoding": "gzip+base64"})]
    assert target.handle(*batch) == set()
    assert target.received() == [plain, small]

    # A message that the queue delivers twice, in one batch or in two, is harmless.
    assert target.handle(batch[0], batch[0]) == set()
    assert set(target.received()) == {plain, small}
    if target.sends_once:
        assert target.received() == [plain, small]
    before = len(target.received())

    # Nothing is delivered for an empty batch, and nothing fails.
    target.repeat()
    assert target.handle() == set()
    assert len(target.received()) == before

    # A poisoned message returns alone, first or last of its batch.
    good = [target.document(), target.document()]
    poisoned = [message(body, message_id=f"poisoned {number}") for number, body in enumerate(target.poisoned())]
    assert target.handle(poisoned[0], message(good[0]), *poisoned[1:], message(good[1])) == {
        one["messageId"] for one in poisoned
    }
    assert sorted(target.received()[before:]) == sorted(good)

    # While the receiver fails, messages return to the queue, or the target keeps them; then all arrive.
    before = len(target.received())
    late = [target.document() for _ in range(3)]
    waiting = {one["messageId"]: one for one in map(message, late)}
    target.break_receiver()
    returned = target.handle(*waiting.values())
    assert returned == (set(waiting) if target.returns_messages else set())
    assert len(target.received()) == before
    target.mend_receiver()
    assert target.handle(*(waiting[message_id] for message_id in returned)) == set()
    target.repeat()
    assert sorted(target.received()[before:]) == sorted(late)

    # What a replay sends arrives again, with its mark.
    attributes = target.replay_attributes()
    again = as_replayed(plain, attributes["replay_id"])
    assert target.handle(message(again, attributes=attributes)) == set()
    assert target.received()[-1] == again
    assert json.loads(target.received()[-1])["replayed"] is True
