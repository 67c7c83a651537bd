"""What one request adds to the audit log.

A request that changes data adds its entry in the transaction of the change: ``change_hook`` says what to call before
each commit.
The middleware adds the other entries: of requests that failed, that were denied, and that viewed what is ``VIEWED``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.types import Scope

from cloud_functions.api.http.request_ids import request_id_of
from cloud_functions.api.security.permissions import Principal, RequestCaller, caller_of
from cloud_functions.db.audit.log import AuditEntry, Outcome, add_entry_if_changed
from cloud_functions.db.types import Connection
from cloud_functions.db.users.accounts import User

VIEWED: Final = frozenset(
    {
        "event_snapshot",
        "event_thumbnail",
        "event_snapshot_url",
        "export_events",
        "export_cameras",
        "plate_history",
        "plate_events",
        "plate_rows",
        "snapshot_image",
        "snapshot_thumbnail",
    }
)
"""Operations that return pictures, the reads of a plate, or an export. Each use is recorded."""
PLATE_PARAMETERS: Final = frozenset({"plate", "license_plate", "text"})
"""Names of parameters that hold a plate. A list that is searched by one is recorded too."""
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_LEFT_OUT: Final = frozenset({"cursor"})
_MAX_TEXT: Final = 200

_current: ContextVar[RequestAudit | None] = ContextVar("request_audit", default=None)


class RequestAudit:
    """Collects what is known about one request."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.caller: RequestCaller = caller_of(Request(scope))
        self.details: dict[str, Any] = {}
        """What a route adds to the entry, for example the role that a user gets. Never a secret."""
        self._identified: Principal | None = None
        self._is_paused = False
        self._is_recorded = False

    @contextmanager
    def as_current(self) -> Generator[None]:
        """Make this the audit of the request that the block handles."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    @contextmanager
    def paused(self) -> Generator[None]:
        """Write no entry for the transactions of the block, which count something or look something up."""
        self._is_paused = True
        try:
            yield
        finally:
            self._is_paused = False

    def identify(self, user: User | None) -> None:
        """Record who logs in, or tries to. None stands for a name that no user has: it may be a mistyped password."""
        if user is None:
            self._identified = Principal(name="unknown user")
        else:
            self._identified = Principal(name=user.username, kind="user", user_id=user.id)

    @property
    def principal(self) -> Principal | None:
        """The caller, if it is known."""
        return self.caller.principal or self._identified

    @property
    def changes_data(self) -> bool:
        """Whether the method of the request is one that changes data."""
        return self._scope["method"] not in _READING

    @property
    def plate(self) -> str | None:
        """The plate that the request names in its path or query."""
        given = {**dict(self._query()), **self._path_parameters()}
        return next((given[name] for name in sorted(PLATE_PARAMETERS) if given.get(name)), None)

    def before_commit(self, connection: Connection) -> None:
        """Add the entry of a request that changes data, if this transaction has changed something; once a request."""
        if self._is_paused or self._is_recorded or not self.changes_data or self.principal is None:
            return
        self._is_recorded = add_entry_if_changed(connection, self.entry("success"))

    def outcome_to_add(self, status: int) -> Outcome | None:
        """Return the outcome of the entry that the response requires, or None if it requires no (further) entry."""
        if self.principal is None or status == 429:
            return None
        if status in (401, 403):
            return "denied"
        if self.changes_data:
            if status >= 400:
                return "failure"
            return None if self._is_recorded else "success"
        if self.plate is not None and status == 404:
            return "success"  # a search that found nothing
        is_view = self._operation in VIEWED or self.plate is not None
        return "success" if is_view and status < 400 else None

    def entry(self, outcome: Outcome, *, details: Mapping[str, Any] | None = None) -> AuditEntry:
        """Return the entry. ``details`` are added to those that the route has given."""
        principal = self.principal or Principal(name="anonymous")
        client = self._scope.get("client")
        path = {name: value for name, value in self._path_parameters().items() if name not in PLATE_PARAMETERS}
        query = {} if self.changes_data else {"query": query} if (query := self._shown_query()) else {}
        return AuditEntry(
            actor_kind=principal.kind,
            actor_id=principal.user_id,
            actor_name=principal.name,
            action=self._operation,
            target=", ".join(f"{name}={value}"[:_MAX_TEXT] for name, value in path.items()) or None,
            outcome=outcome,
            reason=None if outcome == "success" else self._scope.get("vedette.problem"),
            address=client[0] if client else None,
            request_id=request_id_of(self._scope),
            details={**query, **self.details, **(details or {})},
        )

    @property
    def _operation(self) -> str:
        return str(getattr(self._scope.get("route"), "name", "unknown"))

    def _path_parameters(self) -> dict[str, str]:
        return {name: str(value) for name, value in self._scope.get("path_params", {}).items()}

    def _query(self) -> list[tuple[str, str]]:
        return parse_qsl(self._scope.get("query_string", b"").decode("latin-1"))

    def _shown_query(self) -> dict[str, str]:
        return {name: value[:_MAX_TEXT] for name, value in self._query() if name not in PLATE_PARAMETERS | _LEFT_OUT}


def current_audit() -> RequestAudit | None:
    """Return the audit of the request that this task handles; None without one. Not for use on the thread pool."""
    return _current.get()


def record_details(**details: Any) -> None:
    """Add details to the audit entry of the request that this task handles. They must not be secret."""
    audit = _current.get()
    if audit is not None:
        audit.details |= details


def change_hook() -> Callable[[Connection], None] | None:
    """Return what is to be called before a transaction of this request commits, or None."""
    audit = _current.get()
    return None if audit is None else audit.before_commit
