"""The last configuration on disk: replaced in one step, private, and never trusted blindly."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.device.configuration_store import FILE_NAME, ConfigurationStore, StoredConfiguration
from edge_agent.device.private_file import PreparedFile
from shared.cameras import DeviceCamera
from shared.errors import TransientError


def _configuration(version: int) -> StoredConfiguration:
    camera = DeviceCamera(camera_id="gate", source="usb:0", password_sealed="c2VhbGVk", settings={"mode": "motion"})
    return StoredConfiguration(version=version, cameras=[camera])


def test_a_configuration_survives_a_restart(tmp_path: Path) -> None:
    """The file has mode 0600 and holds the password as it arrived: sealed."""
    store = ConfigurationStore(tmp_path)
    assert store.load() is None
    store.prepare(_configuration(3)).commit()
    assert ConfigurationStore(tmp_path).load() == _configuration(3)
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE_NAME]


def test_a_prepared_configuration_replaces_the_old_one_only_when_committed(tmp_path: Path) -> None:
    """Until then, and after ``discard``, a restart finds the old one."""
    store = ConfigurationStore(tmp_path)
    store.prepare(_configuration(3)).commit()
    prepared = store.prepare(_configuration(4))
    assert ConfigurationStore(tmp_path).load() == _configuration(3)
    prepared.discard()
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE_NAME]
    store.prepare(_configuration(5))  # the agent was killed here
    store.prepare(_configuration(6)).commit()
    assert ConfigurationStore(tmp_path).load() == _configuration(6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(data=st.data())
def test_a_damaged_file_is_no_configuration(tmp_path: Path, data: st.DataObject) -> None:
    """Any part of a file, and any other bytes, give none or a complete configuration, never an exception."""
    whole = _configuration(3).model_dump_json().encode()
    cut = st.integers(0, len(whole) - 1).map(lambda end: whole[:end])
    content = data.draw(st.one_of(cut, st.binary(max_size=50), st.sampled_from([b"null", b"[]", b'{"version": 0}'])))
    (tmp_path / FILE_NAME).write_bytes(content)
    assert ConfigurationStore(tmp_path).load() is None


def test_a_damaged_file_is_logged_without_its_content(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says that the cameras of the API do not run until the cloud sends them again."""
    (tmp_path / FILE_NAME).write_text('{"version": "hunter2"}')
    assert ConfigurationStore(tmp_path).load() is None
    assert "starting without cameras of the API until it sends them again" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_full_disk_is_a_transient_error(tmp_path: Path) -> None:
    """/dev/full stands for the disk; the old file and its folder stay as they were."""
    with pytest.raises(TransientError, match="cannot write"):
        PreparedFile(Path("/dev/full/configuration.json"), b"x")
    (tmp_path / "state").write_text("a file")
    with pytest.raises(TransientError, match="cannot write"):
        ConfigurationStore(tmp_path / "state").prepare(_configuration(1))


def test_a_kill_at_any_line_of_the_write_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    """And the next write replaces what the killed one left behind."""
    command = [sys.executable, "-m", "tests.support.edge.killed_writer", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.split()
    replaced = found.index("2")
    assert replaced > 5
    assert found == ["1"] * replaced + ["2"] * (len(found) - replaced)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems refuse it. The file is replaced then, and an error would undo what it contains."""
    sync = os.fsync

    def refuse_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(22, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    store = ConfigurationStore(tmp_path)
    store.prepare(_configuration(1)).commit()
    assert store.load() == _configuration(1)
