"""The complete agent with a wrong clock that is set while it runs, and a broker that is unavailable until then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_agent.agent import Agent
from shared.clock import SystemClock
from tests.integration.test_agent_restart import CONFIG
from tests.support.scripted_broker import ScriptedBroker
from tests.support.waiting import eventually

DAY = timedelta(days=1)
NEARLY = timedelta(seconds=5)


class WrongClock(SystemClock):
    """The machine's clock with an offset that the test sets."""

    def __init__(self, wrong: timedelta) -> None:
        self.wrong = wrong

    def now(self) -> datetime:
        return super().now() + self.wrong


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    broker = ScriptedBroker()
    broker.script.close_before_connack = True
    yield broker
    broker.close()


@pytest.mark.parametrize("wrong", [-29 * DAY, 29 * DAY, datetime(1970, 1, 2, tzinfo=UTC) - datetime.now(UTC)])
def test_edge_08_events_from_before_the_clock_was_set_have_corrected_times(
    tmp_path: Path, broker: ScriptedBroker, wrong: timedelta
) -> None:
    """With a clock behind, ahead or in 1970, every event arrives once, with a time within this test's run."""
    config = tmp_path / "agent.toml"
    config.write_text(CONFIG.format(folder=tmp_path, port=broker.port, device_id="gate-01"))
    began = datetime.now(UTC)
    clock = WrongClock(wrong)
    agent = Agent(config, clock=clock)
    agent.start()
    try:
        eventually(lambda: agent._outbox.health().last_sequence >= 4, within_s=60)
        clock.wrong = timedelta(0)
        before = agent._outbox.health().last_sequence
        eventually(lambda: agent._outbox.health().last_sequence >= before + 2, within_s=60)
        agent._outbox.expire()
        broker.script.close_before_connack = False
        eventually(lambda: agent._outbox.health().pending_events == 0, within_s=60)
        assert agent._outbox.health().dropped_events == 0
    finally:
        agent.stop()
    events = [json.loads(payload) for payload in broker.payloads(topic_part="/events/")]
    assert sorted(event["sequence"] for event in events) == list(range(1, len(events) + 1))
    assert len(events) >= before + 2
    moments = [event["timestamp"] for event in events]
    moments += [event["event_data"].get(name) for event in events for name in ("first_seen_at", "last_seen_at")]
    for moment in filter(None, moments):
        assert began - NEARLY <= datetime.fromisoformat(moment) <= datetime.now(UTC) + NEARLY
