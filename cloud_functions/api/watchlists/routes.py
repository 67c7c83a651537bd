"""Watch-lists: lists of plate patterns, each match of which subscribers are told as ``plate_match``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Body, Depends, Query
from starlette.responses import Response

from cloud_functions.api.dependencies import Here, Resources
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.http.responses import json_response
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import require
from cloud_functions.api.watchlists.requests import (
    MOST_IN_FULL_BYTES,
    Deleted,
    PatternAnswer,
    PatternBody,
    PatternPage,
    PatternsAdded,
    PatternsAnswer,
    PatternsBody,
    WatchlistAnswer,
    WatchlistBody,
    WatchlistPage,
    WatchlistsAnswer,
    pattern_number,
    watchlist_number,
)
from cloud_functions.db.types import Connection
from cloud_functions.db.watchlists import (
    AddedPatterns,
    NameTakenError,
    NewPattern,
    Watchlist,
    add_patterns,
    change_watchlist,
    count_watchlists,
    create_watchlist,
    delete_pattern,
    delete_watchlist,
    find_pattern,
    find_watchlist,
    list_patterns,
    list_watchlists,
)
from cloud_functions.plates.patterns import WatchPattern
from shared.clock import format_utc

router = APIRouter(prefix="/plates/watchlists", tags=["Watch-lists"], route_class=StrictRoute)
_MAY_READ = Depends(require("watchlists:read"))
_MAY_WRITE = Depends(require("watchlists:write"))

_TAKEN: dict[int | str, dict[str, Any]] = {
    409: {
        "description": "Another watch-list has this name (`urn:vedette:problem:name-taken`).",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    }
}

ListNumber = Annotated[int, Depends(watchlist_number)]
PatternNumber = Annotated[int, Depends(pattern_number)]
Result = TypeVar("Result")


@router.get("", name="list_watchlists", response_model=WatchlistsAnswer, dependencies=[_MAY_READ], summary="All lists")
async def all_lists(here: Here, asked: Annotated[WatchlistPage, Query()]) -> Response:
    """All watch-lists by name, each with how many patterns it holds."""

    def read(connection: Connection) -> tuple[list[Watchlist], int]:
        return list_watchlists(connection, limit=asked.limit, offset=asked.offset), count_watchlists(connection)

    lists, total = await here.database.run(read)
    return json_response({"watchlists": [_list(one) for one in lists], "count": len(lists), "total": total})


@router.post(
    "",
    name="create_watchlist",
    status_code=201,
    response_model=WatchlistAnswer,
    responses=_TAKEN,
    dependencies=[_MAY_WRITE],
    summary="Make a list",
)
async def create(here: Here, asked: Annotated[WatchlistBody, Body()]) -> Response:
    """Make a watch-list, still without patterns. Its name must be free (409 where it is not)."""
    made = await _unless_taken(
        here,
        lambda connection: create_watchlist(
            connection, name=asked.name, description=asked.description, enabled=asked.enabled
        ),
    )
    return json_response(_list(made), status=201)


@router.get(
    "/{watchlist}", name="get_watchlist", response_model=WatchlistAnswer, dependencies=[_MAY_READ], summary="One list"
)
async def one(here: Here, number: ListNumber) -> Response:
    """The watch-list of this number; its patterns are listed apart."""
    return json_response(_list(_there(await here.database.run(lambda connection: find_watchlist(connection, number)))))


@router.put(
    "/{watchlist}",
    name="change_watchlist",
    response_model=WatchlistAnswer,
    responses=_TAKEN,
    dependencies=[_MAY_WRITE],
    summary="Change a list",
)
async def change(here: Here, number: ListNumber, asked: Annotated[WatchlistBody, Body()]) -> Response:
    """Give the list another name or description, or switch it on or off; its patterns stay."""
    changed = await _unless_taken(
        here,
        lambda connection: change_watchlist(
            connection, number, name=asked.name, description=asked.description, enabled=asked.enabled
        ),
    )
    return json_response(_list(_there(changed)))


@router.delete(
    "/{watchlist}",
    name="delete_watchlist",
    response_model=Deleted,
    dependencies=[_MAY_WRITE],
    summary="Delete a list",
)
async def delete(here: Here, number: ListNumber) -> Response:
    """Delete the watch-list with all its patterns."""
    if not await here.database.run(lambda connection: delete_watchlist(connection, number)):
        raise _no_list()
    return json_response({"message": "Watch-list deleted"})


@router.get(
    "/{watchlist}/patterns",
    name="list_patterns",
    response_model=PatternsAnswer,
    dependencies=[_MAY_READ],
    summary="Patterns of a list",
)
async def patterns(here: Here, number: ListNumber, asked: Annotated[PatternPage, Query()]) -> Response:
    """The patterns of a list in the order in which they were added, expired ones included."""

    def read(connection: Connection) -> tuple[Watchlist | None, list[WatchPattern]]:
        found = find_watchlist(connection, number)
        return found, list_patterns(connection, number, limit=asked.limit, offset=asked.offset)

    found, listed = await here.database.run(read)
    return json_response(
        {
            "patterns": [_pattern(one) for one in listed],
            "total": _there(found).patterns,
            "limit": asked.limit,
            "offset": asked.offset,
        }
    )


@router.post(
    "/{watchlist}/patterns",
    name="add_patterns",
    status_code=201,
    response_model=PatternsAdded,
    dependencies=[_MAY_WRITE],
    summary="Add patterns",
)
async def add(here: Here, number: ListNumber, asked: Annotated[PatternsBody, Body()]) -> Response:
    """Add up to 10,000 patterns; where one is wrong none is added. They count from the next plates that arrive.

    A pattern that the list holds already, with the same reason and end, is not added again: a request whose answer got
    lost may be repeated.
    """

    def write(connection: Connection) -> AddedPatterns | None:
        stored = [_stored(here, connection, pattern) for pattern in asked.patterns]
        return add_patterns(connection, number, stored)

    added = await here.database.run(write)
    if added is None:
        raise _no_list()
    held = added.patterns
    whole = [_pattern(one) for one in held]
    fits = here.limits.sent_bytes(json.dumps(whole, ensure_ascii=False)) <= MOST_IN_FULL_BYTES
    return json_response(
        {
            "pattern_ids": [one.pattern_id for one in held],
            "count": len(held),
            "added": added.new,
            "patterns": whole if fits else None,
        },
        status=201,
    )


@router.get(
    "/{watchlist}/patterns/{pattern}",
    name="get_pattern",
    response_model=PatternAnswer,
    dependencies=[_MAY_READ],
    summary="One pattern",
)
async def one_pattern(here: Here, number: ListNumber, pattern: PatternNumber) -> Response:
    """The pattern of this number in this list."""
    found = await here.database.run(lambda connection: find_pattern(connection, number, pattern))
    if found is None:
        raise _no_pattern()
    return json_response(_pattern(found))


@router.delete(
    "/{watchlist}/patterns/{pattern}",
    name="delete_pattern",
    response_model=Deleted,
    dependencies=[_MAY_WRITE],
    summary="Delete a pattern",
)
async def remove(here: Here, number: ListNumber, pattern: PatternNumber) -> Response:
    """Delete the pattern; it counts no more for the next plates that arrive."""
    if not await here.database.run(lambda connection: delete_pattern(connection, number, pattern)):
        raise _no_pattern()
    return json_response({"message": "Pattern deleted"})


def _stored(here: Resources, connection: Connection, pattern: PatternBody) -> NewPattern:
    """Return a pattern for the database: of a protected site, its plate's token."""
    stored = pattern.to_store()
    if pattern.site_id is None:
        return stored
    return stored._replace(text=here.plates.site_token(connection, stored.text, pattern.site_id))


async def _unless_taken(here: Resources, query: Callable[[Connection], Result]) -> Result:
    try:
        return await here.database.run(query)
    except NameTakenError:
        raise Problem(409, "name-taken", "Another watch-list has this name; choose another.") from None


def _there(found: Watchlist | None) -> Watchlist:
    if found is None:
        raise _no_list()
    return found


def _no_list() -> Problem:
    return Problem(404, "watchlist-not-found", "There is no watch-list of this number.")


def _no_pattern() -> Problem:
    return Problem(404, "pattern-not-found", "This watch-list has no pattern of this number.")


def _list(found: Watchlist) -> dict[str, Any]:
    return {
        "watchlist_id": found.watchlist_id,
        "name": found.name,
        "description": found.description,
        "enabled": found.enabled,
        "patterns": found.patterns,
        "created_at": format_utc(found.created_at),
        "updated_at": format_utc(found.updated_at),
    }


def _pattern(found: WatchPattern) -> dict[str, Any]:
    return {
        "pattern_id": found.pattern_id,
        "watchlist_id": found.watchlist_id,
        "kind": found.kind,
        "pattern": found.text,
        "max_distance": found.max_distance,
        "reason": found.reason,
        "expires_at": None if found.expires_at is None else format_utc(found.expires_at),
    }
