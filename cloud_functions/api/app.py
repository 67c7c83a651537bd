"""The FastAPI application. Mangum (Lambda) and uvicorn run the same one.

Routes are ``async`` and run blocking calls in ``Dependencies.thread_pool``. On Lambda it calls them directly, which
costs 0.09 ms per request, compared with 0.6 ms for a ``def`` route. On a server it uses threads, so that requests do
not wait for each other's SQL.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from cloud_functions.api.alpr import routes as alpr
from cloud_functions.api.audit import routes as audit_routes
from cloud_functions.api.cameras import connection_routes, group_routes, transfer_routes
from cloud_functions.api.cameras import routes as cameras
from cloud_functions.api.commands import routes as commands
from cloud_functions.api.dashboard import routes as dashboard
from cloud_functions.api.dashboard.static_files import StaticFiles
from cloud_functions.api.dependencies import Dependencies
from cloud_functions.api.devices import report_routes
from cloud_functions.api.devices import routes as devices
from cloud_functions.api.events import export as event_export
from cloud_functions.api.events import routes as events
from cloud_functions.api.health import routes as health
from cloud_functions.api.http.docs_pages import add_docs_pages
from cloud_functions.api.http.middleware.compression import CompressionMiddleware
from cloud_functions.api.http.middleware.semantics import HttpSemanticsMiddleware
from cloud_functions.api.http.problems import install_error_handlers, record_static_paths
from cloud_functions.api.http.request_ids import RequestIdMiddleware
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.openapi import DESCRIPTION, ENVELOPED_RESPONSES, PROBLEM_RESPONSES, TAGS, openapi_document
from cloud_functions.api.plates import routes as plates
from cloud_functions.api.retention import hold_routes
from cloud_functions.api.retention import routes as retention
from cloud_functions.api.security.audit.middleware import AuditMiddleware
from cloud_functions.api.security.rate_limit.middleware import RateLimitMiddleware
from cloud_functions.api.snapshots import camera_routes as camera_snapshots
from cloud_functions.api.snapshots import capture_routes
from cloud_functions.api.snapshots import routes as snapshots
from cloud_functions.api.users import key_routes, login_routes, session_routes, user_routes
from cloud_functions.api.users import routes as users
from cloud_functions.api.watchlists import routes as watchlists
from cloud_functions.api.webhooks import delivery_routes as webhook_deliveries
from cloud_functions.api.webhooks import replay_routes
from cloud_functions.api.webhooks import routes as webhooks
from cloud_functions.api.websocket import routes as websocket
from shared import __version__

MOUNTS = ("/api", "/api/v1")
"""Path prefixes of the routes. The OpenAPI document shows the first one."""

_ROUTERS = (
    event_export.router,
    snapshots.router,
    events.router,
    capture_routes.router,
    camera_snapshots.router,
    watchlists.router,
    plates.router,
    users.router,
    session_routes.router,
)
"""Routers in order of precedence: a static path comes before a path with a placeholder in the same position."""
_ENVELOPED_ROUTERS = (
    group_routes.router,
    transfer_routes.router,
    capture_routes.camera_router,
    cameras.router,
    connection_routes.router,
    commands.router,
    report_routes.router,
    login_routes.router,
    user_routes.router,
    key_routes.router,
    audit_routes.router,
    websocket.router,
    webhooks.router,
    webhook_deliveries.router,
    replay_routes.router,
    retention.router,
    hold_routes.router,
)
"""The same for the routers whose responses and errors are in the envelope."""
_DEVICES_PATH = f"{MOUNTS[1]}{devices.router.prefix}"
"""Here devices are listed, and under the first mount, as the snapshots document has it, cameras."""


def create_app(*, dependencies: Dependencies, docs_assets: Path | None = None, root_path: str = "") -> FastAPI:
    """Return the application. It prepares ``dependencies`` when its server starts, and closes them when it shuts down.

    ``root_path`` is the path prefix that a gateway removes, such as the stage of a REST API.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        if dependencies.prepare is not None:  # in the background: the first requests do not wait for it
            threading.Thread(target=dependencies.prepare, name="prepare", daemon=True).start()
        yield
        dependencies.close()

    app = FastAPI(
        title="Vedette API",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # served by ``add_docs_pages`` through a ``StrictRoute``
        redirect_slashes=False,  # a redirect would lose a gateway's stage; see ``HttpSemanticsMiddleware``
        generate_unique_id_function=_operation_id,
        lifespan=lifespan,
    )
    app.router.route_class = StrictRoute
    app.state.dependencies = dependencies
    app.state.static_files = StaticFiles()
    app.state.enveloped_paths = (
        _DEVICES_PATH,
        *(f"{mount}{router.prefix}" for mount in MOUNTS for router in _ENVELOPED_ROUTERS),
    )
    install_error_handlers(app)
    app.router.routes.extend(_routes())
    add_docs_pages(app, assets=docs_assets)
    record_static_paths(app)
    app.add_middleware(CompressionMiddleware)
    if dependencies.limits_rates:
        app.add_middleware(RateLimitMiddleware)
    if dependencies.audit is not None:
        app.add_middleware(AuditMiddleware, trail=dependencies.audit)
    app.add_middleware(HttpSemanticsMiddleware, root_path=root_path, metrics=dependencies.request_metrics)
    app.add_middleware(RequestIdMiddleware)
    app.openapi = lambda: openapi_document(app, root_path)
    return app


@functools.cache
def _routes() -> tuple[BaseRoute, ...]:
    """Return the routes of all resources. They are the same for every application and depend on none.

    They are kept because FastAPI takes 0.3 s of processor time to prepare them, for each router that includes them.
    """
    root = APIRouter(route_class=StrictRoute, generate_unique_id_function=_operation_id)
    for number, mount in enumerate(MOUNTS):
        root.include_router(_api_router(), prefix=mount, include_in_schema=number == 0)
    root.include_router(devices.cameras_router, prefix=MOUNTS[0], responses=PROBLEM_RESPONSES)
    root.include_router(devices.router, prefix=MOUNTS[1], responses=ENVELOPED_RESPONSES)
    root.include_router(health.router, include_in_schema=False)
    root.include_router(plates.stats_router, responses=PROBLEM_RESPONSES)
    root.include_router(alpr.router, responses=PROBLEM_RESPONSES)
    root.include_router(dashboard.router, include_in_schema=False)
    return tuple(root.routes)


def _operation_id(route: APIRoute) -> str:
    return route.name


def _api_router() -> APIRouter:
    router = APIRouter(route_class=StrictRoute)
    for resource_router in _ROUTERS:
        router.include_router(resource_router, responses=PROBLEM_RESPONSES)
    for resource_router in _ENVELOPED_ROUTERS:
        router.include_router(resource_router, responses=ENVELOPED_RESPONSES)
    router.include_router(health.router)
    return router
