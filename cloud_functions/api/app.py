"""The one FastAPI application, the same under Mangum and uvicorn.

Routes are ``async`` and hand blocking work to ``Resources.workers``: on Lambda it runs in place (0.09 ms of overhead a
request against 0.6 for a ``def`` route), on a server it runs on threads, so that no request waits for another's SQL.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi

from cloud_functions.api.dependencies import Resources
from cloud_functions.api.events import export as event_export
from cloud_functions.api.events import routes as events
from cloud_functions.api.events import snapshots as event_pictures
from cloud_functions.api.health import routes as health
from cloud_functions.api.http.docs_pages import add_docs_pages
from cloud_functions.api.http.problems import (
    PROBLEM_MEDIA_TYPE,
    ProblemDocument,
    install_error_handlers,
    name_fixed_paths,
)
from cloud_functions.api.http.semantics import HttpSemantics
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.plates import routes as plates
from cloud_functions.api.watchlists import routes as watchlists
from shared import __version__

MOUNTS = ("/api", "/api/v1")
"""Where the same routes are found; the first is the one that the description shows."""

DESCRIPTION = """
Events from cameras: what was seen, where and when, and the annotated pictures behind it.

- Every path under `/api` is found under `/api/v1` as well.
- All times are RFC 3339, in UTC with `Z`; what you send must name its zone.
- Every error is an RFC 9457 problem document (`application/problem+json`): switch on its `type`.
- An unknown parameter, or one given twice, is an error on every route: a misspelt condition never widens what you
  asked for. So is a key given twice in a JSON body.
- HEAD works wherever GET does. An answer with an `ETag` is a 304 where `If-None-Match` names it.
- A trailing slash makes no difference.
"""
_TAGS = [
    {"name": "Events", "description": "Find, count, export and delete events."},
    {"name": "Pictures", "description": "The annotated snapshot of an event."},
    {"name": "Plates", "description": "Find, count and follow number plates."},
    {
        "name": "Watch-lists",
        "description": "Plates to look for: a read that fits a pattern is published as `plate_match`.",
    },
    {"name": "Health", "description": "Whether the API and what it leans on are well."},
]
_ROUTERS = (event_export.router, event_pictures.router, events.router, watchlists.router, plates.router)
"""Earlier ones win: a static path stands before one with a placeholder in the same place."""
_PROBLEM_REF = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such thing.", "content": _PROBLEM_REF},
    422: {"description": "A parameter is not right; `errors` says which and why.", "content": _PROBLEM_REF},
    503: {"description": "The database is away, or the question too slow to answer.", "content": _PROBLEM_REF},
}

_BODY_PROBLEMS: dict[str, dict[str, Any]] = {
    "400": {"description": "The body is not JSON.", "content": _PROBLEM_REF},
    "413": {"description": "The body is too large; send less at a time.", "content": _PROBLEM_REF},
}


def create_app(*, resources: Resources, docs_assets: Path | None = None, root_path: str = "") -> FastAPI:
    """Build the application around ``resources``, which it closes when a server shuts it down.

    ``root_path`` is what a gateway cuts off before the path (a REST API's stage).
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        resources.close()

    app = FastAPI(
        title="Vedette API",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=_TAGS,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # served by ``add_docs_pages``, through a route as strict as the others
        redirect_slashes=False,  # a redirect would lose a gateway's stage; see ``HttpSemantics``
        generate_unique_id_function=lambda route: route.name,
        lifespan=lifespan,
    )
    app.router.route_class = StrictRoute
    app.state.resources = resources
    install_error_handlers(app)
    for number, mount in enumerate(MOUNTS):
        app.include_router(_api_router(), prefix=mount, include_in_schema=number == 0)
    app.include_router(health.router, include_in_schema=False)
    app.include_router(plates.stats_router, responses=_PROBLEMS)
    add_docs_pages(app, assets=docs_assets)
    name_fixed_paths(app)
    app.add_middleware(HttpSemantics, root_path=root_path)
    app.openapi = lambda: _described(app, root_path)
    return app


def _api_router() -> APIRouter:
    router = APIRouter(route_class=StrictRoute)
    for routes in _ROUTERS:
        router.include_router(routes, responses=_PROBLEMS)
    router.include_router(health.router)
    return router


def _described(app: FastAPI, root_path: str) -> dict[str, Any]:
    """Return the OpenAPI description, with the problem document in the place of FastAPI's own error shape."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            tags=app.openapi_tags,
            routes=app.routes,
            servers=[{"url": root_path}] if root_path else None,
        )
        schemas: dict[str, Any] = schema["components"]["schemas"]
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        schema["paths"] = dict(sorted(schema["paths"].items()))
        for operation in (each for path in schema["paths"].values() for each in path.values()):
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _never_null(parameter["schema"])
            if "requestBody" in operation:
                operation["responses"] |= _BODY_PROBLEMS
        schemas["ProblemDocument"] = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
        app.openapi_schema = schema
    return app.openapi_schema


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter's schema as a reader wants it: left out is not null, and its name is title enough."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    merged = {**schema, **kinds[0]} if len(kinds) == 1 else schema
    return {key: value for key, value in merged.items() if key not in ("title", "anyOf" if kinds else "title")}
