"""SIGTERM to the agent as a process, at any moment: it ends in order, and the next start finds nothing damaged."""

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
    """``edge-agent run`` in a folder of its own; ``stop`` returns its exit status."""

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
        """Whether the outbox's file is in order, and no visit in it is open."""
        with closing(sqlite3.connect(self.folder / "outbox.db")) as connection:
            damage = connection.execute("PRAGMA integrity_check").fetchall()
            visits = connection.execute("SELECT count(*) FROM open_visits").fetchall()
        return (damage, visits) == ([("ok",)], [(0,)])

    def events(self) -> int:
        with closing(sqlite3.connect(self.folder / "outbox.db")) as connection:
            return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])


def test_edge_38_sigterm_while_starting_leaves_nothing_behind(tmp_path: Path) -> None:
    """Before the agent has begun it dies by the signal, afterwards it ends with 0; the outbox is sound in any case."""
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
def test_edge_38_what_a_camera_saw_is_kept(tmp_path: Path, number: signal.Signals) -> None:
    """In the middle of a visit, the broker away: visits are closed, and everything is in the outbox."""
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
def test_edge_38_nobody_who_is_silent_holds_the_agent_up(
    tmp_path: Path, scene: Callable[[Callable[[str, int], Agent]], Agent]
) -> None:
    """A camera or a broker that says nothing is not waited for: status 0, a sound outbox, no fault in the log."""
    agent = scene(lambda source, port: Agent(tmp_path, port=port, source=source))
    assert agent.sound()
    assert "stopping" in agent.log()
    assert "Traceback" not in agent.log()
