"""``GET /health/report``: cameras and devices by status, and those that need attention."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from cloud_functions.api.dependencies import Deps
from cloud_functions.api.devices.report_responses import HealthReportEnvelope
from cloud_functions.api.http.envelope import envelope_response
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import Principal, require_in_scope
from cloud_functions.db.health_report import build_health_report, find_health_report
from cloud_functions.db.types import Connection

router = APIRouter(prefix="/health/report", tags=["Devices"], route_class=StrictRoute)


class ReportParameters(BaseModel):
    """Parameters of ``GET /health/report``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    day: date | None = Field(
        default=None,
        description="The report that was stored on this day (UTC, `YYYY-MM-DD`). Default: the present state.",
        examples=["2026-11-30"],
    )


@router.get(
    "",
    name="health_report",
    response_model=HealthReportEnvelope,
    summary="Get the health report",
)
async def get_report(
    caller: Annotated[Principal, Depends(require_in_scope("cameras:read"))],
    deps: Deps,
    params: Annotated[ReportParameters, Query()],
) -> Response:
    """Cameras by status and those that have been offline longest; devices that dropped data or have open gaps.

    A report is stored each day at 04:00 UTC and kept for 400 days. Callers who are limited to camera groups get the
    present report of their cameras and of the devices that these are assigned to. The stored ones are about all
    cameras and closed to them.
    """
    if caller.scope is not None and params.day is not None:
        detail = "You are limited to camera groups, and stored reports are about all cameras. Leave out `day`."
        raise Problem(403, "limited-to-groups", detail)

    def read(connection: Connection) -> dict[str, Any] | None:
        if params.day is None:
            return build_health_report(connection, now=deps.clock.now(), scope=caller.scope)
        return find_health_report(connection, params.day)

    report = await deps.database.run(read)
    if report is None:
        raise Problem(404, "report-not-found", "No report was stored on this day.")
    return envelope_response(report)
