"""The envelope of the cameras API: ``{"success": true, "data": …, "meta": {…}}``, and its form for errors.

``problems`` uses the form for errors on the paths that ``create_app`` records in ``app.state.enveloped_paths``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Protocol

from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import Response

_OPENING: Final = '{"success": '


class PageMeta(BaseModel):
    """Position of a page in its list."""

    page: int
    pageSize: int  # noqa: N815 - the name in the answer
    total: int = Field(description="Number of items on all pages.")
    totalPages: int  # noqa: N815


class EmptyMeta(BaseModel):
    """Holds nothing."""


class EnvelopedError(BaseModel):
    """Why the request failed."""

    code: str = Field(description="A problem type, without its prefix. It is stable: clients can compare it.")
    message: str
    details: list[dict[str, str]] = Field(
        description="Invalid parameters: `parameter`, `location` (query, path, body or header) and `message` of each."
    )


class ErrorMeta(BaseModel):
    """Identifies the request."""

    requestId: str = Field(description="Also in the server's log.")  # noqa: N815


class ErrorEnvelope(BaseModel):
    """Body of every error response of the cameras API."""

    success: Literal[False]
    error: EnvelopedError
    meta: ErrorMeta


def envelope_response(
    data: Any, *, meta: Mapping[str, Any] | None = None, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return ``data`` in the envelope."""
    text = json.dumps({"success": True, "data": data, "meta": meta or {}}, ensure_ascii=False)
    return Response(text, status, headers=dict(headers or {}), media_type="application/json")


class PageRequest(Protocol):
    """The page that a request asks for."""

    @property
    def page(self) -> int:
        """Number of the page, starting at 1."""
        ...

    @property
    def page_size(self) -> int:
        """Number of items on a page."""
        ...


def page_response(
    items: Sequence[Mapping[str, Any]], *, page: PageRequest, total: int, headers: Mapping[str, str] | None = None
) -> Response:
    """Return one page of a list in the envelope. ``total`` is the number of items on all pages."""
    pages = -(-total // page.page_size)
    meta = {"page": page.page, "pageSize": page.page_size, "total": total, "totalPages": pages}
    return envelope_response(items, meta=meta, headers=headers)


def error_envelope(
    *, code: str, message: str, details: Sequence[Mapping[str, object]], request_id: str
) -> dict[str, Any]:
    """Return the envelope of an error."""
    error = {"code": code, "message": message, "details": [dict(detail) for detail in details]}
    return {"success": False, "error": error, "meta": {"requestId": request_id}}


def error_description(description: str) -> dict[str, Any]:
    """Return the OpenAPI description of an error response in the envelope."""
    schema = {"$ref": "#/components/schemas/ErrorEnvelope"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def uses_envelope(request: Request) -> bool:
    """Return whether the path of the request is one whose errors are in the envelope."""
    path: str = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    prefixes: Sequence[str] = getattr(request.app.state, "enveloped_paths", ())
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)


def is_enveloped(body: str) -> bool:
    """Return whether the text of a response is an envelope."""
    return body.startswith(_OPENING)
