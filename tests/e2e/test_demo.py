"""``vedette-local demo`` as a person runs it: lines as things happen, Ctrl-C, nothing left."""

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

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0


class Demo:
    """The running command and what it has printed so far."""

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
        """Return the first match in what is printed."""
        wait_until(
            lambda: re.search(pattern, self.output) is not None or self._process.poll() is not None,
            timeout_s=PATIENCE_S,
            poll_s=0.05,
        )
        found = re.search(pattern, self.output)
        assert found is not None, self.output
        return found

    @property
    def pid(self) -> int:
        return self._process.pid

    def identities(self, *, besides: int | None = None) -> list[ProcessIdentity]:
        pids = [json.loads(path.read_text())["pid"] for path in (self.state / "run").glob("*.pid")]
        return [identity for pid in pids if pid != besides and (identity := ProcessIdentity.of(pid))]

    def interrupt(self) -> int:
        """Press Ctrl-C and return the exit status."""
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


def test_the_demo_shows_what_happens_and_leaves_nothing(folder: Path) -> None:
    """An object enters, its picture opens in a browser, its plate is published and found in the API, the
    documentation is served, and Ctrl-C stops everything."""
    demo = Demo(folder, "synthetic:gate")
    try:
        found = demo.wait_for(r"entered.*?(http://\S+/api/events/\d+/snapshot)")
        assert wait_until(lambda: _status(found[1]) == 200, timeout_s=30, poll_s=0.2)
        assert _status(f"http://127.0.0.1:{demo.port}/docs") == 200
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


def test_a_cameras_password_is_nowhere(folder: Path) -> None:
    """Neither on the terminal, nor in a log or file, nor on the command line of a process that we started."""
    demo = Demo(folder, f"rtsp://viewer:hush-hush@127.0.0.1:{reserve_port()}/stream")
    try:
        demo.wait_for(r"rtsp://\*\*\*@127\.0\.0\.1")
        demo.wait_for(r"camera-1 is|camera offline")
        # The command that the person typed is the person's own affair.
        for identity in demo.identities(besides=demo.pid):
            assert b"hush-hush" not in Path(f"/proc/{identity.pid}/cmdline").read_bytes()
    finally:
        demo.interrupt()
    assert "hush-hush" not in demo.output
    kept = [path for path in folder.rglob("*") if path.is_file() and "postgres/data" not in str(path)]
    assert not [path for path in kept if b"hush-hush" in path.read_bytes()]


def test_ctrl_c_while_starting_leaves_nothing(folder: Path) -> None:
    """Interrupted before anything is ready, the demo takes back what it has begun."""
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
