"""The route class of the API: it rejects what a route does not declare, before the route runs.

FastAPI ignores undeclared query parameters, uses the last of two equal keys in a JSON body, reads bodies of any size,
and matches the static path of another route as the value of a placeholder. ``StrictRoute`` returns 422 for an unknown
or repeated query parameter and for a repeated JSON key, 413 for a body larger than ``MAX_BODY_BYTES``, and 405 for
``DELETE /events/recent``. The declared parameters are read from the signature of the route.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from cloud_functions.api.http.problems import (
    MAX_REPORTED_ERRORS,
    UNKNOWN_PARAMETER,
    FieldError,
    Problem,
    invalid_parameter,
    static_path_methods,
)

MAX_BODY_BYTES = 6 * 1024 * 1024
"""Maximum size of a request body. It equals Lambda's limit, so that a server accepts the same requests."""
MAX_DISCARDED_BYTES = 32 * 1024 * 1024
"""Maximum size of a body that is read and discarded before the 413 response. If a server closes a connection before it
has read the whole request, the client gets a connection reset instead of the response (RFC 9112, section 9.6)."""
MAX_KEYS = 500
"""Maximum number of keys of one JSON object. Each unknown key is an error of its own, and takes 50 µs of the server: a
body has room for 600,000, and a log-in needs no permission."""
MAX_KEYS_OF_BODY = 100_000
"""The same for all objects of a body together: 10,000 patterns of a watch-list have 60,000."""
_MAX_NAME = 100


class StrictRequest(Request):
    """A request with a size limit for its body, and whose JSON objects must not repeat a key."""

    _content: bytes | None = None

    async def body(self) -> bytes:
        """Return the body; raise the 413 Problem if it is too large, without keeping it in memory."""
        if self._content is None:
            length = self.headers.get("content-length", "")
            declared = int(length[:20]) if length.isascii() and length.isdecimal() else 0
            if declared > MAX_DISCARDED_BYTES:
                raise _too_large()
            chunks: list[bytes] = []
            size = 0
            async for chunk in self.stream():
                size += len(chunk)
                if size > MAX_DISCARDED_BYTES:
                    raise _too_large()
                if size <= MAX_BODY_BYTES:
                    chunks.append(chunk)
                else:
                    chunks.clear()
            if max(size, declared) > MAX_BODY_BYTES:
                raise _too_large()
            self._content = b"".join(chunks)
        return self._content

    async def json(self) -> Any:
        """Return the parsed body; raise the 422 Problem if an object repeats a key."""
        return json.loads(await self.body(), object_pairs_hook=_ObjectReader())


class StrictRoute(APIRoute):
    """A route that accepts only the query parameters it declares, each at most once."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        declared = declared_query_names(self)
        has_placeholder = bool(self.param_convertors)

        async def handle(request: Request) -> Response:
            # "/events/{event}" must not match "/events/recent": an unsupported method of that path is a 405.
            if has_placeholder and static_path_methods(request) is not None:
                raise HTTPException(405)
            _check_query(request, declared)
            return await handler(StrictRequest(request.scope, request.receive))

        return handle


def declared_query_names(route: APIRoute) -> frozenset[str]:
    """Return the names of all query parameters that a route and its dependencies declare."""
    return frozenset(_query_names(route.dependant))


def _query_names(dependant: Any) -> Iterator[str]:
    for parameter in dependant.query_params:
        annotation = parameter.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from (field.alias or name for name, field in annotation.model_fields.items())
        else:
            yield parameter.alias
    for inner in dependant.dependencies:
        yield from _query_names(inner)


def _check_query(request: Request, declared: frozenset[str]) -> None:
    seen: set[str] = set()
    unknown: dict[str, None] = {}
    for name, _ in request.query_params.multi_items():
        if name in seen:
            raise invalid_parameter(name[:_MAX_NAME], "is given more than once")
        seen.add(name)
        if name not in declared:
            unknown[name[:_MAX_NAME]] = None
    if unknown:
        raise _unknown_parameters(list(unknown)[:MAX_REPORTED_ERRORS])


def _unknown_parameters(names: list[str]) -> Problem:
    errors = [FieldError(parameter=name, location="query", message=UNKNOWN_PARAMETER) for name in names]
    return Problem(422, "invalid-parameter", "; ".join(f"{name}: {UNKNOWN_PARAMETER}" for name in names), errors=errors)


class _ObjectReader:
    """Makes the objects of one JSON body; raises the 422 Problem for a repeated key, and for too many keys."""

    def __init__(self) -> None:
        self._keys = 0

    def __call__(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        self._keys += len(pairs)
        if len(pairs) > MAX_KEYS:
            raise invalid_parameter("body", f"holds an object with more than {MAX_KEYS} keys", location="body")
        if self._keys > MAX_KEYS_OF_BODY:
            raise invalid_parameter("body", f"holds more than {MAX_KEYS_OF_BODY} keys", location="body")
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                raise invalid_parameter(key[:_MAX_NAME], "is given more than once", location="body")
            result[key] = value
        return result


def _too_large() -> Problem:
    detail = f"The body is larger than {MAX_BODY_BYTES} bytes. Split it into several requests."
    return Problem(413, "body-too-large", detail)
