"""Request models of the devices API."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from cloud_functions.api.http.parameters import Segment

DeviceRef = Annotated[Segment, Path(alias="device", description="A device's `device_id`.", examples=["gate-01"])]


class DeviceListParameters(BaseModel):
    """Parameters of ``GET /devices``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page: int = Field(default=1, ge=1, le=1_000_000, description="Page number, starting at 1.")
    page_size: int = Field(default=20, ge=1, le=500, description="Number of items per page.")
    status: Literal["online", "offline"] | None = Field(default=None, description="Only devices with this status.")

    @property
    def offset(self) -> int:
        """Number of items before the page."""
        return (self.page - 1) * self.page_size
