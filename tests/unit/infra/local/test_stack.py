"""The stack keeps running when one of its parts cannot be started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infra.local.processes.ports import is_free
from infra.local.processes.process import Process, wait_until
from infra.local.processes.stack_options import StackOptions
from infra.local.processes.state_folder import StateFolder
from infra.local.stack import Part, Stack
from infra.local.status import PartStatus, StackStatus, redis_note
from shared.errors import ConfigurationError


def test_cloud_b9_a_full_disk_does_not_end_the_supervisor(tmp_path: Path) -> None:
    """A part that cannot be started, as on a full disk, is retried later, and ``check`` does not raise."""
    attempts: list[int] = []

    def begin() -> None:
        attempts.append(len(attempts))
        raise OSError(28, "No space left on device")

    stack = Stack(state=StateFolder(tmp_path / "state"), options=StackOptions())
    process = Process(name="thing", command=[sys.executable], folder=tmp_path, ready=lambda: True)
    stack.parts.append(Part(process=process, begin=begin))

    def checked() -> bool:
        stack.check()
        return len(attempts) >= 2

    assert wait_until(checked, timeout_s=10)
    stack.parts.clear()


def test_cloud_b9_a_failed_write_of_the_description_is_not_an_error(tmp_path: Path) -> None:
    """The stack continues, and the previous description is kept."""
    state = StateFolder(tmp_path / "state")
    state.prepare()
    state.describe({"phase": "ready"})
    (state.run / "stack.new").mkdir()
    state.describe({"phase": "stopping"})
    assert state.description() == {"phase": "ready"}


def test_cloud_b8_a_replaced_state_folder_is_detected(tmp_path: Path) -> None:
    """A folder that was moved, or created again, is not the one that was locked."""
    state = StateFolder(tmp_path / "state")
    state.prepare()
    assert not state.is_unchanged()
    assert state.lock()
    assert state.is_unchanged()
    state.path.rename(tmp_path / "moved")
    assert not state.is_unchanged()
    other = StateFolder(tmp_path / "state")
    other.prepare()
    assert other.lock()
    assert other.is_unchanged()
    assert not state.is_unchanged()
    other.unlock()
    state.unlock()


def test_python_an_unexpected_fault_does_not_end_the_supervisor(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected error while starting a part: it is retried with a backoff, and one traceback is logged."""
    attempts: list[int] = []

    def begin() -> None:
        attempts.append(len(attempts))
        raise ZeroDivisionError

    stack = Stack(state=StateFolder(tmp_path / "state"), options=StackOptions())
    process = Process(name="thing", command=[sys.executable], folder=tmp_path, ready=lambda: True)
    stack.parts.append(Part(process=process, begin=begin))

    def checked() -> bool:
        stack.check()
        return len(attempts) >= 3

    assert wait_until(checked, timeout_s=20)
    stack.parts.clear()
    assert caplog.text.count("Traceback") == 1
    assert "starting thing failed unexpectedly" in caplog.text


def test_cloud_b8_a_part_whose_data_was_removed_is_not_restarted(tmp_path: Path) -> None:
    """``check`` raises the error, which ends the stack."""

    def begin() -> None:
        raise ConfigurationError("the database was removed")

    stack = Stack(state=StateFolder(tmp_path / "state"), options=StackOptions())
    process = Process(name="postgres", command=[sys.executable], folder=tmp_path, ready=lambda: True)
    stack.parts.append(Part(process=process, begin=begin))

    def checked() -> bool:
        stack.check()
        return False

    with pytest.raises(ConfigurationError, match="was removed"):
        wait_until(checked, timeout_s=10)
    stack.parts.clear()


def test_redis_takes_its_usual_port_where_it_is_free(tmp_path: Path) -> None:
    """6379, which the stacks of tests leave alone. It is chosen here, and no server is started."""
    state = StateFolder(tmp_path / "state")
    state.prepare()
    was_free = is_free(6379)
    chosen = Stack(state=state, options=StackOptions(redis_port=None))._choose_ports()["redis"]
    assert (chosen == 6379) == was_free
    (state.path / "ports.json").unlink()
    assert Stack(state=state, options=StackOptions())._choose_ports()["redis"] != 6379


def test_redis_elsewhere_is_said() -> None:
    """``status`` says how Redis gets its usual port; on that port it says nothing."""

    def status(url: str) -> StackStatus:
        part = PartStatus(name="redis", pid=1, url=url)
        return StackStatus(phase="ready", state="/s", parts=(part,), bucket="b", objects="/s/objects")

    assert "Redis is on port 41234" in str(redis_note(status("redis://127.0.0.1:41234/0")))
    assert redis_note(status("redis://127.0.0.1:6379/0")) is None
    assert redis_note(status("")) is None


def test_the_first_start_makes_a_master_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readable by its owner alone and kept; a key in the environment goes before it."""
    monkeypatch.delenv("PLATE_MASTER_KEY", raising=False)
    state = StateFolder(tmp_path / "state")
    state.prepare()
    stack = Stack(state=state, options=StackOptions())
    stack.urls = dict.fromkeys(("aws", "api", "database", "redis", "broker"), "http://127.0.0.1:1")
    key = state.path / "master.key"
    assert stack._function_environment(1)["PLATE_MASTER_KEY"] == f"file:{key}"
    content = key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    assert stack._function_environment(1)["PLATE_MASTER_KEY"] == f"file:{key}"
    assert key.read_bytes() == content
    monkeypatch.setenv("PLATE_MASTER_KEY", "kms:alias/mine")
    assert stack._function_environment(1)["PLATE_MASTER_KEY"] == "kms:alias/mine"
