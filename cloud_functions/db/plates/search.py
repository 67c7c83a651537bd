"""Fuzzy search: plates like a plate, the nearest first.

A trigram index over every distinct plate, its confusable characters folded, gives candidates (similarity of at least
0.3: one edit loses under 1 % of them); they are put in order by ``cloud_functions.plates.distance``; and the reads of
those are listed, the newest of the nearest first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Final

from psycopg import sql

from cloud_functions.db.events.filter import all_of
from cloud_functions.db.plates.queries import COLUMNS, PlateFilter, plate_conditions
from cloud_functions.db.plates.record import PlateEvent
from cloud_functions.db.types import Connection, Position
from cloud_functions.plates.distance import CONFUSABLE, edit_distance, fold, plate_distance

THRESHOLD: Final = 0.3
MOST_CANDIDATES: Final = 400
"""As many as the index gives, the most similar first, are put in order."""
MAX_PLATES: Final = 100
"""As many plates as a search shows the reads of."""

# The index's threshold is a setting, made in the same statement; the subquery leans on it, so that it is made first.
_CANDIDATES: Final = """
SELECT near.* FROM (SELECT set_config('pg_trgm.similarity_threshold', %(threshold)s, true) AS made) AS setting
CROSS JOIN LATERAL (
    SELECT plate_normalized_text, events, similarity(plate_normalized_text, %(plate)s) FROM plates
    WHERE folded %% %(asked)s AND setting.made <> '' AND plate_normalized_text < '~' AND events > 0
          AND length(folded) BETWEEN %(shortest)s AND %(longest)s AND similarity(folded, %(folded)s) >= %(least)s
    ORDER BY similarity(folded, %(folded)s) DESC, plate_normalized_text LIMIT %(limit)s
) AS near
"""
# Plates with letters outside ASCII, by an index of their own (see migration 0008); usually it is empty.
_OTHER_LETTERS: Final = """
SELECT near.* FROM (SELECT set_config('pg_trgm.similarity_threshold', %(least)s::text, true) AS made) AS setting
CROSS JOIN LATERAL (
    SELECT plate_normalized_text, events FROM plates
    WHERE plate_in_ascii(folded) %% plate_in_ascii(%(folded)s) AND setting.made <> ''
          AND plate_normalized_text ~ '[^ -~]' AND events > 0 AND length(folded) BETWEEN %(shortest)s AND %(longest)s
    ORDER BY similarity(plate_in_ascii(folded), plate_in_ascii(%(folded)s)) DESC, plate_normalized_text LIMIT %(limit)s
) AS near
"""
_MARK: Final = CONFUSABLE[0][1:]
"""Characters that no folded plate has."""
_LONG_ENOUGH: Final = 7
_VARIED_ENOUGH: Final = 5
_FEW_EDITS: Final = 2
_BEGINNING: Final = 2
"""Trigrams that two plates share by their first two characters alone."""
_FEWEST_TRIGRAMS: Final = 6
"""Different ones, of any plate that near to one so long and varied; they repeat in plates like CC88882."""
_A_LITTLE_LESS: Final = 0.999  # PostgreSQL compares in single precision


@dataclass(frozen=True, slots=True)
class NearPlate:
    """A plate that is like the one searched for."""

    plate: str
    events: int
    similarity: float
    """Of trigrams, 0 to 1."""
    edit_distance: int
    distance: float
    """With confusable characters counted as near."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A read, and how near its plate is."""

    read: PlateEvent
    near: NearPlate


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A slice of the reads found, nearest plate first, how many there are, and whether more follow."""

    found: list[SearchResult]
    total: int
    has_more: bool


def near_plates(connection: Connection, plate: str, *, max_distance: int) -> list[NearPlate]:
    """Return the stored plates at most ``max_distance`` away from ``plate`` (in normal form), the nearest first."""
    folded = fold(plate)
    apart = query_without_prefix_trigrams(folded, max_distance)
    asked, threshold = (folded, THRESHOLD) if apart is None else apart
    parameters = {
        "plate": plate,
        "folded": folded,
        "asked": asked,
        "threshold": str(threshold),
        "least": THRESHOLD,
        "shortest": len(plate) - max_distance,
        "longest": len(plate) + max_distance,
        "limit": MOST_CANDIDATES,
    }
    rows = connection.execute(_CANDIDATES, parameters).fetchall()
    candidates = {text: (text, text, events, similarity) for text, events, similarity in rows}
    for text, events in connection.execute(_OTHER_LETTERS, parameters):
        candidates[text] = (text, text, events, trigram_similarity(plate, text))
    return nearest(_measured(plate, candidates.values(), max_distance))


def query_without_prefix_trigrams(folded: str, max_distance: int) -> tuple[str, float] | None:
    """Return a text and a threshold to ask the index with that leave a plate's first two trigrams out; None if none do.

    Thousands of a town's plates share their beginning, and the index reads the long lists of them all. Where plates
    must share four trigrams they share two of the others. So the index is asked for those: the beginning is hidden
    behind characters that no plate has, and the threshold is what the least alike plate of each length still reaches.
    It must lie above one trigram in common, which the index weighs against those of the text alone.

    Four must be shared, unless the plate is short, has few different characters (its trigrams repeat, and what
    repeats counts once), or may be many edits away. ``tests`` try every kind of plate.
    """
    if len(folded) < _LONG_ENOUGH or len(set(folded)) < _VARIED_ENOUGH or max_distance > _FEW_EDITS:
        return None
    asked = _MARK + folded
    own, visible = len(_trigrams(asked)), len(_trigrams(folded))
    reached: list[float] = []
    for other in range(_FEWEST_TRIGRAMS, len(folded) + max_distance + 2):
        shared = ceil(THRESHOLD * (visible + other) / (1 + THRESHOLD)) - _BEGINNING
        reached.append(shared / (own + other - shared))
    threshold = min(reached) * _A_LITTLE_LESS
    return (asked, threshold) if threshold > 1 / own else None


def near_protected_plates(plate: str, opened: Iterable[tuple[str, str, int]], *, max_distance: int) -> list[NearPlate]:
    """Return the protected plates (token, plate, number of reads) at most so far away, in no order; by their tokens."""
    folded = _trigrams(fold(plate))
    candidates = (
        (token, text, events, trigram_similarity(plate, text))
        for token, text, events in opened
        if abs(len(text) - len(plate)) <= max_distance and _similarity(folded, _trigrams(fold(text))) >= THRESHOLD
    )
    return _measured(plate, candidates, max_distance)


def _measured(plate: str, candidates: Iterable[tuple[str, str, int, float]], max_distance: int) -> list[NearPlate]:
    """Return those that are near, of what they are stored as, their text, number of reads and similarity."""
    near: list[NearPlate] = []
    for stored, text, events, similarity in candidates:
        distance = plate_distance(plate, text, most=max_distance)
        if distance <= max_distance:
            near.append(NearPlate(stored, events, round(similarity, 3), edit_distance(plate, text), distance))
    return near


def nearest(near: list[NearPlate]) -> list[NearPlate]:
    """Return as many as a search shows, the nearest first."""
    return sorted(near, key=lambda one: (one.distance, -one.similarity, one.plate))[:MAX_PLATES]


def trigram_similarity(one: str, other: str) -> float:
    """Return what pg_trgm's ``similarity`` does for two plates."""
    return _similarity(_trigrams(one), _trigrams(other))


def _trigrams(plate: str) -> set[str]:
    text = f"  {plate} "
    return {text[at : at + 3] for at in range(len(plate) + 1)}


def _similarity(one: set[str], other: set[str]) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)


def search_page(
    connection: Connection,
    near: list[NearPlate],
    plate_filter: PlateFilter,
    *,
    limit: int,
    offset: int = 0,
    after: Position | None = None,
) -> SearchPage:
    """Return ``limit`` reads of ``near``, in that order, that meet ``plate_filter`` too.

    ``after`` is the place of a read in this order; where that read is gone, LookupError.
    """
    total, counts = _totals(connection, near, plate_filter)
    begin = 0 if after is None else _place(connection, near, after)
    needed = offset + limit + 1
    plates = _reaching(near[begin:], counts, needed)
    if not plates:
        return SearchPage([], total, has_more=False)
    conditions, parameters = plate_conditions(plate_filter)
    conditions.append(sql.SQL("plate_normalized_text = near.plate"))
    if after is not None:
        conditions.append(sql.SQL("(near.place > 1 OR (captured_at, id) < (%(after_time)s, %(after_id)s))"))
        parameters |= {"after_time": after.timestamp, "after_id": after.id}
    query = sql.SQL(
        """
        SELECT near.place, read.* FROM unnest(%(plates)s::text[]) WITH ORDINALITY AS near (plate, place)
        CROSS JOIN LATERAL (
            SELECT {} FROM plate_events WHERE {} ORDER BY captured_at DESC, id DESC LIMIT %(needed)s
        ) AS read ORDER BY near.place, read.captured_at DESC, read.id DESC OFFSET %(offset)s LIMIT %(limit)s
        """
    ).format(COLUMNS, all_of(conditions))
    parameters |= {"plates": [one.plate for one in plates], "needed": needed, "offset": offset, "limit": limit + 1}
    rows = connection.execute(query, parameters).fetchall()
    found = [SearchResult(PlateEvent.from_row(row[1:]), plates[row[0] - 1]) for row in rows[:limit]]
    return SearchPage(found, total, has_more=len(rows) > limit)


def _totals(connection: Connection, near: list[NearPlate], plate_filter: PlateFilter) -> tuple[int, dict[str, int]]:
    """Return how many reads match, in all and by plate."""
    if not near:
        return 0, {}
    if plate_filter == PlateFilter():
        counts = {one.plate: one.events for one in near}
        return sum(counts.values()), counts
    conditions, parameters = plate_conditions(plate_filter)
    conditions.append(sql.SQL("plate_normalized_text = ANY(%(plates)s)"))
    query = sql.SQL("SELECT plate_normalized_text, count(*) FROM plate_events WHERE {} GROUP BY 1")
    parameters["plates"] = [one.plate for one in near]
    counts = dict(connection.execute(query.format(all_of(conditions)), parameters).fetchall())
    return sum(counts.values()), counts


def _place(connection: Connection, near: list[NearPlate], after: Position) -> int:
    """Return which of ``near`` the read at ``after`` is of."""
    row = connection.execute(
        "SELECT plate_normalized_text FROM plate_events WHERE captured_at = %(at)s AND id = %(id)s",
        {"at": after.timestamp, "id": after.id},
    ).fetchone()
    places = {one.plate: place for place, one in enumerate(near)}
    if row is None or row[0] not in places:
        raise LookupError("the read at which the page before ended is gone")
    return places[row[0]]


def _reaching(near: list[NearPlate], counts: dict[str, int], needed: int) -> list[NearPlate]:
    """Return the first of ``near``, which have matching reads, up to where there are enough of those.

    The first is kept whatever it has: part of its reads may lie on earlier pages.
    """
    chosen: list[NearPlate] = []
    reach = 0
    for place, one in enumerate(near):
        if reach >= needed:
            break
        if place == 0 or counts.get(one.plate, 0):
            chosen.append(one)
            reach += counts.get(one.plate, 0) if place else 0
    return chosen
