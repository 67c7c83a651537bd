"""Settings from environment variables: defaults, limits, and credentials that never appear in a repr."""

from __future__ import annotations

import pytest

from cloud_functions.settings import (
    DatabaseSettings,
    Environment,
    FanoutSettings,
    GapSettings,
    IngestSettings,
    MaintenanceSettings,
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
