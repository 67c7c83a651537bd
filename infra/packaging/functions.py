"""The Lambda functions, and the contents of each function's artefact.

``FUNCTIONS`` is the only list of them. Tests compare it with ``template.yaml`` and with the imports of the handlers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.errors import ConfigurationError

PYTHON_VERSION: Final = "3.13"
"""Lambda's runtime, as in template.yaml."""
PLATFORM: Final = "aarch64-manylinux_2_28"
"""arm64 on Amazon Linux 2023."""

_COMMON: Final = (
    "shared",
    "cloud_functions/__init__.py",
    "cloud_functions/aws.py",
    "cloud_functions/event_messages.py",
    "cloud_functions/observability.py",
)
_WITH_DATABASE: Final = (*_COMMON, "cloud_functions/settings.py", "cloud_functions/db", "cloud_functions/plates")
_WITH_SNAPSHOTS: Final = ("cloud_functions/object_storage", "cloud_functions/snapshot_store.py")
_WITH_PRIVACY: Final = (*_WITH_DATABASE, "cloud_functions/privacy")
_WITH_DEVICES: Final = ("cloud_functions/device_commands.py", "cloud_functions/device_configuration.py")
LEFT_OUT: Final = (
    "__pycache__",
    "migrations",
    "migrate.py",
    "cli.py",
    "kafka",
    "api_reference.py",
    "api_types.py",
    "api_types.d.ts",
    "problem_types.py",
)
"""Not needed by functions that handle requests: migrations have a function of their own, uvicorn and the Kafka consumer
run on a server."""


@dataclass(frozen=True, slots=True)
class FunctionCode:
    """One function: its handler's module, its lock file, and the parts of this project that it imports."""

    handler: str
    requirements: str
    parts: tuple[str, ...]
    keeps: tuple[str, ...] = ()
    """Names of ``LEFT_OUT`` that this function needs."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """The names of files and folders that are not in this function's artefact."""
        return tuple(name for name in LEFT_OUT if name not in self.keeps)

    @property
    def entry_point(self) -> str:
        """The handler as Lambda imports it: ``module.function``."""
        return f"{self.handler}.handler"


FUNCTIONS: Final = {
    "migration": FunctionCode(
        handler="cloud_functions.migration.handler",
        requirements="requirements/lambda-migration.txt",
        parts=(*_WITH_DATABASE, "cloud_functions/migration"),
        keeps=("migrations", "migrate.py"),
    ),
    "ingest": FunctionCode(
        handler="cloud_functions.ingest.handler",
        requirements="requirements/lambda-ingest.txt",
        parts=(*_WITH_PRIVACY, *_WITH_DEVICES, "cloud_functions/ingest"),
    ),
    "fanout": FunctionCode(
        handler="cloud_functions.fanout.handler",
        requirements="requirements/lambda-fanout.txt",
        parts=(*_COMMON, "cloud_functions/settings.py", "cloud_functions/fanout"),
    ),
    "webhooks": FunctionCode(  # fan-out with the target that needs the database and the master key
        handler="cloud_functions.fanout.handler",
        requirements="requirements/lambda-ingest.txt",
        parts=(*_WITH_PRIVACY, "cloud_functions/fanout"),
    ),
    "websocket": FunctionCode(  # fan-out with the target that needs the database
        handler="cloud_functions.fanout.handler",
        requirements="requirements/lambda-ingest.txt",
        parts=(*_WITH_DATABASE, "cloud_functions/fanout"),
    ),
    "api": FunctionCode(
        handler="cloud_functions.api.handler",
        requirements="requirements/lambda-api.txt",
        parts=(*_WITH_PRIVACY, *_WITH_SNAPSHOTS, *_WITH_DEVICES, "cloud_functions/api"),
    ),
    "maintenance": FunctionCode(
        handler="cloud_functions.maintenance.handler",
        requirements="requirements/lambda-ingest.txt",
        parts=(
            *_WITH_DATABASE,
            *_WITH_SNAPSHOTS,
            "cloud_functions/device_commands.py",
            "cloud_functions/maintenance",
        ),
    ),
}


def function_code(name: str) -> FunctionCode:
    """Return the function's row; raise ConfigurationError if there is none."""
    try:
        return FUNCTIONS[name]
    except KeyError:
        raise ConfigurationError(f"unknown function {name!r}; known functions: {', '.join(FUNCTIONS)}") from None
