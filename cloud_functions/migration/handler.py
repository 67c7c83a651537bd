"""Entry point of the migration function: ``cloud_functions.migration.handler.handler``.

The template has a custom resource with the revision that its release needs, on which all other functions depend: the
schema is changed first, and code second. CloudFormation sends Create, Update or Delete and waits for the answer.

- The database is only ever upgraded. Deleting the stack, and returning to an earlier release, change nothing: each
  release runs with the schema of the next one.
- Each revision is a transaction of its own. If too little time is left to begin the next one, the invocation fails
  without an answer; Lambda then invokes the function again, which continues.

Invoked by hand without a request (``{}``), it migrates to the newest revision and returns the revision.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from cloud_functions.aws import AwsClients
from cloud_functions.db.connect import connection_string
from cloud_functions.db.migrate import NewerSchemaError, current_revision, head_revision, upgrade
from cloud_functions.migration.response import CustomResource, send_response
from cloud_functions.observability import configure_logging, invocation_ids
from cloud_functions.settings import DatabaseSettings, Environment
from shared.errors import TransientError, VedetteError

log = logging.getLogger(__name__)

ANSWER_S: Final = 30.0
"""Seconds of an invocation that are kept for the rollback of a revision and for the answer."""
LEAST_STEP_S: Final = 300.0
"""Seconds that must be left to begin a revision, unless it is the first of the invocation."""
_PAUSE_S: Final = 5.0


class LambdaContext(Protocol):
    """What this function reads of Lambda's context."""

    def get_remaining_time_in_millis(self) -> int: ...


class Migration:
    """Migrates one database."""

    def __init__(self, *, url: Callable[[], str], sleep: Callable[[float], None] = time.sleep) -> None:
        """``url``: returns the connection string, with the credentials of the moment."""
        self._url = url
        self._sleep = sleep

    def handle(self, event: Mapping[str, Any], *, remaining_s: Callable[[], float]) -> dict[str, Any]:
        """Do what CloudFormation or an operator requests; ``remaining_s``: until Lambda ends the invocation.

        Raises:
            TransientError: too little time is left for the next revision; a repetition continues.
            VedetteError: an operator's migration failed. A failure for CloudFormation is answered instead.
        """
        request = CustomResource.from_event(event)
        if request is None:
            return {"revision": self._migrate(head_revision(), remaining_s=remaining_s)}
        if request.request_type == "Delete":
            log.info("the stack or its migration is deleted: the database is not changed")
            send_response(request, data={})
            return {}
        try:
            revision = self._migrate(request.revision or head_revision(), remaining_s=remaining_s)
        except _OutOfTimeError:
            raise
        except VedetteError as error:
            log.error("the migration failed: %s", error)  # noqa: TRY400 - an expected error
            send_response(request, failure=str(error))
            return {}
        data = {"Revision": revision}
        send_response(request, data=data)
        return data

    def _migrate(self, target: str, *, remaining_s: Callable[[], float]) -> str | None:
        """Migrate up to ``target``, if the database is not there yet; return its revision."""
        begun: set[str] = set()

        def limit_of(revision: str) -> float:
            begun.add(revision)
            is_first = len(begun) == 1
            if not is_first and remaining_s() < LEAST_STEP_S:
                raise _OutOfTimeError(f"another invocation continues with revision {revision}")
            log.info("migrating to revision %s", revision)
            return max(remaining_s() - ANSWER_S, 1.0)

        while True:
            try:
                url = self._url()
                upgrade(url, target, limit_of=limit_of)
                return current_revision(url)
            except NewerSchemaError as error:
                log.warning("nothing was changed: %s", error)
                return error.revision
            except _OutOfTimeError:
                raise
            except TransientError as error:  # such as an Aurora cluster that is resuming
                if remaining_s() < ANSWER_S + _PAUSE_S:
                    raise
                log.warning("trying again: %s", error)
                self._sleep(_PAUSE_S)


class _OutOfTimeError(TransientError):
    """Too little time is left in this invocation."""


def build_migration(environment: Mapping[str, str] | None = None) -> Migration:
    """Build the function from environment variables. Opens no connection."""
    settings = DatabaseSettings.from_environment(Environment(environment))
    return Migration(url=functools.partial(connection_string, settings, aws=AwsClients()))


@functools.cache
def _migration() -> Migration:
    configure_logging(service="migration", variables=os.environ)
    return build_migration()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle one request of CloudFormation or of an operator."""
    invocation_ids().begin(context)
    return _migration().handle(event, remaining_s=lambda: context.get_remaining_time_in_millis() / 1000)
