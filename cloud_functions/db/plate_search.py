"""Fuzzy search: plates like a plate, the nearest first.

A trigram index over every distinct plate, its confusable characters folded, gives candidates (similarity of at least
0.3: one edit loses under 1 % of them); they are put in order by ``cloud_functions.plates.distance``; and the reads of
those are listed, the newest of the nearest first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Connection, sql

from cloud_functions.db.event_filter import all_of
from cloud_functions.db.plate_event import PlateEvent
from cloud_functions.db.plate_queries import COLUMNS, PlateFilter, Position, plate_conditions
from cloud_functions.plates.distance import edit_distance, fold, plate_distance

Row = tuple[Any, ...]

THRESHOLD: Final = 0.3
MOST_CANDIDATES: Final = 400
"""As many as the index gives, the most similar first, are put in order."""
MOST_PLATES: Final = 100
"""As many plates as a search shows the reads of."""

_THRESHOLD_HERE: Final = "SELECT set_config('pg_trgm.similarity_threshold', %(threshold)s, true)"
_CANDIDATES: Final = sql.SQL(
    """
SELECT plate_normalized_text, events, similarity(plate_normalized_text, %(plate)s) FROM plates
WHERE {} AND plate_normalized_text < '~' AND events > 0
      AND length(folded) BETWEEN %(shortest)s AND %(longest)s
ORDER BY similarity(folded, %(folded)s) DESC, plate_normalized_text LIMIT %(limit)s
"""
)
_ALIKE: Final = _CANDIDATES.format(sql.SQL("folded %% %(folded)s"))
# The index alone cannot count well enough: for a plate of seven it gives all that share three trigrams of eight, and
# the beginning of three characters that thousands of a town's plates share is that much. Four in common are needed, so
# some lie outside the beginning: inside the plate, or just at its end, and then the whole beginning is there too.
_ALIKE_BEYOND_THE_BEGINNING: Final = _CANDIDATES.format(
    sql.SQL(
        "((folded %% %(folded)s AND folded ~ %(inside)s) OR (folded %% %(folded)s AND folded LIKE %(begins)s"
        " AND folded LIKE %(beginning)s AND folded LIKE %(ends)s))"
    )
)
_LONG_ENOUGH: Final = 7
_VARIED_ENOUGH: Final = 5
_FEW_EDITS: Final = 2


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
class FoundRead:
    """A read, and how near its plate is."""

    read: PlateEvent
    near: NearPlate


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A slice of the reads found, nearest plate first, how many there are, and whether more follow."""

    found: list[FoundRead]
    total: int
    has_more: bool


def near_plates(connection: Connection[Row], plate: str, *, max_distance: int) -> list[NearPlate]:
    """Return the stored plates at most ``max_distance`` away from ``plate`` (in normal form), the nearest first."""
    connection.execute(_THRESHOLD_HERE, {"threshold": str(THRESHOLD)})
    folded = fold(plate)
    asked = {
        "plate": plate,
        "folded": folded,
        "shortest": len(plate) - max_distance,
        "longest": len(plate) + max_distance,
        "limit": MOST_CANDIDATES,
    }
    candidates = _ALIKE
    if searches_beyond_the_beginning(folded, max_distance):
        candidates = _ALIKE_BEYOND_THE_BEGINNING
        asked |= {
            "inside": "|".join(folded[at : at + 3] for at in range(1, len(folded) - 2)),
            "begins": f"{folded[:2]}%",
            "beginning": f"%{folded[:3]}%",
            "ends": f"%{folded[-2:]}",
        }
    near: list[NearPlate] = []
    for text, events, similarity in connection.execute(candidates, asked):
        distance = plate_distance(plate, text, most=max_distance)
        if distance <= max_distance:
            near.append(NearPlate(text, events, round(similarity, 3), edit_distance(plate, text), distance))
    return nearest(near)


def searches_beyond_the_beginning(folded: str, max_distance: int) -> bool:
    """Say whether the narrower question to the index finds the same plates.

    It does where at least four trigrams must be shared: not for short plates, nor for ones of few different characters
    (their trigrams repeat, and what repeats counts once), nor many edits away. ``tests`` try it on every kind of plate.
    """
    return len(folded) >= _LONG_ENOUGH and len(set(folded)) >= _VARIED_ENOUGH and max_distance <= _FEW_EDITS


def near_protected(plate: str, opened: Iterable[tuple[str, str, int]], *, max_distance: int) -> list[NearPlate]:
    """Return the protected plates (token, plate, number of reads) at most so far away, in no order; by their tokens."""
    near: list[NearPlate] = []
    folded = _trigrams(fold(plate))
    for token, text, events in opened:
        if abs(len(text) - len(plate)) > max_distance or _similarity(folded, _trigrams(fold(text))) < THRESHOLD:
            continue
        distance = plate_distance(plate, text, most=max_distance)
        if distance <= max_distance:
            similarity = round(trigram_similarity(plate, text), 3)
            near.append(NearPlate(token, events, similarity, edit_distance(plate, text), distance))
    return near


def nearest(near: list[NearPlate]) -> list[NearPlate]:
    """Return as many as a search shows, the nearest first."""
    return sorted(near, key=lambda one: (one.distance, -one.similarity, one.plate))[:MOST_PLATES]


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
    connection: Connection[Row],
    near: list[NearPlate],
    wanted: PlateFilter,
    *,
    limit: int,
    offset: int = 0,
    after: Position | None = None,
) -> SearchPage:
    """Return ``limit`` reads of ``near``, in that order, that meet ``wanted`` too.

    ``after`` is the place of a read in this order; where that read is gone, LookupError.
    """
    total, counts = _totals(connection, near, wanted)
    begin = 0 if after is None else _place(connection, near, after)
    needed = offset + limit + 1
    plates = _reaching(near[begin:], counts, needed)
    if not plates:
        return SearchPage([], total, has_more=False)
    conditions, parameters = plate_conditions(wanted)
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
    found = [FoundRead(PlateEvent.from_row(row[1:]), plates[row[0] - 1]) for row in rows[:limit]]
    return SearchPage(found, total, has_more=len(rows) > limit)


def _totals(connection: Connection[Row], near: list[NearPlate], wanted: PlateFilter) -> tuple[int, dict[str, int]]:
    """Return how many reads match, in all and by plate."""
    if not near:
        return 0, {}
    if wanted == PlateFilter():
        counts = {one.plate: one.events for one in near}
        return sum(counts.values()), counts
    conditions, parameters = plate_conditions(wanted)
    conditions.append(sql.SQL("plate_normalized_text = ANY(%(plates)s)"))
    query = sql.SQL("SELECT plate_normalized_text, count(*) FROM plate_events WHERE {} GROUP BY 1")
    parameters["plates"] = [one.plate for one in near]
    counts = dict(connection.execute(query.format(all_of(conditions)), parameters).fetchall())
    return sum(counts.values()), counts


def _place(connection: Connection[Row], near: list[NearPlate], after: Position) -> int:
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
