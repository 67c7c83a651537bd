"""Matches plates against watch-lists, and makes the documents of the matches.

All patterns are kept in memory. The transaction that stores the plates reads the version of the watch-lists, which is
one row, and loads new patterns if it changed. A change of a watch-list therefore applies from the next batch on.
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
"""Maximum matches in one document: thousands of patterns may match one plate, and SNS accepts 256 KB."""
_FREEZE_FROM: Final = 1000
"""Number of new patterns above which they are excluded from garbage collection."""
_NAMESPACE: Final = UUID("5b0f1d1c-5a0b-5d9e-9a57-4f8e5f6f2c11")


class WatchlistMatcher:
    """The patterns of all enabled watch-lists. Not thread-safe."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._index = PatternIndex()
        self._names: dict[int, str] = {}
        self._version = 0

    def __len__(self) -> int:
        return len(self._index)

    def refresh(self, connection: psycopg.Connection[Any]) -> None:
        """Load the patterns that changed since the previous call."""
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
                log.warning("ignoring watch-list pattern %d: it %s", pattern.pattern_id, error)
        self._names, self._version = names, version
        if len(active - known) >= _FREEZE_FROM:
            gc.freeze()  # scanning the patterns for garbage with every batch would cost more than matching

    def matches(self, plates: Mapping[str, str], tokens: Mapping[str, str]) -> dict[str, list[Match]]:
        """Return the matches of each plate that has any, by key.

        ``plates``: plates in normal form by key. ``tokens``: the tokens of protected plates by the same keys, because
        exact patterns of a protected site are stored as tokens.
        """
        if not len(self._index):
            return {}
        now = self._clock.now()
        matches = {key: self._index.matches(plate, now=now) for key, plate in plates.items()}
        for key, token in tokens.items():
            matches[key] = [*matches[key], *self._index.exact(token, now=now)]
        return {key: found for key, found in matches.items() if found}

    def describe(self, matches: Iterable[Match], private_plate: str | None) -> list[dict[str, Any]]:
        """Return matches as subscribers receive them; of a protected plate, without text that would reveal it."""
        descriptions = [self._describe(match) for match in matches]
        if private_plate is not None:
            for description in descriptions:
                _conceal(description, private_plate)
        return descriptions

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


def _conceal(description: dict[str, Any], plate: str) -> None:
    description["pattern"] = None
    for name in ("reason", "watchlist"):
        if description[name] is not None and plate in normalize_plate(description[name]):
            description[name] = None


def match_id(event_id: str) -> str:
    """Return the ``event_id`` of an event's match. It is the same each time, so subscribers can deduplicate."""
    return str(uuid5(_NAMESPACE, event_id))


def match_document(document: str, matches: list[dict[str, Any]]) -> str:
    """Return the document of a match: the flat ``anpr`` event with its own type and ``event_id``."""
    flat = json.loads(document)
    source = flat["event_id"]
    flat |= {"event_id": match_id(source), "event_type": PLATE_MATCH, "source_event_id": source}
    flat["event_data"] |= {"watchlist_matches": matches[:MAX_DOCUMENT_MATCHES], "watchlist_match_count": len(matches)}
    return json.dumps(flat, ensure_ascii=False, separators=(",", ":"))
