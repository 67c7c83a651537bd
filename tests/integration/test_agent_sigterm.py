"""SIGTERM to the agent's process at any moment: it shuts down in order and leaves no damaged outbox."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.test_agent_restart import CONFIG
from tests.support.clips import numbered
from tests.support.ports import reserve_port
from tests.support.rtsp_server import Behaviour, RtspServer
from tests.support.scripted_broker import ScriptedBroker
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]


class Agent:
    """``edge-agent run`` with its own folder; ``stop`` returns its exit status."""

    def __init__(self, folder: Path, *, port: int, source: str = "synthetic:gate") -> None:
        self.folder = folder
        self._log = folder / "agent.log"
        config = folder / "agent.toml"
        text = CONFIG.replace("synthetic:gate", source)
        config.write_text(text.format(folder=folder, port=port, device_id=f"gate-{uuid.uuid4().hex[:8]}"))
        command = [sys.executable, "-m", "edge_agent", "run", "--config", str(config)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self._process.send_signal(number)
        return self._process.wait(60)

    def sound(self) -> bool:
        """Return whether the outbox's file is undamaged and has no open track."""
        with closing(sqlite3.connect(self.folder / "outbox.db")) as connection:
            damage = connection.execute("PRAGMA integrity_check").fetchall()
            visits = connection.execute("SELECT count(*) FROM open_visits").fetchall()
        return (damage, visits) == ([("ok",)], [(0,)])

    def events(self) -> int:
        with closing(sqlite3.connect(self.folder / "outbox.db")) as connection:
            return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])


def test_edge_38_sigterm_during_start_leaves_a_sound_outbox(tmp_path: Path) -> None:
    """An early signal ends the process, a later one leads to exit status 0; the outbox is undamaged in both cases."""
    port = reserve_port()
    for delay_s in (0.05, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2):
        agent = Agent(tmp_path, port=port)
        time.sleep(delay_s)
        begun = "starts with" in agent.log()
        status = agent.stop()
        assert status in ({0} if begun else {0, -signal.SIGTERM})
        assert status == 0 or "stopping" not in agent.log()
        (tmp_path / "agent.log").unlink()
    agent = Agent(tmp_path, port=port)
    eventually(lambda: "camera yard is online" in agent.log(), within_s=60)
    assert agent.stop() == 0
    assert "damaged" not in agent.log()
    assert "Traceback" not in agent.log()
    assert agent.sound()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_edge_38_open_tracks_are_ended_and_stored(tmp_path: Path, number: signal.Signals) -> None:
    """With open tracks and an unavailable broker, the tracks are ended and all events are in the outbox."""
    agent = Agent(tmp_path, port=reserve_port())
    eventually(lambda: (tmp_path / "outbox.db").exists() and "camera yard is online" in agent.log(), within_s=60)
    eventually(lambda: agent.events() >= 2, within_s=60)
    assert agent.stop(number) == 0
    assert agent.sound()
    assert agent.events() >= 2
    assert "Traceback" not in agent.log()


def _mute_camera(start: Callable[[str, int], Agent]) -> Agent:
    with RtspServer(numbered(5, width=160, height=64), behaviour=Behaviour(mute=True)) as server:
        agent = start(server.url(), reserve_port())
        eventually(lambda: server.seen.connections >= 1, within_s=60)
        assert agent.stop() == 0
    return agent


def _stalled_camera(start: Callable[[str, int], Agent]) -> Agent:
    with RtspServer(numbered(50, width=160, height=64)) as server:
        agent = start(server.url(), reserve_port())
        eventually(lambda: "camera yard is online" in agent.log(), within_s=60)
        server.behaviour.stall = True
        assert agent.stop() == 0
    return agent


def _camera_away(start: Callable[[str, int], Agent]) -> Agent:
    agent = start(f"rtsp://127.0.0.1:{reserve_port()}/live", reserve_port())
    eventually(lambda: "connection refused" in agent.log(), within_s=60)
    assert agent.stop() == 0
    return agent


def _mute_broker(start: Callable[[str, int], Agent]) -> Agent:
    broker = ScriptedBroker()
    broker.script.answer_connect = False
    agent = start("synthetic:gate", broker.port)
    eventually(lambda: broker.connects, within_s=60)
    assert agent.stop() == 0
    broker.close()
    return agent


def _broker_that_acknowledges_nothing(start: Callable[[str, int], Agent]) -> Agent:
    broker = ScriptedBroker()
    broker.script.ack = False
    agent = start("synthetic:gate", broker.port)
    eventually(lambda: broker.payloads(topic_part="/events/"), within_s=60)
    assert agent.stop() == 0
    broker.close()
    return agent


@pytest.mark.parametrize(
    "scene", [_mute_camera, _stalled_camera, _camera_away, _mute_broker, _broker_that_acknowledges_nothing]
)
def test_edge_38_silent_camera_or_broker_does_not_delay_the_stop(
    tmp_path: Path, scene: Callable[[Callable[[str, int], Agent]], Agent]
) -> None:
    """With a silent camera or broker the agent ends with status 0, an undamaged outbox and no error in the log."""
    agent = scene(lambda source, port: Agent(tmp_path, port=port, source=source))
    assert agent.sound()
    assert "stopping" in agent.log()
    assert "Traceback" not in agent.log()
