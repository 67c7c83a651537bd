"""Random puts, deliveries, crashes, expiry and eviction, compared with a model of dictionaries."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge_agent.outbox import Outbox, OutboxSettings, WaitingEvent
from edge_agent.outbox.ranges import merge_ranges
from shared.clock import ManualClock
from shared.events import dump_event
from tests.support.edge.outbox_builders import tracking_event, with_image

LIMIT = 16_384
KEEP_BYTES = 4_000
MAX_AGE_S = 1000.0
MEMORY = Path("/dev/shm")
"""A folder in memory, for speed. Crashes are simulated with copies of the files."""


@dataclass
class StoredEvent:
    """One event of the model."""

    payload: bytes
    expendable: bool
    put_at_s: float
    image: bytes | None
    waiting: bool = True
    due_at_s: float = 0.0
    sent_at: tuple[float, int] = (0.0, 0)

    @property
    def size(self) -> int:
        return len(self.payload)


@dataclass
class Model:
    """The expected content of the outbox."""

    held: dict[int, StoredEvent] = field(default_factory=dict)
    images: dict[int, StoredEvent] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    dropped_images: int = 0

    def total(self) -> int:
        return sum(each.size for each in self.held.values()) + sum(len(i.image or b"") for i in self.images.values())

    def sent(self) -> list[int]:
        sent = [key for key, each in self.held.items() if not each.waiting]
        return sorted(sent, key=lambda key: (self.held[key].sent_at[0], key))

    def drop_sent(self, limit: int) -> None:
        sent = self.sent()
        while sent and sum(self.held[key].size for key in sent) > limit:
            del self.held[sent.pop(0)]

    def drop_image(self, key: int) -> None:
        if self.images.pop(key, None) is not None:
            self.dropped_images += 1

    def drop_event(self, key: int) -> None:
        if key in self.held and self.held[key].waiting:
            del self.held[key]
            self.dropped.add(key)

    def evict(self) -> None:
        orders = [
            lambda: self.sent()[:1],
            lambda: sorted(k for k, i in self.images.items() if i.expendable)[:1],
            lambda: sorted(k for k, e in self.held.items() if e.waiting and e.expendable)[:1],
            lambda: sorted({k for k, e in self.held.items() if e.waiting} | set(self.images))[:1],
        ]
        for number, order in enumerate(orders):
            while self.total() > LIMIT and (chosen := order()):
                key = chosen[0]
                if number == 0:
                    del self.held[key]
                elif number == 1:
                    self.drop_image(key)
                elif number == 2:
                    self.drop_event(key)
                else:
                    self.drop_event(key)
                    self.drop_image(key)

    def due(self, now_s: float) -> list[int]:
        return sorted(key for key, each in self.held.items() if each.waiting and each.due_at_s <= now_s)


class OutboxMachine(RuleBasedStateMachine):
    """Compares the outbox with the model after every step."""

    @initialize()
    def open_first(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.clock = ManualClock()
        self.model = Model()
        self.taken: list[WaitingEvent] = []
        self.generation = 0
        self._open(self.folder)

    def _open(self, folder: Path) -> None:
        configured = OutboxSettings(
            max_bytes=LIMIT, keep_sent_bytes=KEEP_BYTES, max_age_s=MAX_AGE_S, keep_sent_s=500, reserve_bytes=0
        )
        self.outbox = Outbox(folder / "outbox.db", settings=configured, clock=self.clock)

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.outbox.close()
            shutil.rmtree(self.folder)

    @property
    def now_s(self) -> float:
        return self.clock.now().timestamp()

    @rule(batch=st.lists(st.tuples(st.booleans(), st.sampled_from([None, 0, 1500, 4000])), min_size=1, max_size=6))
    def put(self, batch: list[tuple[bool, int | None]]) -> None:
        for expendable, image_bytes in batch:
            self._put(expendable, image_bytes)

    def _put(self, expendable: bool, image_bytes: int | None) -> None:
        event = tracking_event("updated" if expendable else "entered")
        image = None if image_bytes is None else os.urandom(1) * image_bytes
        stored = self.outbox.put(event if image is None else with_image(event), snapshot=image)
        assert stored.sequence == self.last + 1
        held = StoredEvent(payload=dump_event(stored), expendable=expendable, put_at_s=self.now_s, image=image)
        self.model.held[stored.sequence] = held
        if image is not None:
            self.model.images[stored.sequence] = held
        self.last = stored.sequence
        self.model.evict()

    last = 0

    @rule(limit=st.integers(1, 9))
    def take(self, limit: int) -> None:
        out = {item.key for item in self.taken}
        expected = [key for key in self.model.due(self.now_s) if key not in out][:limit]
        items = self.outbox.events.take(limit)
        assert [item.key for item in items] == expected
        assert [item.payload for item in items] == [self.model.held[key].payload for key in expected]
        self.taken += items

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        items = data.draw(st.lists(st.sampled_from(self.taken), min_size=1, unique=True))
        self.outbox.events.ack(items)
        for item in items:
            self.taken.remove(item)
            each = self.model.held.get(item.key)
            if each is not None and each.waiting:
                each.waiting, each.sent_at = False, (self.now_s, item.key)
        self.model.drop_sent(KEEP_BYTES)

    @precondition(lambda self: self.taken)
    @rule(delay_s=st.integers(1, 300))
    def nack_oldest(self, delay_s: int) -> None:
        item = self.taken.pop(0)
        self.outbox.events.nack([item], delay_s=delay_s)
        if item.key in self.model.held:
            self.model.held[item.key].due_at_s = self.now_s + delay_s

    @precondition(lambda self: self.taken)
    @rule()
    def release(self) -> None:
        self.outbox.events.release(self.taken)
        self.taken = []

    @rule(limit=st.integers(1, 5))
    def store_images(self, limit: int) -> None:
        items = self.outbox.images.take(limit)
        assert [item.key // 2 for item in items] == sorted(self.model.images)[:limit]
        assert [item.body for item in items] == [self.model.images[item.key // 2].image for item in items]
        self.outbox.images.ack(items)
        for item in items:
            del self.model.images[item.key // 2]

    @rule(seconds=st.integers(1, 600))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def expire(self) -> None:
        self.outbox.expire()
        oldest_s = self.now_s - MAX_AGE_S
        for key in [key for key, each in self.model.held.items() if each.waiting and each.put_at_s < oldest_s]:
            self.model.drop_event(key)
        for key in [key for key, each in self.model.images.items() if each.put_at_s < oldest_s]:
            self.model.drop_image(key)
        for key in self.model.sent():
            if self.model.held[key].sent_at[0] < self.now_s - 500:
                del self.model.held[key]

    @rule()
    def crash_and_reopen(self) -> None:
        """Continue with a copy of the files as they are at this moment, as after a power cut."""
        self.generation += 1
        copy = self.folder / f"after-crash-{self.generation}"
        copy.mkdir()
        source = self.folder if self.generation == 1 else self.folder / f"after-crash-{self.generation - 1}"
        for name in ("outbox.db", "outbox.db-wal"):
            if (source / name).exists():
                shutil.copyfile(source / name, copy / name)
        epoch = self.outbox.epoch
        self.outbox.close()
        self._open(copy)
        assert self.outbox.epoch == epoch
        self.taken = []

    @rule(first=st.integers(1, 40), length=st.integers(0, 20))
    def resend(self, first: int, length: int) -> None:
        requested = range(first, first + length + 1)
        outcome = self.outbox.resend(self.outbox.epoch, [(requested[0], requested[-1])])
        stored = [key for key in requested if key in self.model.held]
        assert outcome.resent == len(stored)
        missing = {key for key in requested if key not in self.model.held}
        assert outcome.unavailable == merge_ranges((key, key) for key in missing)
        for key in stored:
            each = self.model.held[key]
            if not each.waiting:
                each.waiting, each.due_at_s = True, 0.0

    @invariant()
    def health_agrees(self) -> None:
        if not hasattr(self, "outbox"):
            return
        health = self.outbox.health()
        waiting = [each for each in self.model.held.values() if each.waiting]
        image_bytes = sum(len(each.image or b"") for each in self.model.images.values())
        assert health.last_sequence == self.last
        assert health.pending_events == len(waiting)
        assert health.pending_bytes == sum(each.size for each in waiting) + image_bytes
        assert health.pending_images == len(self.model.images)
        assert health.dropped_images == self.model.dropped_images
        assert health.dropped_events == len(self.model.dropped)
        assert health.dropped_ranges == merge_ranges((key, key) for key in self.model.dropped)
        assert health.pending_bytes <= LIMIT
        assert json.loads(health.model_dump_json())["sequence_epoch"] == self.outbox.epoch


TestOutboxModel = OutboxMachine.TestCase
TestOutboxModel.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
