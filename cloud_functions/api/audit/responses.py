"""Response models of the audit log."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from cloud_functions.api.http.envelope import PageMeta
from cloud_functions.db.audit.log import StoredEntry
from shared.clock import format_utc


class AuditEntryResponse(BaseModel):
    """One entry of the audit log."""

    chain: int = Field(description="The chain of hashes that the entry is in.")
    sequence: int = Field(description="Number of the entry in its chain, counted from 1.")
    at: str
    actor_kind: Literal["user", "api_key", "anonymous", "command"]
    actor_id: str | None = Field(description="Id of the user; null for others.")
    actor_name: str
    action: str = Field(description="The operation, as the OpenAPI document names it (`operationId`), or the command.")
    target: str | None = Field(description="What it was done to: path parameters as `name=value`.")
    outcome: Literal["success", "denied", "failure"]
    reason: str | None = Field(description="Problem type of the response; null if the outcome is `success`.")
    address: str | None = Field(description="Network address of the caller.")
    request_id: str | None
    details: dict[str, Any] = Field(
        description="For a view, the conditions in `query`, and the searched plate: `plate`, or `plate_tokens` where a"
        " site protects its plates. For a change of a user or key, what was set."
    )


class AuditListEnvelope(BaseModel):
    """One page of the audit log in the envelope."""

    success: Literal[True]
    data: list[AuditEntryResponse]
    meta: PageMeta


def entry_content(entry: StoredEntry) -> dict[str, Any]:
    """Return an entry in the form of ``AuditEntryResponse``."""
    return {name: getattr(entry, name) for name in AuditEntryResponse.model_fields} | {
        "at": format_utc(entry.at),
        "actor_id": None if entry.actor_id is None else str(entry.actor_id),
    }
