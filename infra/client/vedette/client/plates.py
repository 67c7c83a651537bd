"""Number plates and watch-lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypedDict, Unpack
from urllib.parse import quote

from vedette.client.events import Time
from vedette.client.paging import by_cursor, by_offset
from vedette.client.session import Session
from vedette.client.types import (
    AddPatternsResponse,
    FoundPlateResponse,
    PatternRequest,
    PatternResponse,
    PlateHistoryResponse,
    PlateStatisticsResponse,
    WatchlistRequest,
    WatchlistResponse,
)

PATH: Final = "/api/plates"
WATCHLISTS: Final = f"{PATH}/watchlists"


class PlateConditions(TypedDict, total=False):
    """Conditions that plate reads meet, all of them."""

    plate: str
    match: str
    """How ``plate`` is compared: ``exact``, ``prefix`` or ``fuzzy``."""
    max_distance: int
    region: str
    camera_id: str
    site_id: str
    start_time: Time
    end_time: Time


class Plates:
    """``client.plates``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def search(self, *, page_size: int = 100, **conditions: Unpack[PlateConditions]) -> Iterator[FoundPlateResponse]:
        """Yield plate reads: newest first, or the most similar first for a fuzzy search."""
        return by_cursor(self._session, PATH, "plates", {**conditions, "limit": page_size})

    def history(self, plate: str) -> PlateHistoryResponse:
        """Return when and where one plate was read."""
        return self._session.json("GET", f"{PATH}/{quote(plate, safe='')}")

    def statistics(self) -> PlateStatisticsResponse:
        """Return exact totals and averages of all reads."""
        return self._session.json("GET", f"{PATH}/stats")


class Watchlists:
    """``client.watchlists``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self) -> Iterator[WatchlistResponse]:
        """Yield watch-lists by name."""
        return by_offset(self._session, WATCHLISTS, "watchlists", limit=1000)

    def create(self, name: str, *, description: str | None = None, enabled: bool = True) -> WatchlistResponse:
        """Create a watch-list. Raises ConflictError if the name is in use."""
        body = {"name": name, "description": description, "enabled": enabled}
        return self._session.json("POST", WATCHLISTS, body=body)

    def get(self, watchlist_id: int) -> WatchlistResponse:
        """Return one watch-list."""
        return self._session.json("GET", f"{WATCHLISTS}/{watchlist_id}")

    def replace(self, watchlist_id: int, content: WatchlistRequest) -> WatchlistResponse:
        """Replace name, description and state; the patterns stay."""
        return self._session.json("PUT", f"{WATCHLISTS}/{watchlist_id}", body=content)

    def delete(self, watchlist_id: int) -> None:
        """Delete a watch-list with its patterns."""
        self._session.json("DELETE", f"{WATCHLISTS}/{watchlist_id}")

    def add_patterns(self, watchlist_id: int, patterns: Sequence[PatternRequest]) -> AddPatternsResponse:
        """Add up to 10,000 patterns: all of them, or none if one is invalid."""
        return self._session.json("POST", f"{WATCHLISTS}/{watchlist_id}/patterns", body={"patterns": list(patterns)})

    def patterns(self, watchlist_id: int) -> Iterator[PatternResponse]:
        """Yield the patterns in the order in which they were added."""
        return by_offset(self._session, f"{WATCHLISTS}/{watchlist_id}/patterns", "patterns", limit=1000)

    def get_pattern(self, watchlist_id: int, pattern_id: int) -> PatternResponse:
        """Return one pattern."""
        return self._session.json("GET", f"{WATCHLISTS}/{watchlist_id}/patterns/{pattern_id}")

    def delete_pattern(self, watchlist_id: int, pattern_id: int) -> None:
        """Delete one pattern."""
        self._session.json("DELETE", f"{WATCHLISTS}/{watchlist_id}/patterns/{pattern_id}")
