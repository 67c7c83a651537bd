"""Fuzzy search: finds plates similar to a plate, the nearest first.

A trigram index over the distinct plates, with confusable characters folded, gives candidates with a similarity of at
least 0.3 (for one edit it misses under 1 % of the plates). ``cloud_functions.plates.distance`` ranks them. Their reads
are listed by plate, the nearest plate first, and by time, the newest first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil
from typing import Final, LiteralString

from psycopg import sql

from cloud_functions.db.cameras.scope import CAMERA_ID_IN_SCOPE, CameraScope, scope_parameters
from cloud_functions.db.events.filter import all_of
from cloud_functions.db.plates.queries import COLUMNS, PlateFilter, plate_conditions
from cloud_functions.db.plates.record import PlateEvent
from cloud_functions.db.types import Connection, Position
from cloud_functions.plates.distance import CONFUSABLE, edit_distance, fold, plate_distance

THRESHOLD: Final = 0.3
MAX_CANDIDATES: Final = 400
"""Maximum number of candidates from the index, the most similar first."""
MAX_PLATES: Final = 100
"""Maximum number of plates in a search's result."""

# The index's threshold is a setting, set in the same statement. The subquery depends on it, so it is set first.
_CANDIDATES: Final = """
SELECT near.* FROM (SELECT set_config('pg_trgm.similarity_threshold', %(threshold)s, true) AS made) AS setting
CROSS JOIN LATERAL (
    SELECT plate_normalized_text, events, similarity(plate_normalized_text, %(plate)s) FROM plates
    WHERE folded %% %(query)s AND setting.made <> '' AND plate_normalized_text < '~' AND events > 0
          AND length(folded) BETWEEN %(shortest)s AND %(longest)s AND similarity(folded, %(folded)s) >= %(least)s
    ORDER BY similarity(folded, %(folded)s) DESC, plate_normalized_text{limit}
) AS near{in_scope}
"""
# Plates with letters outside ASCII have a separate index (see migration 0008), which is usually empty.
_OTHER_LETTERS: Final = """
SELECT near.* FROM (SELECT set_config('pg_trgm.similarity_threshold', %(least)s::text, true) AS made) AS setting
CROSS JOIN LATERAL (
    SELECT plate_normalized_text, events FROM plates
    WHERE plate_in_ascii(folded) %% plate_in_ascii(%(folded)s) AND setting.made <> ''
          AND plate_normalized_text ~ '[^ -~]' AND events > 0 AND length(folded) BETWEEN %(shortest)s AND %(longest)s
    ORDER BY similarity(plate_in_ascii(folded), plate_in_ascii(%(folded)s)) DESC, plate_normalized_text{limit}
) AS near{in_scope}
"""
_LIMIT: Final = " LIMIT %(limit)s"
# Looks for a read of each ranked candidate in turn, until there are enough. OFFSET 0 keeps the ranking apart; LIMIT 1
# keeps PostgreSQL from joining, which would look up every read of the scope.
_IN_SCOPE: Final[LiteralString] = (
    " WHERE (SELECT true FROM plate_events AS read WHERE read.plate_normalized_text = near.plate_normalized_text"  # noqa: S608 - constants
    " AND read." + CAMERA_ID_IN_SCOPE + " LIMIT 1)" + _LIMIT
)
_READS_IN_SCOPE: Final = sql.SQL(
    "SELECT plate_normalized_text, count(*) FROM plate_events"
    " WHERE plate_normalized_text = ANY (%(plates)s) AND {} GROUP BY 1"
).format(sql.SQL(CAMERA_ID_IN_SCOPE))
_MARK: Final = CONFUSABLE[0][1:]
"""Characters that do not occur in folded plates."""
_MIN_CHARS: Final = 7
_MIN_DISTINCT_CHARS: Final = 5
_MAX_EDITS: Final = 2
_PREFIX_TRIGRAMS: Final = 2
"""Number of trigrams that two plates share if only their first two characters are equal."""
_MIN_TRIGRAMS: Final = 6
"""Minimum number of distinct trigrams of a plate within two edits of a long, varied one; CC88882 repeats some."""
_ROUNDING_MARGIN: Final = 0.999  # PostgreSQL compares in single precision


@dataclass(frozen=True, slots=True)
class NearPlate:
    """A plate that is similar to the one searched for."""

    plate: str
    events: int
    similarity: float
    """Trigram similarity, 0 to 1."""
    edit_distance: int
    distance: float
    """Edit distance with a lower cost for confusable characters."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A read, and the similarity of its plate."""

    read: PlateEvent
    near: NearPlate


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A page of the matching reads, nearest plate first, their total, and whether more follow."""

    results: list[SearchResult]
    total: int
    has_more: bool


def near_plates(
    connection: Connection, plate: str, *, max_distance: int, scope: CameraScope | None = None
) -> list[NearPlate]:
    """Return the plates within ``max_distance`` of ``plate`` (in normal form), the nearest first.

    With ``scope``, only those with reads of its cameras, which also are the only candidates: others do not take their
    places.
    """
    folded = fold(plate)
    query, threshold = query_without_prefix_trigrams(folded, max_distance) or (folded, THRESHOLD)
    parameters = {
        "plate": plate,
        "folded": folded,
        "query": query,
        "threshold": str(threshold),
        "least": THRESHOLD,
        "shortest": len(plate) - max_distance,
        "longest": len(plate) + max_distance,
        "limit": MAX_CANDIDATES,
    }
    parameters |= scope_parameters(scope)
    rows = connection.execute(_candidates(_CANDIDATES, scope), parameters).fetchall()
    candidates = {text: (text, text, events, similarity) for text, events, similarity in rows}
    for text, events in connection.execute(_candidates(_OTHER_LETTERS, scope), parameters):
        candidates[text] = (text, text, events, trigram_similarity(plate, text))
    near = _within_distance(plate, candidates.values(), max_distance)
    return nearest(near if scope is None else _with_reads_in(connection, near, scope))


def _candidates(query: LiteralString, scope: CameraScope | None) -> LiteralString:
    limits = (_LIMIT, "") if scope is None else (" OFFSET 0", _IN_SCOPE)
    return query.replace("{limit}", limits[0]).replace("{in_scope}", limits[1])


def _with_reads_in(connection: Connection, near: list[NearPlate], scope: CameraScope) -> list[NearPlate]:
    """Return the plates with reads in the scope, and the number of these reads."""
    parameters = {"plates": [one.plate for one in near]} | scope.parameters
    events = dict(connection.execute(_READS_IN_SCOPE, parameters).fetchall())
    return [replace(one, events=events[one.plate]) for one in near if one.plate in events]


def query_without_prefix_trigrams(folded: str, max_distance: int) -> tuple[str, float] | None:
    """Return a query text and a threshold that ignore a plate's first two trigrams; None if that may miss plates.

    Thousands of plates in a town share their prefix, and the index would read the long lists of its trigrams. Plates
    that must share four trigrams share at least two others. The query therefore hides the prefix behind characters
    that no plate contains, and its threshold is the lowest similarity that a plate of any length within
    ``max_distance`` reaches. The threshold must be above the similarity for one common trigram.

    Plates share four trigrams unless the plate is short, has few distinct characters (repeated trigrams count once), or
    may be many edits away. An exhaustive test compares both ways.
    """
    if len(folded) < _MIN_CHARS or len(set(folded)) < _MIN_DISTINCT_CHARS or max_distance > _MAX_EDITS:
        return None
    query = _MARK + folded
    own, visible = len(_trigrams(query)), len(_trigrams(folded))
    reached: list[float] = []
    for other in range(_MIN_TRIGRAMS, len(folded) + max_distance + 2):
        shared = ceil(THRESHOLD * (visible + other) / (1 + THRESHOLD)) - _PREFIX_TRIGRAMS
        reached.append(shared / (own + other - shared))
    threshold = min(reached) * _ROUNDING_MARGIN
    return (query, threshold) if threshold > 1 / own else None


def near_protected_plates(plate: str, opened: Iterable[tuple[str, str, int]], *, max_distance: int) -> list[NearPlate]:
    """Return the decrypted plates (token, plate, number of reads) within ``max_distance``, by their tokens."""
    folded = _trigrams(fold(plate))
    candidates = (
        (token, text, events, trigram_similarity(plate, text))
        for token, text, events in opened
        if abs(len(text) - len(plate)) <= max_distance and _similarity(folded, _trigrams(fold(text))) >= THRESHOLD
    )
    return _within_distance(plate, candidates, max_distance)


def _within_distance(
    plate: str, candidates: Iterable[tuple[str, str, int, float]], max_distance: int
) -> list[NearPlate]:
    """Return the candidates (stored form, plate, number of reads, similarity) that are within ``max_distance``."""
    near: list[NearPlate] = []
    for stored, text, events, similarity in candidates:
        distance = plate_distance(plate, text, limit=max_distance)
        if distance <= max_distance:
            near.append(NearPlate(stored, events, round(similarity, 3), edit_distance(plate, text), distance))
    return near


def nearest(near: list[NearPlate]) -> list[NearPlate]:
    """Return the nearest plates, at most ``MAX_PLATES``, the nearest first."""
    return sorted(near, key=lambda one: (one.distance, -one.similarity, one.plate))[:MAX_PLATES]


def trigram_similarity(one: str, other: str) -> float:
    """Return the similarity of two plates as pg_trgm's ``similarity`` computes it."""
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
    """Return ``limit`` reads of the plates ``near``, in that order, that also match ``plate_filter``.

    ``after`` is the position of the last read of the previous page.

    Raises:
        LookupError: that read has been deleted.
    """
    total, counts = _totals(connection, near, plate_filter)
    begin = 0 if after is None else _plate_index(connection, near, after)
    needed = offset + limit + 1
    plates = _plates_until(near[begin:], counts, needed)
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
    results = [SearchResult(PlateEvent.from_row(row[1:]), plates[row[0] - 1]) for row in rows[:limit]]
    return SearchPage(results, total, has_more=len(rows) > limit)


def _totals(connection: Connection, near: list[NearPlate], plate_filter: PlateFilter) -> tuple[int, dict[str, int]]:
    """Return the number of matching reads, in total and by plate."""
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


def _plate_index(connection: Connection, near: list[NearPlate], after: Position) -> int:
    """Return the index, in ``near``, of the plate of the read at ``after``."""
    row = connection.execute(
        "SELECT plate_normalized_text FROM plate_events WHERE captured_at = %(at)s AND id = %(id)s",
        {"at": after.timestamp, "id": after.id},
    ).fetchone()
    places = {one.plate: place for place, one in enumerate(near)}
    if row is None or row[0] not in places:
        raise LookupError("the last read of the previous page has been deleted")
    return places[row[0]]


def _plates_until(near: list[NearPlate], counts: dict[str, int], needed: int) -> list[NearPlate]:
    """Return the first plates of ``near`` that have matching reads, until they have ``needed`` reads together.

    The first plate is always included, because some of its reads may be on earlier pages.
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
