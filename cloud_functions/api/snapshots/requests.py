"""Request models of requested snapshots: each validates its parameters before a route uses them."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator

from cloud_functions.api.commands.ask import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S, MIN_TIMEOUT_S
from cloud_functions.api.http.list_parameters import TimeRangeParameters
from cloud_functions.api.http.parameters import Segment, reject_boolean
from cloud_functions.api.http.problems import invalid_parameter
from shared.ids import is_uuid

MAX_PER_PAGE: Final = 500
SnapshotStatus = Literal["pending", "stored", "failed"]

SourceRef = Annotated[
    Segment,
    Path(
        alias="device_id",
        description="A camera's `id` or `slug`, or a device's id.",
        examples=["front-door"],
    ),
]
Wait = Annotated[
    bool,
    Query(
        description="Wait for the image. False: respond with 202 at once; `Location` is where the device's reply will"
        " be."
    ),
]
Timeout = Annotated[
    float,
    Query(
        ge=MIN_TIMEOUT_S,
        le=MAX_TIMEOUT_S,
        allow_inf_nan=False,
        description="Seconds to wait for the device. Raising it helps on slow connections.",
    ),
]


async def _snapshot_ref(
    snapshot_id: Annotated[
        str,
        Path(description="Id of the snapshot.", examples=["0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"], max_length=100),
    ],
) -> UUID:
    """FastAPI dependency: the snapshot that the path names; raises the 422 Problem for an invalid id."""
    if not is_uuid(snapshot_id):
        raise invalid_parameter("snapshot_id", "must be a UUID", location="path")
    return UUID(snapshot_id)


SnapshotRef = Annotated[UUID, Depends(_snapshot_ref)]


class CaptureRequest(BaseModel):
    """Body of a capture. Without a body, the defaults apply."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_seconds: float = Field(
        default=DEFAULT_TIMEOUT_S,
        ge=MIN_TIMEOUT_S,
        le=MAX_TIMEOUT_S,
        allow_inf_nan=False,
        description="Seconds to wait for the device. Raising it helps on slow connections.",
        examples=[10],
    )
    save_thumbnail: StrictBool | None = Field(
        default=None, description="Whether to make a thumbnail too. Null: as the camera's settings.", examples=[True]
    )

    _reject_booleans = field_validator("timeout_seconds", mode="before")(reject_boolean)


class SnapshotPageParameters(TimeRangeParameters):
    """Selects one page of snapshots."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page: int = Field(default=1, ge=1, le=1_000_000, description="Page number, starting at 1.")
    per_page: int = Field(default=10, ge=1, le=MAX_PER_PAGE, description="Number of items per page.")
    status: SnapshotStatus = Field(
        default="stored",
        description="`stored`: the image can be read. `pending`: it is expected. `failed`: it could not be taken.",
    )

    @property
    def offset(self) -> int:
        """Number of items before the page."""
        return (self.page - 1) * self.per_page


class SnapshotListParameters(SnapshotPageParameters):
    """Parameters of ``GET /snapshots``. A snapshot matches if it meets every condition given."""

    device_id: Segment | None = Field(
        default=None, description="Only snapshots of this camera (its `id` or `slug`) or device (its id)."
    )
