"""Watch-lists in ingest: patterns kept in memory, compared with every plate, and what subscribers are told of a match.

Whether anything changed is asked of the database in the transaction that stores the plates (one row); only patterns
that are new are then loaded. So a pattern counts from the very next batch after its change was committed.
"""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID, uuid5

import psycopg

from cloud_functions.db.watchlists import (
    active_pattern_numbers,
    load_patterns,
    watchlist_names,
    watchlist_version,
)
from cloud_functions.plates.patterns import Match, PatternIndex
from shared.clock import Clock, format_utc
from shared.plates import normalize_plate

log = logging.getLogger(__name__)

PLATE_MATCH: Final = "plate_match"
MAX_DOCUMENT_MATCHES: Final = 50
"""Matches in one document: SNS carries 256 KB, and a list of thousands of globs may all fit one plate."""
_MANY: Final = 1000
_NAMESPACE: Final = UUID("5b0f1d1c-5a0b-5d9e-9a57-4f8e5f6f2c11")


class WatchlistMatcher:
    """All patterns of all lists that are on. Not for use by two threads at a time."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._index = PatternIndex()
        self._names: dict[int, str] = {}
        self._version = 0

    def __len__(self) -> int:
        return len(self._index)

    def refresh(self, connection: psycopg.Connection[Any]) -> None:
        """Take over what was changed since the last time, if anything was."""
        version = watchlist_version(connection)
        if version == self._version:
            return
        names = watchlist_names(connection)
        active = active_pattern_numbers(connection)
        known = self._index.numbers()
        for number in known - active:
            self._index.discard(number)
        for pattern in load_patterns(connection, active - known) if active - known else ():
            try:
                self._index.add(pattern)
            except ValueError as error:
                log.warning("watch-list pattern %d is not used: it %s", pattern.pattern_id, error)
        self._names, self._version = names, version
        if len(active - known) >= _MANY:
            gc.freeze()  # as when ingest is wired: looking through them again with every batch costs more than matching

    def matches(self, plates: Mapping[str, str], tokens: Mapping[str, str]) -> dict[str, list[Match]]:
        """Return the matches of ``plates`` (by any key, in normal form), for those that have any.

        ``tokens`` (by the same keys) of those that are protected: exact patterns may be kept as such.
        """
        if not len(self._index):
            return {}
        now = self._clock.now()
        found = {key: self._index.matches(plate, now=now) for key, plate in plates.items()}
        for key, token in tokens.items():
            found[key] = [*found[key], *self._index.exact(token, now=now)]
        return {key: matches for key, matches in found.items() if matches}

    def describe(self, matches: Iterable[Match], private_plate: str | None) -> list[dict[str, Any]]:
        """Return matches as subscribers see them: of a protected plate, without what would tell it."""
        told = [self._describe(match) for match in matches]
        if private_plate is not None:
            for one in told:
                _conceal(one, private_plate)
        return told

    def _describe(self, match: Match) -> dict[str, Any]:
        pattern = match.pattern
        return {
            "watchlist_id": pattern.watchlist_id,
            "watchlist": self._names.get(pattern.watchlist_id),
            "pattern_id": pattern.pattern_id,
            "kind": pattern.kind,
            "pattern": pattern.text,
            "max_distance": pattern.max_distance,
            "distance": match.distance,
            "reason": pattern.reason,
            "expires_at": None if pattern.expires_at is None else format_utc(pattern.expires_at),
        }


def _conceal(told: dict[str, Any], plate: str) -> None:
    told["pattern"] = None
    for name in ("reason", "watchlist"):
        if told[name] is not None and plate in normalize_plate(told[name]):
            told[name] = None


def match_id(event_id: str) -> str:
    """Return the ``event_id`` of an event's match: the same each time, so that subscribers can tell repeats."""
    return str(uuid5(_NAMESPACE, event_id))


def match_document(document: str, matches: list[dict[str, Any]]) -> str:
    """Return the document of a match: the flat ``anpr`` event under a type and an ``event_id`` of its own."""
    told = json.loads(document)
    source = told["event_id"]
    told |= {"event_id": match_id(source), "event_type": PLATE_MATCH, "source_event_id": source}
    told["event_data"] |= {"watchlist_matches": matches[:MAX_DOCUMENT_MATCHES], "watchlist_match_count": len(matches)}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))
