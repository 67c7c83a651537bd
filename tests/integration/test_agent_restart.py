"""The agent as a process that is killed, stopped and restarted: it closes open stays and answers queued commands."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.commands import TakenSnapshot
from tests.support.backing_services import BrokerFixture
from tests.support.edge.delivery_harness import pause, subscribed
from tests.support.ports import reserve_port
from tests.support.waiting import eventually

CONFIG = """
site_id = "hq"
device_id = "{device_id}"
state_dir = "{folder}"

[mqtt]
host = "127.0.0.1"
port = {port}
reconnect_max_s = 0.5

[[cameras]]
id = "yard"
source = "synthetic:gate"

[cameras.model]
name = "none"
"""

UNREACHABLE_BUCKET = """
[s3]
bucket = "snapshots"
region = "eu-central-1"
endpoint_url = "http://127.0.0.1:1"
"""


class AgentProcess:
    """``edge-agent run`` with the synthetic scene and its own folder."""

    def __init__(self, folder: Path, *, port: int, device_id: str, config: str = CONFIG, verbose: bool = False) -> None:
        self.folder = folder
        self._options = ["--verbose"] if verbose else []
        self.log = folder / "agent.log"
        self._config = folder / "agent.toml"
        self._config.write_text(config.format(folder=folder, port=port, device_id=device_id))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "edge_agent", *self._options, "run", "--config", str(self._config)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=Path(__file__).parents[2])

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Query the outbox's file, whether the agent runs or not."""
        path = self.folder / "outbox.db"
        if not path.exists():
            return []
        with closing(sqlite3.connect(path, timeout=10)) as connection:
            try:
                return connection.execute(query).fetchall()
            except sqlite3.OperationalError:  # the tables are not created yet
                return []

    def open_visits(self) -> set[str]:
        return {visit for (visit,) in self.rows("SELECT visit FROM open_visits")}

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for (payload,) in self.rows("SELECT payload FROM events ORDER BY sequence")]

    def steps(self) -> dict[str, list[str]]:
        """Return the tracking actions of each track in order: entered, updated …, left."""
        actions: dict[str, list[str]] = {}
        for event in self.events():
            data = event["event_data"]
            if event["event_type"] == "tracking":
                actions.setdefault(data["track_uid"], []).append(data["tracking_action"])
        return actions


@pytest.fixture
def device_id() -> str:
    return f"gate-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def start_agent(tmp_path: Path, device_id: str) -> Iterator[Callable[..., AgentProcess]]:
    agents: list[AgentProcess] = []

    def start(port: int, **options: Any) -> AgentProcess:
        agent = AgentProcess(tmp_path, port=port, device_id=device_id, **options)
        agents.append(agent)
        agent.start()
        return agent

    yield start
    for agent in agents:
        agent.end(signal.SIGKILL)


def _tracked(agent: AgentProcess) -> set[str]:
    return {visit for visit in agent.open_visits() if not visit.startswith("motion of")}


def test_edge_50_tracks_open_at_a_kill_are_ended_by_the_next_start(start_agent: Callable[..., AgentProcess]) -> None:
    """The agent is killed twice with open tracks; each track ends with exactly one ``left`` as its last event."""
    agent = start_agent(reserve_port())
    killed = set[str]()
    for _ in range(2):
        eventually(lambda: _tracked(agent), within_s=60)
        agent.end(signal.SIGKILL)
        killed = _tracked(agent)
        assert killed
        agent.start()
        eventually(lambda killed=killed: not killed & agent.open_visits(), within_s=60)
        for uid in killed:
            assert agent.steps()[uid][0] == "entered"
            assert agent.steps()[uid].count("left") == 1
            assert agent.steps()[uid][-1] == "left"
    left = [e for e in agent.events() if e["event_data"].get("track_uid") in killed][-1]
    assert left["event_data"]["dwell_time_seconds"] >= 0
    assert left["timestamp"] == left["event_data"]["last_seen_at"]
    assert "tracks and motion episodes that were open" in agent.log.read_text()


def test_edge_50_orderly_stop_ends_open_tracks(start_agent: Callable[..., AgentProcess]) -> None:
    """After SIGTERM no track is open, and the next start has none to end."""
    agent = start_agent(reserve_port())
    eventually(lambda: _tracked(agent), within_s=60)
    agent.end(signal.SIGTERM)
    assert agent.open_visits() == set()
    steps = agent.steps()
    assert steps
    assert all(each[-1] == "left" and each.count("left") == 1 for each in steps.values())
    agent.start()
    eventually(lambda: len(agent.steps()) > len(steps), within_s=60)
    assert "tracks and motion episodes that were open" not in agent.log.read_text()


def test_edge_10_snapshot_command_for_an_offline_device_is_executed(
    start_agent: Callable[..., AgentProcess], mqtt_broker: BrokerFixture, device_id: str
) -> None:
    """The commands wait in the broker, arrive before the camera's first frame, and are answered with that frame."""
    with subscribed(port=mqtt_broker.port, device_id=device_id) as cloud:
        agent = start_agent(mqtt_broker.port, config=CONFIG + UNREACHABLE_BUCKET)
        eventually(lambda: cloud.statuses[-1:] == ["online"], within_s=60)
        agent.end(signal.SIGKILL)
        eventually(lambda: cloud.statuses[-1] == "offline", within_s=60)
        past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        cloud.ask("snapshot", "late", camera_id="yard")
        cloud.ask("snapshot", "too-late", camera_id="yard", expires_at=past)
        cloud.ask("snapshot", "elsewhere", camera_id="attic")
        pause(0.2)
        agent.start()
        eventually(lambda: cloud.answered() == {"late", "too-late", "elsewhere"}, within_s=60)
        replies = {reply["command_id"]: reply for reply in cloud.replies}
    assert (replies["late"]["status"], replies["late"].get("error")) == ("ok", None)
    assert TakenSnapshot.model_validate(replies["late"]["snapshot"]).stored is False
    assert "expired" in str(replies["too-late"]["error"])
    assert "no camera attic; it has yard" in str(replies["elsewhere"]["error"])
    agent.end(signal.SIGTERM)
    taken = [event for event in agent.events() if event["event_type"] == "snapshot"]
    assert [event["event_data"]["command_id"] for event in taken] == ["late"]
