"""Routes of the watch-lists API. A plate read that matches a pattern is published as ``plate_match``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Body, Depends, Query
from starlette.responses import Response

from cloud_functions.api.dependencies import Dependencies, Deps
from cloud_functions.api.http.problems import Problem, problem_description
from cloud_functions.api.http.responses import json_response
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import require
from cloud_functions.api.watchlists.requests import (
    AddPatternsRequest,
    PatternPageParameters,
    PatternRequest,
    WatchlistPageParameters,
    WatchlistRequest,
    pattern_id_in_path,
    watchlist_id_in_path,
)
from cloud_functions.api.watchlists.responses import (
    MAX_PATTERNS_BYTES,
    AddPatternsResponse,
    DeletedResponse,
    PatternListResponse,
    PatternResponse,
    WatchlistListResponse,
    WatchlistResponse,
    pattern_content,
    watchlist_content,
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

router = APIRouter(prefix="/plates/watchlists", tags=["Watch-lists"], route_class=StrictRoute)
_READ = Depends(require("watchlists:read"))
_WRITE = Depends(require("watchlists:write"))

_NAME_TAKEN: dict[int | str, dict[str, Any]] = {
    409: problem_description("Another watch-list has this name (`urn:vedette:problem:name-taken`).")
}

WatchlistId = Annotated[int, Depends(watchlist_id_in_path)]
PatternId = Annotated[int, Depends(pattern_id_in_path)]
Result = TypeVar("Result")


@router.get(
    "", name="list_watchlists", response_model=WatchlistListResponse, dependencies=[_READ], summary="List watch-lists"
)
async def get_watchlists(deps: Deps, params: Annotated[WatchlistPageParameters, Query()]) -> Response:
    """Watch-lists sorted by name, each with its number of patterns."""

    def read(connection: Connection) -> tuple[list[Watchlist], int]:
        return list_watchlists(connection, limit=params.limit, offset=params.offset), count_watchlists(connection)

    watchlists, total = await deps.database.run(read)
    items = [watchlist_content(watchlist) for watchlist in watchlists]
    return json_response({"watchlists": items, "count": len(items), "total": total})


@router.post(
    "",
    name="create_watchlist",
    status_code=201,
    response_model=WatchlistResponse,
    responses=_NAME_TAKEN,
    dependencies=[_WRITE],
    summary="Create a watch-list",
)
async def post_watchlist(deps: Deps, body: Annotated[WatchlistRequest, Body()]) -> Response:
    """Create a watch-list without patterns. Its name must be unique (409 otherwise)."""
    watchlist = await _run_with_unique_name(
        deps,
        lambda connection: create_watchlist(
            connection, name=body.name, description=body.description, enabled=body.enabled
        ),
    )
    return json_response(watchlist_content(watchlist), status=201)


@router.get(
    "/{watchlist}",
    name="get_watchlist",
    response_model=WatchlistResponse,
    dependencies=[_READ],
    summary="Get a watch-list",
)
async def get_watchlist(deps: Deps, watchlist_id: WatchlistId) -> Response:
    """The watch-list with this id. Its patterns are listed separately."""
    watchlist = await deps.database.run(lambda connection: find_watchlist(connection, watchlist_id))
    return json_response(watchlist_content(_existing(watchlist)))


@router.put(
    "/{watchlist}",
    name="change_watchlist",
    response_model=WatchlistResponse,
    responses=_NAME_TAKEN,
    dependencies=[_WRITE],
    summary="Change a watch-list",
)
async def put_watchlist(deps: Deps, watchlist_id: WatchlistId, body: Annotated[WatchlistRequest, Body()]) -> Response:
    """Replace the name and description of the watch-list, or enable or disable it. Its patterns do not change."""
    watchlist = await _run_with_unique_name(
        deps,
        lambda connection: change_watchlist(
            connection, watchlist_id, name=body.name, description=body.description, enabled=body.enabled
        ),
    )
    return json_response(watchlist_content(_existing(watchlist)))


@router.delete(
    "/{watchlist}",
    name="delete_watchlist",
    response_model=DeletedResponse,
    dependencies=[_WRITE],
    summary="Delete a watch-list",
)
async def remove_watchlist(deps: Deps, watchlist_id: WatchlistId) -> Response:
    """Delete the watch-list with all its patterns."""
    if not await deps.database.run(lambda connection: delete_watchlist(connection, watchlist_id)):
        raise _watchlist_not_found()
    return json_response({"message": "Watch-list deleted"})


@router.get(
    "/{watchlist}/patterns",
    name="list_patterns",
    response_model=PatternListResponse,
    dependencies=[_READ],
    summary="List the patterns of a watch-list",
)
async def get_patterns(
    deps: Deps, watchlist_id: WatchlistId, params: Annotated[PatternPageParameters, Query()]
) -> Response:
    """Patterns of the watch-list in the order in which they were added, including expired ones."""

    def read(connection: Connection) -> tuple[Watchlist | None, list[WatchPattern]]:
        watchlist = find_watchlist(connection, watchlist_id)
        return watchlist, list_patterns(connection, watchlist_id, limit=params.limit, offset=params.offset)

    watchlist, patterns = await deps.database.run(read)
    return json_response(
        {
            "patterns": [pattern_content(pattern) for pattern in patterns],
            "total": _existing(watchlist).patterns,
            "limit": params.limit,
            "offset": params.offset,
        }
    )


@router.post(
    "/{watchlist}/patterns",
    name="add_patterns",
    status_code=201,
    response_model=AddPatternsResponse,
    dependencies=[_WRITE],
    summary="Add patterns to a watch-list",
)
async def post_patterns(deps: Deps, watchlist_id: WatchlistId, body: Annotated[AddPatternsRequest, Body()]) -> Response:
    """Add up to 10,000 patterns, which apply to reads that arrive from now on. If one is invalid, none is added.

    A pattern that the watch-list already has, with the same reason and expiry time, is not added again. The request can
    be repeated if its response was lost.
    """

    def write(connection: Connection) -> AddedPatterns | None:
        rows = [_row(deps, connection, pattern) for pattern in body.patterns]
        return add_patterns(connection, watchlist_id, rows)

    added = await deps.database.run(write)
    if added is None:
        raise _watchlist_not_found()
    patterns = [pattern_content(pattern) for pattern in added.patterns]
    fits = deps.limits.sent_bytes(json.dumps(patterns, ensure_ascii=False)) <= MAX_PATTERNS_BYTES
    return json_response(
        {
            "pattern_ids": [pattern.pattern_id for pattern in added.patterns],
            "count": len(added.patterns),
            "added": added.new,
            "patterns": patterns if fits else None,
        },
        status=201,
    )


@router.get(
    "/{watchlist}/patterns/{pattern}",
    name="get_pattern",
    response_model=PatternResponse,
    dependencies=[_READ],
    summary="Get a pattern",
)
async def get_pattern(deps: Deps, watchlist_id: WatchlistId, pattern_id: PatternId) -> Response:
    """The pattern with this id in this watch-list."""
    pattern = await deps.database.run(lambda connection: find_pattern(connection, watchlist_id, pattern_id))
    if pattern is None:
        raise _pattern_not_found()
    return json_response(pattern_content(pattern))


@router.delete(
    "/{watchlist}/patterns/{pattern}",
    name="delete_pattern",
    response_model=DeletedResponse,
    dependencies=[_WRITE],
    summary="Delete a pattern",
)
async def remove_pattern(deps: Deps, watchlist_id: WatchlistId, pattern_id: PatternId) -> Response:
    """Delete the pattern. It no longer matches reads that arrive from now on."""
    if not await deps.database.run(lambda connection: delete_pattern(connection, watchlist_id, pattern_id)):
        raise _pattern_not_found()
    return json_response({"message": "Pattern deleted"})


def _row(deps: Dependencies, connection: Connection, pattern: PatternRequest) -> NewPattern:
    """Return the row of a pattern. For a protected site it holds the token of the plate."""
    row = pattern.to_store()
    if pattern.site_id is None:
        return row
    return row._replace(text=deps.plate_access.site_token(connection, row.text, pattern.site_id))


async def _run_with_unique_name(deps: Dependencies, query: Callable[[Connection], Result]) -> Result:
    try:
        return await deps.database.run(query)
    except NameTakenError:
        raise Problem(409, "name-taken", "Another watch-list has this name. Choose another name.") from None


def _existing(watchlist: Watchlist | None) -> Watchlist:
    if watchlist is None:
        raise _watchlist_not_found()
    return watchlist


def _watchlist_not_found() -> Problem:
    return Problem(404, "watchlist-not-found", "There is no watch-list with this id.")


def _pattern_not_found() -> Problem:
    return Problem(404, "pattern-not-found", "This watch-list has no pattern with this id.")
