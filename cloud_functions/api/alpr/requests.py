"""Request models of the plate reads at the root path."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cloud_functions.api.http.parameters import Time
from cloud_functions.db.plates.queries import PlateFilter

MAX_ROWS = 1000
MAX_OFFSET = 100_000

Limit = Annotated[int, Field(ge=1, le=MAX_ROWS, description="Maximum number of reads.")]


class RecentParameters(BaseModel):
    """Parameters of ``GET /events/recent``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Limit = 100


class PlateParameters(RecentParameters):
    """Parameters of ``GET /events/plate/{text}``."""

    offset: int = Field(default=0, ge=0, le=MAX_OFFSET, description="Number of newer reads to skip.")


class CameraParameters(RecentParameters):
    """Parameters of ``GET /events/camera/{camera_id}``."""

    start_time: Time | None = Field(
        default=None,
        description="Only reads captured at or after this time (RFC 3339).",
        examples=["2026-11-20T00:00:00Z"],
    )
    end_time: Time | None = Field(
        default=None,
        description="Only reads captured at or before this time (RFC 3339).",
        examples=["2026-11-20T23:59:59Z"],
    )

    @model_validator(mode="after")
    def _check_order(self) -> CameraParameters:
        if self.start_time and self.end_time and self.start_time > self.end_time:
            raise ValueError("start_time is after end_time")
        return self

    def plate_filter(self, camera_id: str) -> PlateFilter:
        """Return the conditions, for one camera."""
        end = None if self.end_time is None else self.end_time + timedelta(microseconds=1)
        return PlateFilter(camera_id=camera_id, start=self.start_time, end=end)
