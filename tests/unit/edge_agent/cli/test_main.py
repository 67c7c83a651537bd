"""The `edge-agent` command line: exit statuses and output."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_agent.camera.source import StreamInfo
from edge_agent.cli import console
from edge_agent.cli.config_reference import render
from edge_agent.cli.main import main
from edge_agent.cli.parser import build_parser
from edge_agent.device.configuration_store import ConfigurationStore, StoredConfiguration
from shared import __version__
from shared.cameras import DeviceCamera
from tests.support.clips import make_clip

ROOT = Path(__file__).resolve().parents[4]
CONFIG = """
site_id = "hq"
device_id = "gate-01"
state_dir = "{state}"
[mqtt]
host = "127.0.0.1"
[[cameras]]
id = "yard"
source = "{source}"
[cameras.model]
name = "none"
"""


@pytest.fixture(autouse=True)
def _log_levels() -> Iterator[None]:
    """Restore the logging configuration that ``main`` changes."""
    root, live = logging.getLogger(), logging.getLogger("edge_agent.camera.live")
    handlers, levels = list(root.handlers), (root.level, live.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    live.setLevel(levels[1])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a clip of ten grey frames."""
    return make_clip(tmp_path_factory.mktemp("clip") / "grey.mp4", [np.full((90, 160, 3), 90, np.uint8)] * 10, 10.0)


def test_probe_prints_the_properties_of_a_source(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The resolution is in the text output and in the JSON output."""
    assert main(["probe", str(clip)]) == 0
    assert "160x90" in capsys.readouterr().out
    assert main(["probe", str(clip), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["resolution"] == "160x90"


def test_probe_of_an_unreachable_source_fails_without_showing_the_password(capfd: pytest.CaptureFixture[str]) -> None:
    """The exit status is 1, the reason is printed, and the output does not contain the password."""
    assert main(["probe", "rtsp://me:hunter2@127.0.0.1:9/x"]) == 1
    captured = capfd.readouterr()
    assert "connection refused" in captured.out
    assert "hunter2" not in captured.out + captured.err
    assert "next attempt" not in captured.out + captured.err, "a probe makes one attempt"


def test_check_of_a_valid_configuration_succeeds(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All checks are listed, and the last line says that the configuration is ready to run."""
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG.format(state=tmp_path / "state", source=clip))
    assert main(["check", "--config", str(path)]) == 0
    shown = capsys.readouterr().out
    for part in ("gate-01", "no TLS", "without pictures", "grey.mp4", "ready to run"):
        assert part in shown


def test_check_lists_every_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Missing files, unset secrets and unknown models are all reported, each by name."""
    path = tmp_path / "agent.toml"
    path.write_text(
        CONFIG.format(state=tmp_path / "agent.toml", source="nothing.mp4")
        .replace('name = "none"', 'name = "modle"')
        .replace('host = "127.0.0.1"', 'host = "b"\nusername = "u"\npassword_env = "VEDETTE_NOT_SET"')
        + '[[cameras]]\nid = "off"\nsource = "usb:0"\nenabled = false\n'
        + '[s3]\nbucket = "pictures"\n[s3.iot_credentials]\nendpoint = "e"\nrole_alias = "r"\n'
        + f'certificate_file = "{path}"\nprivate_key_file = "missing.key"\nca_file = "missing.pem"\n'
    )
    assert main(["check", "--config", str(path)]) == 2
    shown = capsys.readouterr().out
    for part in (
        "is not a folder",
        "VEDETTE_NOT_SET",
        "missing.key",
        "missing.pem",
        "nothing.mp4",
        "modle",
        "camera off: disabled",
        "6 problem(s)",
    ):
        assert part in shown


def test_edge_37_check_reports_an_unwritable_state_folder(
    tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No user can create files in /proc, not even root."""
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG.format(state="/proc/vedette", source=clip))
    status = main(["check", "--config", str(path)])
    assert status in {0, 2}  # the permission bits of /proc allow root to write
    assert "state_dir" in capsys.readouterr().out


def test_check_of_a_managed_device_names_its_stored_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file with two ids and a broker is complete; cameras come from the API."""
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG.format(state=tmp_path, source="").partition("[[cameras]]")[0])
    assert main(["check", "--config", str(path)]) == 0
    assert "the API configures this device; none stored yet" in " ".join(capsys.readouterr().out.split())
    stored = StoredConfiguration(version=7, cameras=[DeviceCamera(camera_id="gate", source="usb:0")])
    ConfigurationStore(tmp_path).prepare(stored).commit()
    assert main(["check", "--config", str(path)]) == 0
    assert "version 7, 1 camera(s) stored" in " ".join(capsys.readouterr().out.split())


def test_check_prints_the_problems_of_an_invalid_file_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each problem is on a line by itself."""
    path = tmp_path / "agent.toml"
    path.write_text('site_id = "hq"\n')
    assert main(["check", "--config", str(path)]) == 2
    said = capsys.readouterr().err
    assert "device_id: is missing" in said
    assert "mqtt: is missing" in said


def test_run_with_an_unusable_configuration_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The agent does not start, and the error names the file."""
    assert main(["run", "--config", str(tmp_path / "nothing.toml")]) == 2
    assert "nothing.toml" in capsys.readouterr().err


def test_models_list_and_pull(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both the catalogue and the site's model folder are listed; an unknown name is answered with a similar one."""
    (tmp_path / "own.tflite").write_bytes(b"x")
    monkeypatch.setenv("VEDETTE_MODELS", str(tmp_path))
    assert main(["models", "list"]) == 0
    shown = capsys.readouterr().out
    for part in ("ssd_mobilenet_v1_coco_quant (default)", "Apache-2.0", "own", "in VEDETTE_MODELS"):
        assert part in shown
    assert main(["models", "list", "--json"]) == 0
    assert "own" in {model["name"] for model in json.loads(capsys.readouterr().out)}
    assert main(["models", "pull", "efficientdet_lite1"]) == 2
    assert "efficientdet_lite0" in capsys.readouterr().err


def test_pull_downloads_from_a_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shared_material: Path
) -> None:
    """The site's server (a file:// URL in this test) is used, the hash is verified, and the path is printed."""
    monkeypatch.setenv("VEDETTE_MODELS", (shared_material / "models").as_uri())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["models", "pull", "ssd_mobilenet_v1_coco_quant"]) == 0
    path = Path(capsys.readouterr().out.split()[-1])
    assert path.is_relative_to(tmp_path)
    assert hashlib.sha256(path.read_bytes()).hexdigest().startswith("e4b118e5")


def test_progress_bars_are_not_drawn_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is drawn when the output is a pipe or a service log."""
    with console.replay_bar() as replaying, console.download_bar("x") as downloading:
        assert replaying is None
        assert downloading is None
    with console.pictures_bar(3) as advance:
        advance("car.jpg")
    assert capsys.readouterr().err == ""


def test_progress_bars_are_drawn_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """FORCE_COLOR makes rich treat stderr as a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with console.replay_bar() as progress:
        assert progress is not None
        progress(StreamInfo(source="x", frame_count=100), 50)
    with console.download_bar("model") as progress:
        assert progress is not None
        progress(500, 1000)
    with console.pictures_bar(3) as advance:
        advance("car.jpg")
    drawn = capsys.readouterr().err
    assert "50 frames" in drawn
    assert "1/3" in drawn
    assert "car.jpg" in drawn
    assert "model" in drawn


def test_version_and_help() -> None:
    """The version is printed, and the parser is built without importing OpenCV, so that help is fast."""
    done = subprocess.run([sys.executable, "-m", "edge_agent", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"edge-agent {__version__}"
    code = "import sys; from edge_agent.cli.parser import build_parser; build_parser(); sys.exit('cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_closed_output_pipe_is_not_an_error() -> None:
    """`edge-agent models list | head -1` prints nothing on stderr."""
    command = f"{sys.executable} -m edge_agent models list | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert "ssd_mobilenet" in done.stdout
    assert done.stderr == ""


def test_every_command_and_option_is_documented() -> None:
    """docs/reference/command-line.md contains every command and every option."""
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    help_texts = [build_parser().format_help()]
    for words in (
        ["run"],
        ["replay"],
        ["read-plates"],
        ["clip"],
        ["probe"],
        ["check"],
        ["models", "list"],
        ["models", "pull"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "edge_agent", *words, "--help"], capture_output=True, text=True, check=True
        )
        assert f"edge-agent {' '.join(words)}" in page
        help_texts.append(done.stdout)
    options = {option for text in help_texts for option in re.findall(r"--[a-z][a-z-]+", text)}
    assert {option for option in options if option not in page} == set()


def test_the_configuration_page_is_up_to_date() -> None:
    """docs/reference/configuration.md equals the generated page; `make schemas` regenerates it."""
    assert (ROOT / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8") == render()


def test_every_setting_has_a_description() -> None:
    """Each row of the configuration page has a description of at least ten characters."""
    rows = [line for line in render().splitlines() if line.startswith("| `")]
    assert len(rows) > 80
    described = [re.sub(r"\(.*\)", "", row.rsplit(" | ", 1)[-1]).strip(" |") for row in rows]
    assert [row for row, text in zip(rows, described, strict=True) if len(text) < 10] == []
