"""``GET /health``: how the API and what it leans on are doing. For everybody, so no address and no error text."""

from __future__ import annotations

import logging
import time
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from cloud_functions.api.answers import HealthAnswer
from cloud_functions.api.errors import Problem
from cloud_functions.api.health_probes import HealthProbe
from cloud_functions.api.resources import Here
from cloud_functions.api.strict_route import StrictRoute
from shared import __version__
from shared.errors import VedetteError

logger = logging.getLogger(__name__)
router = APIRouter(tags=["Health"], route_class=StrictRoute)

KNOWN_CHECKS = ("database", "bucket", "fan_out")


@router.get(
    "/health",
    response_model=HealthAnswer,
    summary="How is it doing?",
    responses={503: {"model": HealthAnswer, "description": "The database is away: nothing can be answered."}},
)
async def health(here: Here) -> Response:
    """Ask the database, the bucket and the fan-out hub whether they answer, and say which versions run."""
    checks: dict[str, dict[str, Any]] = {name: {"status": "not_configured"} for name in KNOWN_CHECKS}
    for probe in here.probes:
        checks[probe.name] = await _check(probe)
    failed = [probe for probe in here.probes if checks[probe.name]["status"] == "failed"]
    status = "unavailable" if any(probe.essential for probe in failed) else "degraded" if failed else "ok"
    return JSONResponse(
        {"status": status, "version": __version__, "checks": checks},
        status_code=503 if status == "unavailable" else 200,
        headers={"Cache-Control": "no-store"},
    )


async def _check(probe: HealthProbe) -> dict[str, Any]:
    started = time.monotonic()
    try:
        found = await probe.check()
    except (VedetteError, Problem) as error:
        logger.warning("health: %s failed: %s", probe.name, error)
        return {"status": "failed"}
    return {"status": "ok", **found, "latency_ms": round((time.monotonic() - started) * 1000, 1)}
