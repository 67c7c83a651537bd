"""The options of a stack: the user's choices, and their encoding for the supervisor's command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cloud_functions.settings import Environment
from shared.errors import ConfigurationError

DEFAULT_API_PORT = 8069
DEFAULT_REDIS_PORT = 6379


@dataclass(frozen=True, slots=True)
class StackOptions:
    """The choices of the user."""

    api_port: int = DEFAULT_API_PORT
    postgres: str = "embedded"
    """Which binaries: ``embedded`` or ``system``."""
    external: Mapping[str, str] | None = None
    """``DATABASE_URL``, ``REDIS_URL``, ``MQTT_URL`` of services to use instead of starting them."""
    redis_port: int | None = 0
    """The port of Redis if it is free. None: that of the previous start, or 6379. 0: that of the previous start, or any
    free one."""
    snapshots_dir: str | None = None
    """Absolute path of the folder with the objects of the bucket; None: that of the previous start, or one in the state
    folder."""


def external_services(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the services that the environment names; raise ConfigurationError if it names none."""
    services = {name: environment[name] for name in ("DATABASE_URL", "REDIS_URL", "MQTT_URL") if environment.get(name)}
    if not services:
        raise ConfigurationError("--external uses DATABASE_URL, REDIS_URL and MQTT_URL, and none of them is set")
    return services


def redis_port(environment: Mapping[str, str]) -> int | None:
    """Return ``redis_port`` of the options, from REDIS_PORT; raise ConfigurationError if it is not a port or 0."""
    env = Environment(environment)
    if env.optional("REDIS_PORT") is None:
        return None
    return env.whole("REDIS_PORT", DEFAULT_REDIS_PORT, least=0, most=65_535)


def snapshots_dir(environment: Mapping[str, str]) -> str | None:
    """Return ``snapshots_dir`` of the options, from SNAPSHOTS_DIR; a relative path begins in the current folder."""
    env = Environment(environment)
    folder = env.optional("SNAPSHOTS_DIR")
    return None if folder is None else str(Path(folder).expanduser().absolute())


def options_to_json(options: StackOptions) -> str:
    """Encode the options for the supervisor's command line; URLs with secrets are passed in its environment."""
    return json.dumps(asdict(options) | {"external": bool(options.external)})


def options_from_json(text: str, environment: Mapping[str, str]) -> StackOptions:
    """Decode the result of ``options_to_json``."""
    decoded: dict[str, Any] = json.loads(text)
    external = external_services(environment) if decoded.pop("external") else None
    return StackOptions(**decoded, external=external)
