"""The stack keeps running when one of its parts cannot be started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infra.local.processes.process import Process, wait_until
from infra.local.processes.state_folder import StateFolder
from infra.local.stack import Part, Stack, StackOptions
from shared.errors import ConfigurationError


def test_cloud_b9_a_full_disk_does_not_end_the_supervisor(tmp_path: Path) -> None:
    """A part that cannot be started (a full disk) is tried again later; ``check`` does not raise."""
    tries: list[int] = []

    def begin() -> None:
        tries.append(len(tries))
        raise OSError(28, "No space left on device")

    stack = Stack(state=StateFolder(tmp_path / "state"), options=StackOptions())
    process = Process(name="thing", command=[sys.executable], folder=tmp_path, ready=lambda: True)
    stack.parts.append(Part(process=process, begin=begin))

    def checked() -> bool:
        stack.check()
        return len(tries) >= 2

    assert wait_until(checked, timeout_s=10)
    stack.parts.clear()


def test_cloud_b9_a_description_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """A description that cannot be written does not stop the stack."""
    state = StateFolder(tmp_path / "state")
    state.prepare()
    state.describe({"phase": "ready"})
    (state.run / "stack.new").mkdir()
    state.describe({"phase": "stopping"})
    assert state.description() == {"phase": "ready"}


def test_cloud_b8_the_folder_is_ours_while_it_is_the_one_that_was_locked(tmp_path: Path) -> None:
    """After it was removed or created again, it counts as changed."""
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
    tries: list[int] = []

    def begin() -> None:
        tries.append(len(tries))
        raise ZeroDivisionError

    stack = Stack(state=StateFolder(tmp_path / "state"), options=StackOptions())
    process = Process(name="thing", command=[sys.executable], folder=tmp_path, ready=lambda: True)
    stack.parts.append(Part(process=process, begin=begin))

    def checked() -> bool:
        stack.check()
        return len(tries) >= 3

    assert wait_until(checked, timeout_s=20)
    stack.parts.clear()
    assert caplog.text.count("Traceback") == 1
    assert "starting thing failed unexpectedly" in caplog.text


def test_cloud_b8_a_part_that_needs_a_person_ends_the_stack(tmp_path: Path) -> None:
    """A part whose data was removed is not restarted: the error reaches the caller of ``check``."""

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
