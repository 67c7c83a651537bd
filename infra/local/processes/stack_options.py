"""The options of a stack: the user's choices, and their encoding for the supervisor's command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import ConfigurationError

DEFAULT_API_PORT = 8069


@dataclass(frozen=True, slots=True)
class StackOptions:
    """The choices of the user."""

    api_port: int = DEFAULT_API_PORT
    postgres: str = "embedded"
    """Which binaries: ``embedded`` or ``system``."""
    external: Mapping[str, str] | None = None
    """``DATABASE_URL``, ``REDIS_URL``, ``MQTT_URL`` of services to use instead of starting them."""


def external_services(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the services that the environment names; raise ConfigurationError if it names none."""
    services = {name: environment[name] for name in ("DATABASE_URL", "REDIS_URL", "MQTT_URL") if environment.get(name)}
    if not services:
        raise ConfigurationError("--external uses DATABASE_URL, REDIS_URL and MQTT_URL, and none of them is set")
    return services


def options_to_json(options: StackOptions) -> str:
    """Encode the options for the supervisor's command line; URLs with secrets are passed in its environment."""
    return json.dumps({"api_port": options.api_port, "postgres": options.postgres, "external": bool(options.external)})


def options_from_json(text: str, environment: Mapping[str, str]) -> StackOptions:
    """Decode the result of ``options_to_json``."""
    decoded: dict[str, Any] = json.loads(text)
    external = external_services(environment) if decoded.pop("external") else None
    return StackOptions(**decoded, external=external)
