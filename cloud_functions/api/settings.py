"""The settings of the API, read from environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from cloud_functions.settings import DatabaseSettings, Environment, PlateSettings


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Settings of the API."""

    database: DatabaseSettings
    bucket: str
    """Name of the bucket that holds the snapshots."""
    topic_arn: str | None = None
    """ARN of the SNS topic that the health check tests. None disables this check."""
    root_path: str = ""
    """Path prefix that a gateway removes from requests, for example the stage of a REST API."""
    allowed_hosts: tuple[str, ...] = ()
    """DNS names that a server (not Lambda) accepts in ``Host``, besides localhost and IP addresses."""
    plates: PlateSettings = field(default_factory=PlateSettings)

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None) -> Self:
        """Read the settings; raise ConfigurationError for a missing or invalid variable."""
        env = Environment(variables)
        return cls(
            database=DatabaseSettings.from_environment(env),
            bucket=env.required("SNAPSHOT_BUCKET", purpose="the bucket to which devices upload snapshots"),
            topic_arn=env.optional("EVENTS_TOPIC_ARN"),
            root_path=env.text("API_ROOT_PATH", ""),
            allowed_hosts=tuple(env.text("ALLOWED_HOSTS", "").replace(",", " ").split()),
            plates=PlateSettings.from_environment(env),
        )
