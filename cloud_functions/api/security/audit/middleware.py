"""ASGI middleware that adds the audit entries of requests that viewed something, failed or were denied.

The entry of a view is written before its response begins: what cannot be recorded is not shown.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud_functions.api.http.problems import Problem, problem_response
from cloud_functions.api.security.audit.request_audit import RequestAudit
from cloud_functions.api.security.plate_access import PlateAccess
from cloud_functions.db.audit.log import Outcome, add_entry, add_entry_without_waiting
from cloud_functions.db.types import Connection, QueryRunner
from shared.errors import VedetteError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AuditTrail:
    """Where entries go, and what is recorded."""

    database: QueryRunner
    plate_access: PlateAccess
    records_views: bool = True
    """Whether views of pictures, searches of plates and exports are recorded. Everything else always is."""

    async def record(self, audit: RequestAudit, outcome: Outcome) -> None:
        """Add the entry of a request.

        Raises:
            VedetteError, Problem: it cannot be stored.
        """
        plate = audit.plate
        is_view = outcome == "success" and not audit.changes_data
        if is_view and not self.records_views:
            return

        def write(connection: Connection) -> None:
            details: dict[str, Any] = {} if plate is None else self.plate_access.search_record(connection, plate)
            entry = audit.entry(outcome, details=details)
            if is_view:
                add_entry_without_waiting(connection, entry)
            else:
                add_entry(connection, entry)

        with audit.paused():
            await self.database.run(write)


class AuditMiddleware:
    """Wraps the application inside ``HttpSemanticsMiddleware``, so that both see the same scope as the routes."""

    def __init__(self, app: ASGIApp, *, trail: AuditTrail) -> None:
        self._app = app
        self._trail = trail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        audit = RequestAudit(scope)
        with audit.as_current():
            await self._app(scope, receive, _RecordingSender(self._trail, audit, scope, receive, send))


class _RecordingSender:
    """Adds the entry when the response begins. A view that cannot be recorded becomes a 503."""

    def __init__(self, trail: AuditTrail, audit: RequestAudit, scope: Scope, receive: Receive, send: Send) -> None:
        self._trail = trail
        self._audit = audit
        self._scope = scope
        self._receive = receive
        self._send = send
        self._is_replaced = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not await self._record(message["status"]):
            self._is_replaced = True
            detail = "The request cannot be recorded in the audit log. Retry after the time in Retry-After."
            problem = Problem(503, "unavailable", detail, headers={"Retry-After": "5"})
            await problem_response(Request(self._scope), problem)(self._scope, self._receive, self._send)
        if not self._is_replaced:
            await self._send(message)

    async def _record(self, status: int) -> bool:
        """Return whether the response may be sent."""
        outcome = self._audit.outcome_to_add(status)
        if outcome is None:
            return True
        try:
            await self._trail.record(self._audit, outcome)
        except (VedetteError, Problem) as error:
            logger.warning("an audit entry cannot be stored: %s", error)
            return outcome != "success" or self._audit.changes_data
        return True
