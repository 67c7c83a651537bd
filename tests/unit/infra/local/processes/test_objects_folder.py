"""The folder of the bucket's objects: chosen by SNAPSHOTS_DIR, kept, and never changed under existing objects."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra.local.processes.objects_folder import choose_objects_folder, objects_folder
from infra.local.processes.state_folder import StateFolder
from shared.errors import ConfigurationError


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path / "state")
    folder.prepare()
    return folder


def _store(folder: Path, key: str = "snapshots/device/camera/picture.jpg") -> None:
    path = folder / "bucket" / key
    path.parent.mkdir(parents=True)
    path.write_bytes(b"picture")
    (folder / ".head" / "bucket").mkdir(parents=True)


def test_objects_are_in_the_state_folder_unless_another_is_named(state: StateFolder) -> None:
    """Without SNAPSHOTS_DIR nothing changes."""
    assert choose_objects_folder(state, None, bucket="bucket") == state.path / "objects"
    assert objects_folder(state) == state.path / "objects"


def test_the_named_folder_is_created_and_kept(state: StateFolder, tmp_path: Path) -> None:
    """A later start without the variable finds the snapshots. Other files in the folder do not matter."""
    wanted = tmp_path / "app" / "snapshots"
    assert choose_objects_folder(state, str(wanted), bucket="bucket") == wanted
    assert wanted.is_dir()
    _store(wanted)
    (wanted / "camera-1").mkdir()
    assert choose_objects_folder(state, None, bucket="bucket") == wanted
    assert choose_objects_folder(state, str(wanted), bucket="bucket") == wanted


def test_existing_objects_are_not_left_behind(state: StateFolder, tmp_path: Path) -> None:
    """The error has the command that moves them; after it has run, the other folder is used."""
    wanted = tmp_path / "other place"
    choose_objects_folder(state, None, bucket="bucket")
    _store(state.objects)
    with pytest.raises(ConfigurationError, match="not moved by themselves") as refused:
        choose_objects_folder(state, str(wanted), bucket="bucket")
    assert not wanted.exists()
    assert objects_folder(state) == state.objects
    command = str(refused.value).partition("stopped (")[2].partition(")")[0]
    subprocess.run(["/bin/sh", "-c", command], check=True)
    assert choose_objects_folder(state, str(wanted), bucket="bucket") == wanted
    assert [path.name for path in wanted.rglob("*") if path.is_file()] == ["picture.jpg"]
    assert (wanted / ".head" / "bucket").is_dir()


def test_a_folder_that_cannot_be_created_is_reported(state: StateFolder, tmp_path: Path) -> None:
    """The error names the variable."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"SNAPSHOTS_DIR .* cannot be created: Not a directory"):
        choose_objects_folder(state, str(tmp_path / "file" / "snapshots"), bucket="bucket")
