"""Request models of the plate reads at the root path."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cloud_functions.api.http.list_parameters import TimeRangeParameters
from cloud_functions.db.cameras.scope import CameraScope
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


class CameraParameters(RecentParameters, TimeRangeParameters):
    """Parameters of ``GET /events/camera/{camera_id}``."""

    def plate_filter(self, camera_id: str, *, scope: CameraScope | None) -> PlateFilter:
        """Return the conditions, for one camera, within the caller's limit to camera groups."""
        return PlateFilter(scope=scope, camera_id=camera_id, start=self.start_time, end=self.exclusive_end)
