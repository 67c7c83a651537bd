"""JSON responses: of an object, of text that is JSON already, of a part of a list."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import Response

from cloud_functions.api.http.cursor import Cursor


def json_response(content: Mapping[str, Any], *, status: int = 200) -> Response:
    """Return an object as it is."""
    return text_response(json.dumps(content, ensure_ascii=False), status=status)


def text_response(text: str, *, status: int = 200) -> Response:
    """Return JSON text. Whether it fits into one answer is checked where answers leave, in ``handler``."""
    return Response(text.encode("utf-8", "surrogatepass"), status, media_type="application/json")


def list_response(
    name: str,
    items: Iterable[str],
    *,
    total: int,
    part: Mapping[str, int | None],
    ends_at: Cursor | None,
) -> Response:
    """Return a part of a list: ``items``, JSON texts, under ``name``, and how many the whole list has.

    ``part`` says which part it is, as it was asked for; ``ends_at`` is where it ends if more follow, else None.
    """
    around = {"total": total, **part, "has_more": ends_at is not None, "next_cursor": ends_at and ends_at.encode()}
    return text_response(f'{{"{name}":[{",".join(items)}],{json.dumps(around)[1:]}')
