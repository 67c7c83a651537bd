"""The API under uvicorn, for one machine: ``uvicorn --factory cloud_functions.api.server:app_from_environment``."""

from __future__ import annotations

from fastapi import FastAPI

from cloud_functions.api.backends.abandoned import CancelAbandoned
from cloud_functions.api.backends.thread_pool import ThreadWorkers
from cloud_functions.api.dependencies import SERVER_LIMITS
from cloud_functions.api.security.origin_guard import OriginGuard
from cloud_functions.api.wiring import ApiSettings, build_app

_HEALTH_THREADS = 2


def app_from_environment() -> FastAPI:
    """Build the application from the environment, as ``ApiSettings`` reads it, and ``AWS_*``."""
    return server_app(ApiSettings.from_environment())


def server_app(settings: ApiSettings, *, threads: int = 8) -> FastAPI:
    """Build the application for a server of many requests at a time; it opens up to ``threads`` connections, and
    two for its health.

    It answers to this machine's own names, IP addresses and ``settings.allowed_hosts`` alone.
    """
    app = build_app(
        settings,
        workers=ThreadWorkers(threads=threads),
        health_workers=ThreadWorkers(threads=_HEALTH_THREADS),
        limits=SERVER_LIMITS,
    )
    app.add_middleware(CancelAbandoned)
    app.add_middleware(OriginGuard, allowed_hosts=settings.allowed_hosts)
    return app
