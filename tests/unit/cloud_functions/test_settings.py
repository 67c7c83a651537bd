"""Settings from environment variables: defaults, limits, and credentials that never appear in a repr."""

from __future__ import annotations

import pytest

from cloud_functions.api.wiring import server_app_from_environment
from cloud_functions.settings import (
    OBSOLETE_VARIABLES,
    DatabaseSettings,
    Environment,
    FanoutSettings,
    GapSettings,
    IngestSettings,
    MaintenanceSettings,
    warn_of_obsolete_variables,
)
from shared.errors import ConfigurationError


def test_only_the_database_has_no_default() -> None:
    """All other settings have defaults, and no repr contains a password."""
    env = Environment({"DATABASE_URL": "postgresql://u:sesame@h/d"})
    database = DatabaseSettings.from_environment(env)
    assert database.url == "postgresql://u:sesame@h/d"
    assert "sesame" not in repr(database)
    assert "sesame" not in repr(FanoutSettings.from_environment(Environment({"REDIS_URL": "redis://:sesame@h"})))
    assert GapSettings.from_environment(env) == GapSettings()
    assert IngestSettings.from_environment(env) == IngestSettings()
    assert MaintenanceSettings.from_environment(env) == MaintenanceSettings()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "DATABASE_URL is not set"),
        ({"DATABASE_URL": "  "}, "DATABASE_URL is not set"),
        ({"DATABASE_IAM_AUTH": "yes", "DATABASE_HOST": "h"}, "DATABASE_IAM_AUTH also requires"),
        ({"DATABASE_IAM_AUTH": "perhaps"}, "DATABASE_IAM_AUTH must be true or false"),
        ({"DATABASE_URL": "x", "DATABASE_PORT": "http"}, "DATABASE_PORT must be a number from 1 to 65535"),
        ({"DATABASE_URL": "x", "DATABASE_PORT": "70000"}, "DATABASE_PORT"),
        ({"DATABASE_URL": "x", "DATABASE_PORT": "nan"}, "DATABASE_PORT"),
        ({"DATABASE_URL": "x", "DATABASE_PORT": "5432.5"}, "DATABASE_PORT must be a whole number"),
    ],
)
def test_an_invalid_value_is_reported_with_its_variable(variables: dict[str, str], message: str) -> None:
    """The error names the variable and the values that it accepts."""
    with pytest.raises(ConfigurationError, match=message):
        DatabaseSettings.from_environment(Environment(variables))


def test_a_missing_required_variable_is_reported_with_its_purpose() -> None:
    """The error states what the variable is needed for."""
    env = Environment({"A": "1"})
    assert env.required("A", purpose="for tests") == "1"
    with pytest.raises(ConfigurationError, match="B is not set: for tests"):
        env.required("B", purpose="for tests")


def test_the_retention_is_read_in_days() -> None:
    """Without the variable, events are kept without limit."""
    assert MaintenanceSettings.from_environment(Environment({"RETENTION_DAYS": "30"})).retention_days == 30
    assert MaintenanceSettings.from_environment(Environment({})).retention_days is None


def test_a_flag_can_be_switched_off() -> None:
    """``off`` is false, even if the default is true."""
    assert Environment({"X": "off"}).flag("X", default=True) is False


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, None),
        ({"REDIS_PORT": "6380"}, None),
        ({"REDIS_HOST": "redis"}, "redis://redis:6379/0"),
        ({"REDIS_HOST": "10.0.0.7", "REDIS_PORT": "6380", "REDIS_DB": "2"}, "redis://10.0.0.7:6380/2"),
        ({"REDIS_HOST": "::1"}, "redis://[::1]:6379/0"),
        ({"REDIS_HOST": "redis", "REDIS_URL": "rediss://other"}, "rediss://other"),
    ],
)
def test_the_parts_of_an_address_name_the_redis_server(variables: dict[str, str], url: str | None) -> None:
    """``REDIS_HOST`` with its port and database is enough; ``REDIS_URL`` takes precedence."""
    assert FanoutSettings.from_environment(Environment(variables)).redis_url == url


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"REDIS_HOST": "redis://h"}, "REDIS_HOST must be a host name"),
        ({"REDIS_HOST": "h", "REDIS_PORT": "0"}, "REDIS_PORT must be a number from 1"),
        ({"REDIS_HOST": "h", "REDIS_DB": "-1"}, "REDIS_DB must be a number from 0"),
    ],
)
def test_an_invalid_part_of_an_address_is_reported(variables: dict[str, str], message: str) -> None:
    """A URL in the place of a host name would lead to another server."""
    with pytest.raises(ConfigurationError, match=message):
        FanoutSettings.from_environment(Environment(variables))


def test_obsolete_variables_are_named_in_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The warning states what takes the place of each, and not its value."""
    warn_of_obsolete_variables(Environment({"SNAPSHOTS_DIR": "", "SNAPSHOT_BUCKET": "b"}))
    assert caplog.messages == []
    warn_of_obsolete_variables(Environment(dict.fromkeys(OBSOLETE_VARIABLES, "/app/value")))
    [message] = caplog.messages
    assert [name for name in OBSOLETE_VARIABLES if f"{name} (" not in message] == []
    assert "SNAPSHOT_BUCKET" in message
    assert "/app/value" not in message


def test_the_api_server_warns_of_obsolete_variables(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning is logged once, at the start."""
    for name, value in {"DATABASE_URL": "postgresql://h/d", "SNAPSHOT_BUCKET": "b", "ENABLE_SNAPSHOTS": "true"}.items():
        monkeypatch.setenv(name, value)
    server_app_from_environment()
    assert len([message for message in caplog.messages if "ENABLE_SNAPSHOTS (" in message]) == 1
