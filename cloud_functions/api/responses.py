"""JSON responses: of an object, of text that is JSON already, of a part of a list."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import Response

from cloud_functions.api.cursor import Cursor
from cloud_functions.api.errors import Problem
from cloud_functions.api.resources import Limits


def json_response(content: Mapping[str, Any], *, status: int = 200) -> Response:
    """Return an object as it is."""
    return Response(json.dumps(content), status, media_type="application/json")


def text_response(text: str, limits: Limits) -> Response:
    """Return JSON text; raise the Problem that asks for less where it does not fit into one response."""
    body = text.encode()
    if limits.export_bytes is not None and len(body) > limits.export_bytes:
        raise Problem(422, "answer-too-large", "These are too large for one answer; ask for fewer at a time.")
    return Response(body, media_type="application/json")


def list_response(
    name: str,
    items: Iterable[str],
    *,
    total: int,
    part: Mapping[str, int | None],
    ends_at: Cursor | None,
    limits: Limits,
) -> Response:
    """Return a part of a list: ``items``, JSON texts, under ``name``, and how many the whole list has.

    ``part`` says which part it is, as it was asked for; ``ends_at`` is where it ends if more follow, else None.
    """
    around = {"total": total, **part, "has_more": ends_at is not None, "next_cursor": ends_at and ends_at.encode()}
    return text_response(f'{{"{name}":[{",".join(items)}],{json.dumps(around)[1:]}', limits)
