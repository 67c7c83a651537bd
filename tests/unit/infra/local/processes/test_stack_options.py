"""The options of a stack: what the environment chooses, and their way to the supervisor."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.local.processes.stack_options import (
    OBEYED_VARIABLES,
    StackOptions,
    options_from_json,
    options_to_json,
    redis_port,
    snapshots_dir,
    variable_digests,
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


SET_BY_THE_STACK = {
    "DATABASE_HOST", "DATABASE_IAM_AUTH", "DATABASE_NAME", "DATABASE_PORT", "DATABASE_SECRET_ARN", "DATABASE_SSL_MODE",
    "DATABASE_SSL_ROOT_CERT",
    "DATABASE_URL", "DATABASE_USER", "DEAD_LETTER_QUEUE_URL", "EVENTS_TOPIC_ARN", "FANOUT_QUEUES", "FANOUT_TARGET",
    "INGEST_QUEUE_URL", "IOT_DATA_ENDPOINT", "METRICS_DIR",
    "KAFKA_PARTIAL_RESPONSES", "REDIS_DB", "REDIS_HOST", "REDIS_PORT", "REDIS_URL", "RETURN_QUEUE_URL",
    "SNAPSHOT_BUCKET", "WEBHOOKS_IN_BACKGROUND",
    "WEBSOCKET_ENDPOINT", "WEBSOCKET_PORT", "WEBSOCKET_QUEUE_URL", "WEBSOCKET_URL",
}  # fmt: skip
"""Or without effect there, because an address that the stack sets takes precedence."""


def test_each_setting_of_the_functions_is_obeyed_or_set_by_the_stack() -> None:
    """The list is complete: a new setting is noticed when somebody gives it to a stack that runs already."""
    folder = Path(__file__).resolve().parents[5] / "cloud_functions"
    text = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.py"))
    read = set(re.findall(r'\benv\.\w+\(\s*"([A-Z][A-Z_]+)"', text))
    assert read - SET_BY_THE_STACK == set(OBEYED_VARIABLES)
    assert read >= SET_BY_THE_STACK


def test_variables_are_compared_without_their_values() -> None:
    """Another value has another digest. An empty variable counts as unset, except the one that closes the API."""
    digests = variable_digests({"PLATE_MASTER_KEY": "file:/a", "CORS_ORIGINS": "", "ANONYMOUS_ROLE": "", "HOME": "/"})
    assert set(digests) == {"PLATE_MASTER_KEY", "ANONYMOUS_ROLE"}
    assert "/a" not in str(digests)
    assert variable_digests({"PLATE_MASTER_KEY": "file:/b"})["PLATE_MASTER_KEY"] != digests["PLATE_MASTER_KEY"]
