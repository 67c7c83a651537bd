"""Response models of the watch-lists API, for the OpenAPI document, and the JSON of each."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from cloud_functions.api.http.responses import DATE_TIME
from cloud_functions.db.watchlists import Watchlist
from cloud_functions.plates.patterns import WatchPattern
from shared.clock import format_utc

MAX_PATTERNS_BYTES: Final = 1024 * 1024
"""Maximum size of ``patterns`` in the response to added patterns. If they are larger, only their ids are returned."""


class WatchlistResponse(BaseModel):
    """A watch-list."""

    watchlist_id: int
    name: str
    description: str | None
    enabled: bool
    patterns: int = Field(description="Number of patterns, including expired ones.")
    created_at: str = Field(json_schema_extra=DATE_TIME)
    updated_at: str = Field(json_schema_extra=DATE_TIME)


class WatchlistListResponse(BaseModel):
    """One page of the watch-lists, sorted by name."""

    watchlists: list[WatchlistResponse]
    count: int = Field(description="Number of watch-lists on this page.")
    total: int = Field(description="Number of all watch-lists.")


class PatternResponse(BaseModel):
    """A pattern of a watch-list, in its stored form."""

    pattern_id: int
    watchlist_id: int
    kind: Literal["exact", "glob", "regex", "fuzzy"]
    pattern: str
    max_distance: int | None
    reason: str | None
    expires_at: str | None = Field(json_schema_extra=DATE_TIME)


class PatternListResponse(BaseModel):
    """One page of the patterns of a watch-list, in the order in which they were added."""

    patterns: list[PatternResponse]
    total: int
    limit: int
    offset: int


class AddPatternsResponse(BaseModel):
    """The given patterns as stored, in the order of the request. Repeating the request adds nothing."""

    pattern_ids: list[int]
    count: int = Field(description="Number of patterns in the request.")
    added: int = Field(description="Number of new patterns. The watch-list already had the others.")
    patterns: list[PatternResponse] | None = Field(description="The patterns. Null if they would take more than 1 MiB.")


class DeletedResponse(BaseModel):
    """Result of a deletion."""

    message: str


def watchlist_content(watchlist: Watchlist) -> dict[str, Any]:
    """Return a watch-list in the form of ``WatchlistResponse``."""
    return {
        "watchlist_id": watchlist.watchlist_id,
        "name": watchlist.name,
        "description": watchlist.description,
        "enabled": watchlist.enabled,
        "patterns": watchlist.patterns,
        "created_at": format_utc(watchlist.created_at),
        "updated_at": format_utc(watchlist.updated_at),
    }


def pattern_content(pattern: WatchPattern) -> dict[str, Any]:
    """Return a pattern in the form of ``PatternResponse``."""
    return {
        "pattern_id": pattern.pattern_id,
        "watchlist_id": pattern.watchlist_id,
        "kind": pattern.kind,
        "pattern": pattern.text,
        "max_distance": pattern.max_distance,
        "reason": pattern.reason,
        "expires_at": None if pattern.expires_at is None else format_utc(pattern.expires_at),
    }
