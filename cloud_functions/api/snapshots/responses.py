"""Response models of the snapshot routes, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, Field

from cloud_functions.api.http.problems import problem_description
from cloud_functions.api.http.responses import DATE_TIME
from shared.storage_keys import CONTENT_TYPES


class SignedUrlResponse(BaseModel):
    """A signed URL. It gives access to the snapshot without further permission until it expires."""

    url: str
    expires_in: int = Field(description="Lifetime in seconds.")
    expires_at: str = Field(json_schema_extra=DATE_TIME)


_BYTES: Final = {"schema": {"type": "string", "format": "binary"}}

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
