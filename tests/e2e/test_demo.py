"""``vedette-local demo`` as a user runs it: it prints events, and Ctrl-C stops every process."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.processes.process import ProcessIdentity, wait_until
from tests.support.ports import reserve_port
from tests.support.users import log_in

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0


class Demo:
    """The running command and its output so far."""

    def __init__(self, folder: Path, source: str) -> None:
        self.state = folder / "state"
        self.port = reserve_port()
        command = [sys.executable, "-m", "infra.local.cli", "demo", "--state", str(self.state)]
        self._process = subprocess.Popen(
            [*command, "--port", str(self.port), "--source", source, "--model", "none"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def output(self) -> str:
        return "".join(self._lines)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait for output that matches the pattern and return the first match."""
        wait_until(
            lambda: re.search(pattern, self.output) is not None or self._process.poll() is not None,
            timeout_s=PATIENCE_S,
            poll_s=0.05,
        )
        match = re.search(pattern, self.output)
        assert match is not None, self.output
        return match

    @property
    def pid(self) -> int:
        return self._process.pid

    def identities(self, *, besides: int | None = None) -> list[ProcessIdentity]:
        pids = [json.loads(path.read_text())["pid"] for path in (self.state / "run").glob("*.pid")]
        return [identity for pid in pids if pid != besides and (identity := ProcessIdentity.of(pid))]

    def interrupt(self) -> int:
        """Send SIGINT, as Ctrl-C does, and return the exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        status = self._process.wait(60)
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return status

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.append(line)


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="vedette-demo-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def test_demo_prints_events_and_stops_all_processes(folder: Path) -> None:
    """An object enters, the API has its snapshot and plate and serves the documentation; Ctrl-C ends the demo."""
    demo = Demo(folder, "synthetic:gate")
    try:
        entered = demo.wait_for(r"entered.*?(http://\S+/api/events/\d+/snapshot)")
        assert wait_until(lambda: _status(entered[1]) == 200, timeout_s=30, poll_s=0.2)
        assert _status(f"http://127.0.0.1:{demo.port}/docs") == 200
        for label in ("page", "API", "Redis", "MQTT"):
            assert re.search(rf"^  {label:<8} \w+://127\.0\.0\.1:\d+", demo.output, re.MULTILINE), demo.output
        name, password = demo.wait_for(r"(?m)^  admin    (\S+) / (\S+)$").groups()
        assert log_in(f"http://127.0.0.1:{demo.port}", name, password)
        plate = demo.wait_for(r"plate ([A-Z0-9]{4,9}), \d+%")[1]
        with urllib.request.urlopen(f"http://127.0.0.1:{demo.port}/api/plates?plate={plate}") as answer:
            assert [read["plate_normalized_text"] for read in json.load(answer)["plates"]] == [plate]
        running = demo.identities()
        assert len(running) >= 9
    finally:
        status = demo.interrupt()
    assert status == 0, demo.output
    assert not [identity for identity in running if identity.alive]
    assert "events; stopping" in demo.output
    assert not [path for path in (demo.state / "logs").iterdir() if password.encode() in path.read_bytes()]


def test_camera_password_is_never_shown(folder: Path) -> None:
    """The password is not in the output, in a file, or on the command line of a process that the demo starts."""
    demo = Demo(folder, f"rtsp://viewer:hush-hush@127.0.0.1:{reserve_port()}/stream")
    try:
        demo.wait_for(r"rtsp://\*\*\*@127\.0\.0\.1")
        demo.wait_for(r"camera-1 is|camera offline")
        # The demo's own command line contains the password because the test passes it there.
        for identity in demo.identities(besides=demo.pid):
            assert b"hush-hush" not in Path(f"/proc/{identity.pid}/cmdline").read_bytes()
    finally:
        demo.interrupt()
    assert "hush-hush" not in demo.output
    kept = [path for path in folder.rglob("*") if path.is_file() and "postgres/data" not in str(path)]
    assert not [path for path in kept if b"hush-hush" in path.read_bytes()]


def test_ctrl_c_during_start_stops_all_processes(folder: Path) -> None:
    """A demo that is interrupted before it is ready stops the processes that it has started."""
    demo = Demo(folder, "synthetic:gate")
    demo.wait_for("starting database")
    assert wait_until(lambda: len(demo.identities()) >= 3, timeout_s=20)
    running = demo.identities()
    assert demo.interrupt() == 130, demo.output
    assert wait_until(lambda: not [identity for identity in running if identity.alive], timeout_s=20)


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return int(error.code)
