"""``GET /health``: the status of the API and its dependencies. It is public and returns no address or error text."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from cloud_functions.api.backends.health_probes import HealthProbe
from cloud_functions.api.dependencies import Deps
from cloud_functions.api.health.responses import HealthResponse
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.http.responses import NO_STORE
from cloud_functions.api.http.strict_route import StrictRoute
from shared import __version__
from shared.errors import VedetteError

logger = logging.getLogger(__name__)
router = APIRouter(tags=["Health"], route_class=StrictRoute)

CHECK_NAMES = ("database", "writes", "bucket", "fan_out")
_CHECK_TIMEOUT_S = 5.0
"""A check that takes longer than this fails."""


@router.get(
    "/health",
    response_model=HealthResponse,
    summary="Check the API and its dependencies",
    responses={503: {"model": HealthResponse, "description": "The database is unavailable or rejects writes."}},
)
async def health(deps: Deps) -> Response:
    """Check whether the database, the bucket and the fan-out topic respond, and return the versions in use.

    `writes` checks whether the database accepts writes. It fails if the disk is full or the server is read-only. A
    success is cached for 10 seconds.
    """
    checks: dict[str, dict[str, Any]] = {name: {"status": "not_configured"} for name in CHECK_NAMES}
    results = await asyncio.gather(*map(_check, deps.probes))
    checks |= {probe.name: result for probe, result in zip(deps.probes, results, strict=True)}
    failed = [probe for probe in deps.probes if checks[probe.name]["status"] == "failed"]
    status = "unavailable" if any(probe.essential for probe in failed) else "degraded" if failed else "ok"
    return JSONResponse(
        {"status": status, "version": __version__, "checks": checks},
        status_code=503 if status == "unavailable" else 200,
        headers=NO_STORE,
    )


async def _check(probe: HealthProbe) -> dict[str, Any]:
    started_s = time.monotonic()
    try:
        details = await asyncio.wait_for(probe.check(), _CHECK_TIMEOUT_S)
    except (VedetteError, Problem, TimeoutError) as error:
        logger.warning("health check %s failed: %s", probe.name, str(error) or "timeout")
        return {"status": "failed"}
    except Exception:  # an error in one probe must not hide the results of the others
        logger.exception("health check %s raised an unexpected error", probe.name)
        return {"status": "failed"}
    return {"status": "ok", **details, "latency_ms": round((time.monotonic() - started_s) * 1000, 1)}
