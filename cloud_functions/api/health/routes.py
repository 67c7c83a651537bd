"""``GET /health``: how the API and what it leans on are doing. For everybody, so no address and no error text."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from cloud_functions.api.backends.health_probes import HealthProbe
from cloud_functions.api.dependencies import Here
from cloud_functions.api.events.responses import HealthAnswer
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.http.strict_route import StrictRoute
from shared import __version__
from shared.errors import VedetteError

logger = logging.getLogger(__name__)
router = APIRouter(tags=["Health"], route_class=StrictRoute)

KNOWN_CHECKS = ("database", "writes", "bucket", "fan_out")
_LONGEST_CHECK_S = 5.0
"""A thing that does not answer for so long is not well, whatever it waits for."""


@router.get(
    "/health",
    response_model=HealthAnswer,
    summary="How is it doing?",
    responses={503: {"model": HealthAnswer, "description": "The database is away, or takes no writes."}},
)
async def health(here: Here) -> Response:
    """Ask the database, the bucket and the fan-out hub whether they answer, and say which versions run.

    `writes` tells whether the database takes what is written: it fails on a full disk, or a read-only server.
    """
    checks: dict[str, dict[str, Any]] = {name: {"status": "not_configured"} for name in KNOWN_CHECKS}
    found = await asyncio.gather(*map(_check, here.probes))
    checks |= {probe.name: check for probe, check in zip(here.probes, found, strict=True)}
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
        found = await asyncio.wait_for(probe.check(), _LONGEST_CHECK_S)
    except (VedetteError, Problem, TimeoutError) as error:
        logger.warning("health: %s failed: %s", probe.name, str(error) or "no answer in time")
        return {"status": "failed"}
    except Exception:  # a probe's own fault is no reason to say nothing about the others
        logger.exception("health: %s failed unexpectedly", probe.name)
        return {"status": "failed"}
    return {"status": "ok", **found, "latency_ms": round((time.monotonic() - started) * 1000, 1)}
