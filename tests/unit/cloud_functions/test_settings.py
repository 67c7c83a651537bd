"""Settings from the environment: typed, checked, and secret where they must be."""

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


def test_defaults_need_only_a_database() -> None:
    """Everything else has a sensible default."""
    env = Environment({"DATABASE_URL": "postgresql://u:sesame@h/d"})
    database = DatabaseSettings.from_environment(env)
    assert database.url == "postgresql://u:sesame@h/d"
    assert "sesame" not in repr(database)
    assert "sesame" not in repr(FanoutSettings.from_environment(Environment({"REDIS_URL": "redis://:sesame@h"})))
    assert GapSettings.from_environment(env) == GapSettings()
    assert IngestSettings.from_environment(env) == IngestSettings()
    assert MaintenanceSettings.from_environment(env) == MaintenanceSettings()


@pytest.mark.parametrize(
    ("variables", "told"),
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
def test_what_is_wrong_is_named(variables: dict[str, str], told: str) -> None:
    """A person reads which variable to set, and to what."""
    with pytest.raises(ConfigurationError, match=told):
        DatabaseSettings.from_environment(Environment(variables))


def test_required_says_what_for() -> None:
    """Whoever lacks a variable learns its purpose."""
    env = Environment({"A": "1"})
    assert env.required("A", purpose="for tests") == "1"
    with pytest.raises(ConfigurationError, match="B is not set: for tests"):
        env.required("B", purpose="for tests")


def test_retention_is_off_unless_given() -> None:
    """Events are kept for ever by default, and a number of days is a number of days."""
    assert MaintenanceSettings.from_environment(Environment({"RETENTION_DAYS": "30"})).retention_days == 30
    assert Environment({"X": "off"}).flag("X", default=True) is False
