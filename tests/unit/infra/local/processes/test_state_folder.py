"""The state folder: ours alone, one supervisor, ports that stay."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from infra.local.processes.state_folder import StateFolder
from shared.errors import ConfigurationError


def test_ports_stay_unless_somebody_took_them(tmp_path: Path) -> None:
    """A restart finds the same ports; one that a stranger holds is replaced."""
    state = StateFolder(tmp_path / "state")
    state.prepare()
    first = state.ports(["a", "b"])
    assert len(set(first.values())) == 2
    assert StateFolder(tmp_path / "state").ports(["a", "b"]) == first
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", first["a"]))
        stranger.listen()
        second = state.ports(["a", "b"])
    assert second["a"] != first["a"]
    assert second["b"] == first["b"]


def test_a_spoilt_ports_file_is_made_anew(tmp_path: Path) -> None:
    """Half a file costs new ports, nothing more."""
    state = StateFolder(tmp_path / "state")
    state.prepare()
    (state.path / "ports.json").write_text("[", encoding="utf-8")
    assert state.ports(["a"])["a"] > 0


def test_only_one_supervisor_holds_the_folder(tmp_path: Path) -> None:
    """The lock is given once."""
    first, second = StateFolder(tmp_path), StateFolder(tmp_path)
    first.prepare()
    assert first.lock()
    assert not second.lock()
    first.unlock()
    assert second.lock()
    second.unlock()


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    """Neither used nor deleted."""
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    state = StateFolder(tmp_path)
    with pytest.raises(ConfigurationError, match="contains other files"):
        state.prepare()
    with pytest.raises(ConfigurationError, match="not deleted"):
        state.remove()
    assert (tmp_path / "thesis.txt").is_file()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file in the way is said to be in the way."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="name another with --state"):
        StateFolder(tmp_path / "file" / "state").prepare()


def test_cloud_29_a_path_that_is_not_utf8_is_refused_by_name(tmp_path: Path) -> None:
    """Configuration files and JSON could not hold it, so nothing is begun in it."""
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    with pytest.raises(ConfigurationError, match=r"caf\\udce9.*not UTF-8") as refused:
        StateFolder(Path(odd)).prepare()
    assert str(refused.value).isascii()


def test_reset_deletes_all_of_it(tmp_path: Path) -> None:
    """A prepared folder is removed, and the description with it."""
    state = StateFolder(tmp_path / "state")
    state.prepare()
    state.describe({"phase": "ready"})
    assert state.description() == {"phase": "ready"}
    state.remove()
    assert not state.path.exists()
    assert state.description() == {}
