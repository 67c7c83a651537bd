"""Response models of ``GET /health``, for the OpenAPI document."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class HealthCheck(BaseModel):
    """Status of one dependency of the API."""

    model_config = ConfigDict(extra="allow")

    status: Literal["ok", "failed", "not_configured"]


class HealthResponse(BaseModel):
    """Status of the API: `degraded` if a non-essential check fails, `unavailable` if the database cannot be reached or
    rejects writes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "ok",
                    "version": "0.1.0",
                    "checks": {
                        "database": {"status": "ok", "postgresql": "17", "schema": "0001"},
                        "writes": {"status": "ok"},
                        "bucket": {"status": "ok"},
                        "fan_out": {"status": "ok", "subscriptions": "1"},
                    },
                }
            ]
        }
    )

    status: Literal["ok", "degraded", "unavailable"]
    version: str
    checks: dict[str, HealthCheck]
