"""The state folder: one supervisor, ports that stay the same, and no other files."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from infra.local.processes.state_folder import StateFolder
from shared.errors import ConfigurationError
from tests.support.ports import reserve_port


def test_ports_stay_the_same_unless_another_process_uses_them(tmp_path: Path) -> None:
    """After a restart the ports are the same, except one that is in use."""
    state = StateFolder(tmp_path / "state")
    state.prepare()
    first = state.ports(["a", "b"])
    assert len(set(first.values())) == 2
    assert StateFolder(tmp_path / "state").ports(["a", "b"]) == first
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", first["a"]))
        listener.listen()
        second = state.ports(["a", "b"])
    assert second["a"] != first["a"]
    assert second["b"] == first["b"]


def test_a_wanted_port_comes_before_the_previous_one_and_the_usual_one_after_it(tmp_path: Path) -> None:
    """The usual port is taken at the first start if it is free, and kept; a wanted one is taken whenever it is free."""
    state = StateFolder(tmp_path / "state")
    state.prepare()
    usual, wanted = reserve_port(), reserve_port()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", usual))
        listener.listen()
        other = state.ports(["redis"], usual={"redis": usual})["redis"]
    assert other not in {usual, wanted}
    assert state.ports(["redis"], usual={"redis": usual}) == {"redis": other}
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", wanted))
        listener.listen()
        assert state.ports(["redis"], wanted={"redis": wanted}) == {"redis": other}
    assert state.ports(["redis"], wanted={"redis": wanted}) == {"redis": wanted}
    fresh = StateFolder(tmp_path / "fresh")
    fresh.prepare()
    assert fresh.ports(["redis", "aws"], usual={"redis": usual})["redis"] == usual


def test_an_invalid_ports_file_is_replaced(tmp_path: Path) -> None:
    """New ports are chosen."""
    state = StateFolder(tmp_path / "state")
    state.prepare()
    (state.path / "ports.json").write_text("[", encoding="utf-8")
    assert state.ports(["a"])["a"] > 0


def test_only_one_supervisor_can_lock_the_folder(tmp_path: Path) -> None:
    """A second one can lock it after the first has unlocked it."""
    first, second = StateFolder(tmp_path), StateFolder(tmp_path)
    first.prepare()
    assert first.lock()
    assert not second.lock()
    first.unlock()
    assert second.lock()
    second.unlock()


def test_a_folder_with_other_files_is_rejected(tmp_path: Path) -> None:
    """It is neither used nor deleted."""
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    state = StateFolder(tmp_path)
    with pytest.raises(ConfigurationError, match="contains other files"):
        state.prepare()
    with pytest.raises(ConfigurationError, match="not deleted"):
        state.remove()
    assert (tmp_path / "thesis.txt").is_file()


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    """The error names the option for another folder."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="name another with --state"):
        StateFolder(tmp_path / "file" / "state").prepare()


def test_cloud_29_a_path_that_is_not_utf8_is_rejected(tmp_path: Path) -> None:
    """Configuration files and JSON cannot contain it. The error shows the path in ASCII."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    with pytest.raises(ConfigurationError, match=r"caf\\udce9.*not UTF-8") as rejected:
        StateFolder(Path(path)).prepare()
    assert str(rejected.value).isascii()


def test_reset_deletes_the_whole_folder(tmp_path: Path) -> None:
    """The folder is removed with the description that it contains."""
    state = StateFolder(tmp_path / "state")
    state.prepare()
    state.describe({"phase": "ready"})
    assert state.description() == {"phase": "ready"}
    state.remove()
    assert not state.path.exists()
    assert state.description() == {}
