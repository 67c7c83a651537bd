"""Random clock steps, deliveries and restarts of an outbox."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from edge_agent.outbox import Outbox, OutboxSettings, WaitingEvent
from shared.clock import ManualClock, StepAwareClock
from shared.events import parse_event
from tests.support.edge.outbox_builders import stamped_event
from tests.unit.edge_agent.outbox.test_model import MEMORY

DAY_S = 86_400.0
TRUE_START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class ClockMachine(RuleBasedStateMachine):
    """Random steps, puts, takes, acknowledgements and restarts. Once the clock is correct, all times are."""

    @initialize(error_s=st.sampled_from([0.0, -29 * DAY_S, 400 * DAY_S, -56 * 365 * DAY_S]))
    def open_first(self, error_s: float) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.clock = ManualClock(TRUE_START + timedelta(seconds=error_s))
        self.error_s = error_s
        self.step_aware = StepAwareClock(self.clock)
        self.true_times: dict[str, datetime] = {}
        self.acknowledged: dict[str, bytes] = {}
        self.objects: dict[bytes, str] = {}
        self.held: list[WaitingEvent] = []
        self._open()

    def _open(self) -> None:
        configured = OutboxSettings(reserve_bytes=0, max_age_s=30 * DAY_S)
        self.outbox = Outbox(self.folder / "outbox.db", settings=configured, clock=self.clock)

    def teardown(self) -> None:
        if not hasattr(self, "outbox"):
            return
        self._set_clock()
        while items := self.outbox.events.take(100) or self._released():
            self._acknowledge(items, check_times=True)
        assert set(self.acknowledged) == set(self.true_times)
        assert self.outbox.health().dropped_events == 0
        self._store_images(1000)
        for event_id, payload in self.acknowledged.items():
            event = parse_event(payload)
            if event.snapshot is not None:
                assert self.objects[event_id.encode()] == f"snapshots/gate-01/{event.snapshot.key}"
        self.outbox.close()
        shutil.rmtree(self.folder)

    def _released(self) -> list[WaitingEvent]:
        items, self.held = self.held, []
        self.outbox.events.release(items)
        return self.outbox.events.take(100)

    def _set_clock(self) -> None:
        self.clock.step(-self.error_s)
        self.error_s = 0.0

    def _acknowledge(self, items: list[WaitingEvent], *, check_times: bool = False) -> None:
        self.outbox.events.ack(items)
        for item in items:
            event = parse_event(item.payload)
            assert str(event.event_id) not in self.acknowledged
            self.acknowledged[str(event.event_id)] = item.payload
            if check_times:
                assert abs(event.timestamp - self.true_times[str(event.event_id)]) < timedelta(milliseconds=1)

    def _store_images(self, limit: int) -> None:
        items = self.outbox.images.take(limit)
        self.objects |= {item.body: item.object_key for item in items}
        self.outbox.images.ack(items)

    @rule(picture=st.booleans(), step_aware=st.booleans())
    def put(self, picture: bool, step_aware: bool) -> None:
        event = stamped_event(self.step_aware if step_aware else self.clock, picture=picture)
        self.true_times[str(event.event_id)] = self.clock.now() - timedelta(seconds=self.error_s)
        self.outbox.put(
            event,
            snapshot=str(event.event_id).encode() if picture else None,
            timestamp_clock=self.step_aware if step_aware else None,
        )
        self.clock.advance(1)

    @rule(step_s=st.sampled_from([-3600.0, 29 * DAY_S, -29 * DAY_S, 0.5]))
    def step(self, step_s: float) -> None:
        self.clock.step(step_s)
        self.error_s += step_s

    @rule()
    def clock_is_set_clock(self) -> None:
        self._set_clock()

    @rule(seconds=st.integers(1, 3600))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.outbox.expire()

    @rule(limit=st.integers(1, 4))
    def take(self, limit: int) -> None:
        self.held += self.outbox.events.take(limit)

    @rule()
    def acknowledge(self) -> None:
        items, self.held = self.held, []
        self._acknowledge(items)

    @rule()
    def release(self) -> None:
        self.outbox.events.release(self.held)
        self.held = []

    @rule(limit=st.integers(1, 3))
    def store_images(self, limit: int) -> None:
        self._store_images(limit)

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.held = []
        self._open()


TestClocks = ClockMachine.TestCase
TestClocks.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
