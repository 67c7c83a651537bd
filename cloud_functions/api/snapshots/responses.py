"""Response models of the snapshot routes, for the OpenAPI document, and the JSON of requested snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from cloud_functions.api.http.envelope import EmptyMeta
from cloud_functions.api.http.problems import problem_description
from cloud_functions.api.http.responses import DATE_TIME
from cloud_functions.db.snapshots.queries import SnapshotPage
from cloud_functions.db.snapshots.record import CameraSnapshot
from shared.clock import format_utc
from shared.storage_keys import CONTENT_TYPES


class SignedUrlResponse(BaseModel):
    """A signed URL. It gives access to the snapshot without further permission until it expires."""

    url: str
    expires_in: int = Field(description="Lifetime in seconds.")
    expires_at: str = Field(json_schema_extra=DATE_TIME)


_BYTES: Final = {"schema": {"type": "string", "format": "binary"}}

REQUESTED_IMAGE_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The image: base64 in JSON, or its bytes if `Accept` names an image type.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/SnapshotImageResponse"}}}
        | dict.fromkeys(CONTENT_TYPES.values(), _BYTES),
    },
    304: {"description": "The client has the current image: `If-None-Match` names its `ETag`."},
    307: {"description": "The image is too large for a direct response. `Location` holds its signed URL."},
    403: problem_description(
        "The plates of the camera's site are protected and may be visible in the image"
        " (`urn:vedette:problem:plates-protected`)."
    ),
    404: problem_description(
        "The snapshot does not exist, has no image (`urn:vedette:problem:no-snapshot`), its image has not been uploaded"
        " yet (`…:snapshot-pending`, with `Retry-After`), or its image was deleted (`…:snapshot-gone`)."
    ),
}
"""The same for the image of a requested snapshot."""

IMAGE_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The image.", "content": dict.fromkeys(CONTENT_TYPES.values(), _BYTES)},
    304: {"description": "The client has the current image: `If-None-Match` names its `ETag`."},
    307: {"description": "The image is too large for a direct response. `Location` holds its signed URL."},
    403: problem_description(
        "The plate of the event is protected and visible in the image (`urn:vedette:problem:plates-protected`)."
    ),
    404: problem_description(
        "The event does not exist, has no snapshot (`urn:vedette:problem:no-snapshot`), its snapshot has not been"
        " uploaded yet (`…:snapshot-pending`, with `Retry-After`), or its snapshot was deleted (`…:snapshot-gone`)."
    ),
}


class SnapshotFields(BaseModel):
    """A requested snapshot without its image. The image's properties are null until the device has described it."""

    id: str = Field(json_schema_extra={"format": "uuid"})
    camera_id: str | None = Field(
        json_schema_extra={"format": "uuid"}, description="The camera's `id`; null for a camera unknown to the API."
    )
    camera_slug: str = Field(description="The camera's `camera_id` in events.")
    device_id: str = Field(description="The device that took it.")
    command_id: str | None = Field(description="The command with which it was requested.")
    status: Literal["pending", "stored", "failed"] = Field(
        description="`stored`: the image can be read. `pending`: it is expected. `failed`: see `error`."
    )
    error: str | None = Field(description="Why the image is not there, as the device reported it.")
    filename: str | None
    storage_path: str | None = Field(description="Key of the image in the bucket.")
    content_type: str | None
    file_size: int | None = Field(description="Size of the image in bytes.")
    width: int | None = Field(description="Width in pixels.")
    height: int | None = Field(description="Height in pixels.")
    captured_at: str | None = Field(json_schema_extra=DATE_TIME, description="Capture time of the frame.")
    expiry_date: str | None = Field(
        json_schema_extra=DATE_TIME, description="When it is deleted. Null: with the other images of the deployment."
    )
    image_url: str | None = Field(description="Path of the image; null if there is none.")
    thumbnail_url: str | None = Field(description="Path of the thumbnail; null if there is none.")


class SnapshotResponse(SnapshotFields):
    """A requested snapshot."""

    created_at: str = Field(json_schema_extra=DATE_TIME, description="When it was requested.")


class SnapshotImageResponse(SnapshotResponse):
    """A requested snapshot with its image."""

    image_data: str = Field(description="The image, base64-encoded.", json_schema_extra={"format": "byte"})


class SnapshotListResponse(BaseModel):
    """One page of snapshots, newest first."""

    snapshots: list[SnapshotResponse]
    total: int = Field(description="Number of snapshots on all pages.")
    page: int
    per_page: int
    total_pages: int
    has_more: bool = Field(description="Whether there is a next page.")


class DeletedSnapshotResponse(BaseModel):
    """Result of a deletion."""

    id: str = Field(json_schema_extra={"format": "uuid"})
    message: str


class EnvelopedSnapshot(SnapshotFields):
    """A requested snapshot, in the envelope."""

    createdAt: str = Field(json_schema_extra=DATE_TIME, description="When it was requested.")  # noqa: N815


class SnapshotEnvelope(BaseModel):
    """A requested snapshot in the envelope."""

    success: Literal[True]
    data: EnvelopedSnapshot
    meta: EmptyMeta


class CaptureError(BaseModel):
    """Why the snapshot of a camera could not be taken."""

    code: str = Field(description="A problem type, without its prefix.")
    message: str


class CaptureResult(BaseModel):
    """The outcome for one camera of a group."""

    camera_id: str = Field(json_schema_extra={"format": "uuid"})
    camera_slug: str
    status: Literal["stored", "pending", "failed"]
    snapshot: EnvelopedSnapshot | None = Field(description="Null if it failed.")
    error: CaptureError | None = Field(description="Null unless it failed.")


class CaptureCounts(BaseModel):
    """The outcomes of all cameras."""

    total: int
    stored: int
    pending: int
    failed: int


class GroupCaptureEnvelope(BaseModel):
    """The outcome for each camera of a group, in the envelope."""

    success: Literal[True]
    data: list[CaptureResult]
    meta: CaptureCounts


def snapshot_content(snapshot: CameraSnapshot, *, root_path: str) -> dict[str, Any]:
    """Return the JSON of a snapshot. ``root_path`` is the path prefix that a gateway removes."""
    return _fields(snapshot, root_path) | {"created_at": format_utc(snapshot.created_at)}


def enveloped_snapshot(snapshot: CameraSnapshot, *, root_path: str) -> dict[str, Any]:
    """Return the JSON of a snapshot in the envelope."""
    return _fields(snapshot, root_path) | {"createdAt": format_utc(snapshot.created_at)}


def snapshot_page_content(page: SnapshotPage, *, number: int, per_page: int, root_path: str) -> dict[str, Any]:
    """Return the JSON of one page of a list."""
    pages = -(-page.total // per_page)
    return {
        "snapshots": [snapshot_content(snapshot, root_path=root_path) for snapshot in page.snapshots],
        "total": page.total,
        "page": number,
        "per_page": per_page,
        "total_pages": pages,
        "has_more": number < pages,
    }


def capture_counts(results: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Return how many cameras have each outcome."""
    statuses = [result["status"] for result in results]
    return {"total": len(statuses)} | {name: statuses.count(name) for name in ("stored", "pending", "failed")}


def _fields(snapshot: CameraSnapshot, root_path: str) -> dict[str, Any]:
    path = f"{root_path}/api/snapshots/{snapshot.id}"
    is_described = snapshot.storage_path is not None
    return {
        "id": str(snapshot.id),
        "camera_id": None if snapshot.camera_id is None else str(snapshot.camera_id),
        "camera_slug": snapshot.camera_slug,
        "device_id": snapshot.device_id,
        "command_id": snapshot.command_id,
        "status": snapshot.status,
        "error": snapshot.error,
        "filename": snapshot.filename,
        "storage_path": snapshot.storage_path,
        "content_type": snapshot.content_type,
        "file_size": snapshot.file_size,
        "width": snapshot.width,
        "height": snapshot.height,
        "captured_at": format_utc(snapshot.captured_at) if is_described else None,
        "expiry_date": None if snapshot.expiry_date is None else format_utc(snapshot.expiry_date),
        "image_url": f"{path}/image" if is_described and snapshot.status != "failed" else None,
        "thumbnail_url": f"{path}/thumbnail" if snapshot.thumbnail_path and snapshot.status != "failed" else None,
    }
