"""What the checks examine: the environment of the functions, and the state folder of a one-machine stack."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from cloud_functions.db.connect import connector, database_error
from cloud_functions.db.types import Connection
from cloud_functions.settings import DatabaseSettings, Environment
from infra.admin.database import database_url
from infra.local.aws import resources
from infra.local.processes.ports import LOOPBACK
from infra.local.processes.state_folder import StateFolder
from infra.local.servers.aws import aws_environment
from shared.clock import Clock, SystemClock
from shared.disk_space import SpaceLimits
from shared.errors import ConfigurationError, VedetteError

CONNECT_TIMEOUT_S: Final = 3
STATEMENT_TIMEOUT_MS: Final = 5000
MASTER_KEY_FILE: Final = "master.key"


class DatabaseUnusableError(VedetteError):
    """The database cannot be used. The check ``database`` reports why; the others are skipped."""


@dataclass(frozen=True, slots=True)
class DoctorContext:
    """What is examined. ``variables`` are those that the functions have; they may contain secrets."""

    variables: Mapping[str, str]
    state: StateFolder | None = None
    api_url: str | None = None
    certificate_files: Sequence[Path] = ()
    clock: Clock = field(default_factory=SystemClock)
    space: SpaceLimits = field(default_factory=SpaceLimits)
    aws_lock: threading.Lock = field(default_factory=threading.Lock)

    def variable(self, name: str) -> str | None:
        """Return the value of a variable; None if it is unset or empty."""
        return self.variables.get(name, "").strip() or None

    def database_settings(self) -> DatabaseSettings:
        """Return the database's settings with short time limits. Raises ConfigurationError."""
        limits = {
            "DATABASE_CONNECT_TIMEOUT_S": str(CONNECT_TIMEOUT_S),
            "DATABASE_STATEMENT_TIMEOUT_MS": str(STATEMENT_TIMEOUT_MS),
        }
        return DatabaseSettings.from_environment(Environment({**self.variables, **limits}))

    @contextmanager
    def connection(self) -> Generator[Connection]:
        """Open a connection with short time limits, and run the block in a transaction that only reads.

        Raises:
            DatabaseUnusableError: there is no connection; the check ``database`` explains it.
        """
        try:
            connection = connector(self.database_settings())()
        except (psycopg.Error, VedetteError) as error:
            raise DatabaseUnusableError("the database cannot be used") from error
        try:
            with connection, connection.transaction():
                connection.execute("SET TRANSACTION READ ONLY")
                connection.execute("SELECT set_config('statement_timeout', %s, true)", [f"{STATEMENT_TIMEOUT_MS}ms"])
                yield connection
        except (
            psycopg.errors.UndefinedTable,
            psycopg.errors.UndefinedColumn,
            psycopg.errors.UndefinedFunction,
        ) as error:
            raise DatabaseUnusableError("the database does not have the schema of this release") from error
        except psycopg.Error as error:
            raise database_error(error) from error

    def aws(self, service: str) -> Any:
        """Return a boto3 client of the account, or of the stack, that gives up after seconds.

        Raises ConfigurationError without a region.
        """
        from boto3.session import Session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        endpoint = self.endpoint(service)
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=CONNECT_TIMEOUT_S,
            retries={"total_max_attempts": 1},
            signature_version="s3v4" if service == "s3" else None,
            s3={"addressing_style": "path"} if endpoint else None,
        )
        try:
            with self.aws_lock:  # a session may be used by one thread at a time
                return Session().client(
                    service,
                    endpoint_url=endpoint,
                    region_name=self.variable("AWS_REGION") or self.variable("AWS_DEFAULT_REGION"),
                    aws_access_key_id=self.variable("AWS_ACCESS_KEY_ID"),
                    aws_secret_access_key=self.variable("AWS_SECRET_ACCESS_KEY"),
                    aws_session_token=self.variable("AWS_SESSION_TOKEN"),
                    config=config,
                )
        except (BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"no AWS client for {service}: {error}; set AWS_REGION") from None

    def endpoint(self, service: str) -> str | None:
        """Return the endpoint that the variables name for a service; None for AWS's own."""
        return self.variable(f"AWS_ENDPOINT_URL_{service.upper()}") or self.variable("AWS_ENDPOINT_URL")


def open_context(
    variables: Mapping[str, str],
    *,
    state: Path | None,
    api_url: str | None = None,
    certificate_files: Sequence[Path] = (),
) -> DoctorContext:
    """Return the context of a deployment on AWS, or with ``state`` of a one-machine stack.

    Raises:
        ConfigurationError: ``state`` is not a state folder.
    """
    if state is None:
        return DoctorContext(variables=variables, api_url=api_url, certificate_files=certificate_files)
    folder = StateFolder(state)
    if not folder.exists:
        raise ConfigurationError(f"{state} is not the state folder of a one-machine stack: name it with --state DIR")
    return DoctorContext(
        variables=_stack_variables(folder, variables),
        state=folder,
        api_url=api_url or folder.description().get("urls", {}).get("api"),
        certificate_files=certificate_files,
    )


def _stack_variables(folder: StateFolder, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that a stack gives its functions, as far as checks need it."""
    description = folder.description()
    known: dict[str, str] = description.get("urls", {})
    found = {**variables, **aws_environment(known.get("aws") or f"http://{LOOPBACK}:{_ports(folder).get('aws', 1)}")}
    found |= {
        "SNAPSHOTS_DIR": "",  # the stack and the agent obey these two
        "ENABLE_SNAPSHOTS": "",
        "SNAPSHOT_BUCKET": resources.BUCKET,
        "EVENTS_TOPIC_ARN": resources.HUB_TOPIC_ARN,
        "INGEST_QUEUE_URL": resources.queue_url(found["AWS_ENDPOINT_URL"], resources.INGEST_QUEUE),
        "DEAD_LETTER_QUEUE_URL": resources.queue_url(found["AWS_ENDPOINT_URL"], resources.DEAD_LETTER_QUEUE),
    }
    # The description masks passwords, so a service of someone else is taken from the variables that name it.
    is_external = bool(description.get("options", {}).get("external"))
    for name, part in (("REDIS_URL", "redis"), ("MQTT_URL", "broker")):
        if part in known and not (is_external and variables.get(name)):
            found[name] = known[part]
    if not (is_external and variables.get("DATABASE_URL")):
        found["DATABASE_URL"] = database_url({}, state=folder.path)
    if not variables.get("PLATE_MASTER_KEY") and (folder.path / MASTER_KEY_FILE).exists():
        found["PLATE_MASTER_KEY"] = f"file:{folder.path / MASTER_KEY_FILE}"
    return found


def _ports(folder: StateFolder) -> dict[str, int]:
    try:
        return json.loads((folder.path / "ports.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
