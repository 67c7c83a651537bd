"""JSON responses: of an object, of text that is already JSON, of one page of a list."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cloud_functions.api.http.cursor import Cursor

DATE_TIME: Final[dict[str, Any]] = {"format": "date-time"}
"""JSON Schema keywords of a field that holds an RFC 3339 time."""
NO_STORE: Final[dict[str, str]] = {"Cache-Control": "no-store"}
"""Headers of a response that no cache may keep."""


def root_path(request: Request) -> str:
    """Return the path prefix that a gateway has removed: it begins every address of this API."""
    return request.scope.get("root_path", "")


def json_response(content: Mapping[str, Any], *, status: int = 200) -> Response:
    """Return an object as JSON."""
    return text_response(json.dumps(content, ensure_ascii=False), status=status)


def text_response(text: str, *, status: int = 200) -> Response:
    """Return JSON text. ``handler`` checks that it fits into one Lambda response."""
    return Response(text.encode("utf-8", "surrogatepass"), status, media_type="application/json")


def list_response(
    name: str, items: Iterable[str], *, total: int, page: Mapping[str, int | None], last: Cursor | None
) -> Response:
    """Return one page of a list.

    ``items`` are JSON texts, placed under ``name``. ``total`` is the number of items on all pages. ``page`` holds the
    page parameters of the request. ``last`` is the position of the last item if more items follow, else None.
    """
    fields = {"total": total, **page, "has_more": last is not None, "next_cursor": last and last.encode()}
    return text_response(f'{{"{name}":[{",".join(items)}],{json.dumps(fields)[1:]}')
