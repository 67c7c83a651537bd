"""The options of a stack: what the environment chooses, and their way to the supervisor."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.processes.stack_options import (
    StackOptions,
    options_from_json,
    options_to_json,
    redis_port,
    snapshots_dir,
)
from shared.errors import ConfigurationError


@pytest.mark.parametrize(("text", "port"), [("", None), ("0", 0), ("6380", 6380)])
def test_the_environment_chooses_the_port_of_redis(text: str, port: int | None) -> None:
    """Without REDIS_PORT, the usual port is taken where it is free; 0 takes any."""
    assert redis_port({"REDIS_PORT": text}) == port


def test_an_invalid_port_of_redis_is_reported() -> None:
    """The error names the variable."""
    with pytest.raises(ConfigurationError, match="REDIS_PORT must be a number from 0 to 65535"):
        redis_port({"REDIS_PORT": "70000"})


def test_the_environment_chooses_the_folder_of_snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path begins in the current folder, and an empty variable counts as unset."""
    monkeypatch.chdir(tmp_path)
    assert snapshots_dir({"SNAPSHOTS_DIR": " "}) is None
    assert snapshots_dir({"SNAPSHOTS_DIR": "pictures"}) == str(tmp_path / "pictures")
    assert snapshots_dir({"SNAPSHOTS_DIR": "/app/snapshots"}) == "/app/snapshots"


@pytest.mark.parametrize(
    "options",
    [StackOptions(), StackOptions(api_port=1, postgres="system", redis_port=None, snapshots_dir="/app/snapshots")],
)
def test_the_supervisor_gets_the_options_of_the_user(options: StackOptions) -> None:
    """All of them reach it on its command line."""
    assert options_from_json(options_to_json(options), {}) == options


def test_addresses_with_passwords_are_not_on_the_command_line() -> None:
    """They reach the supervisor in its environment."""
    services = {"DATABASE_URL": "postgresql://u:secret@h/d"}
    text = options_to_json(StackOptions(external=services))
    assert "secret" not in text
    assert options_from_json(text, services).external == services
