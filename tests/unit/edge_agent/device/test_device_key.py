"""The device's key: made once, private, and never in a log."""

from __future__ import annotations

import logging
import stat
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import pytest

from cloud_functions.privacy.sealed_box import seal_password
from edge_agent.device.device_key import FILE_NAME, DeviceKey
from shared.errors import ConfigurationError, PermanentError


def test_a_key_is_made_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The file has mode 0600, and neither logs nor ``repr`` contain it."""
    caplog.set_level(logging.DEBUG)
    key = DeviceKey.load(tmp_path / "state")
    path = tmp_path / "state" / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(b64decode(key.public_key)) == 32
    assert DeviceKey.load(tmp_path / "state").public_key == key.public_key
    private = path.read_text().strip()
    assert private not in caplog.text + repr(key) + str(key)
    assert private != key.public_key
    assert [entry.name for entry in path.parent.iterdir()] == [FILE_NAME]


def test_the_key_opens_what_the_cloud_seals(tmp_path: Path) -> None:
    """After a restart too, and for the camera that the password belongs to only."""
    sealed = seal_password("s3cret", public_key=DeviceKey.load(tmp_path).public_key, camera_id="gate")
    key = DeviceKey.load(tmp_path)
    assert key.open(sealed, camera_id="gate") == "s3cret"
    with pytest.raises(PermanentError):
        key.open(sealed, camera_id="attic")


@pytest.mark.parametrize("content", [b"", b"short", b"\xff\xfe", b"A" * 44])
def test_a_damaged_key_is_replaced(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The device continues with another key, and the log says what follows from it."""
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    path.chmod(0o600)
    key = DeviceKey.load(tmp_path)
    assert "is damaged; making a new key" in caplog.text
    assert DeviceKey.load(tmp_path).public_key == key.public_key


def test_a_key_that_others_can_read_is_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """For example after a copy without its mode."""
    DeviceKey.load(tmp_path)
    (tmp_path / FILE_NAME).chmod(0o644)
    DeviceKey.load(tmp_path)
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert "readable by other users" in caplog.text


def test_a_folder_that_cannot_be_written_is_a_configuration_error(tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / "state").write_text("a file")
    with pytest.raises(ConfigurationError, match=r"device\.key"):
        DeviceKey.load(tmp_path / "state")


def test_a_device_that_is_not_managed_needs_no_cryptography() -> None:
    """The agent imports the package only to make or read the key."""
    program = "import sys, edge_agent.agent, edge_agent.cli.check; print('cryptography' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )
