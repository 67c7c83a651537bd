"""The route class of the whole API: it refuses what a route does not declare, before the route sees the request.

FastAPI ignores query parameters that no route declares, takes the last of two equal keys in a JSON body, reads a body
of any size, and takes another route's name for a placeholder's value. Here an unknown or repeated query parameter and a
repeated JSON key are a 422, a body beyond ``MAX_BODY_BYTES`` is a 413, and ``DELETE /events/recent`` is a 405. What a
route declares is read from its own signature, so there is no list to keep.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from cloud_functions.api.http.problems import MAX_NAMED_ERRORS, FieldError, Problem, fixed_methods, invalid_parameter

MAX_BODY_BYTES = 6 * 1024 * 1024
"""Largest request body; the same as Lambda's limit for a request, so that a server and a Lambda take the same."""
MAX_DISCARDED_BYTES = 32 * 1024 * 1024
"""How much of a body that is too large is read and thrown away before it is refused. A server that closes a connection
on which it has not read everything makes the client see a reset instead of the answer (RFC 9112, section 9.6)."""
_MAX_NAME = 100


class StrictRequest(Request):
    """A request whose body is bounded and whose JSON objects name each key once."""

    _content: bytes | None = None

    async def body(self) -> bytes:
        """Return the body; raise the 413 Problem where it is too large, without keeping it in memory."""
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
        """Return the parsed body; raise the 422 Problem where an object has two equal keys."""
        return json.loads(await self.body(), object_pairs_hook=_object)


class StrictRoute(APIRoute):
    """A route that takes only the query parameters it declares, each once."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        declared = declared_query_names(self)
        has_placeholder = bool(self.param_convertors)

        async def handle(request: Request) -> Response:
            # "/events/{event}" is not the address "/events/recent": what that does not take is a 405 there.
            if has_placeholder and fixed_methods(request) is not None:
                raise HTTPException(405)
            _check_query(request, declared)
            return await handler(StrictRequest(request.scope, request.receive))

        return handle


def declared_query_names(route: APIRoute) -> frozenset[str]:
    """Return the names of the query parameters that a route and its dependencies declare."""
    return frozenset(_names(route.dependant))


def _names(dependant: Any) -> Iterator[str]:
    for parameter in dependant.query_params:
        annotation = parameter.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from (field.alias or name for name, field in annotation.model_fields.items())
        else:
            yield parameter.alias
    for inner in dependant.dependencies:
        yield from _names(inner)


def _check_query(request: Request, declared: frozenset[str]) -> None:
    seen: set[str] = set()
    unknown: dict[str, None] = {}
    for name, _ in request.query_params.multi_items():
        if name in seen:
            raise invalid_parameter(name[:_MAX_NAME], "was given more than once")
        seen.add(name)
        if name not in declared:
            unknown[name[:_MAX_NAME]] = None
    if unknown:
        raise _unknown(list(unknown)[:MAX_NAMED_ERRORS])


def _unknown(names: list[str]) -> Problem:
    message = "there is no such parameter"
    errors = [FieldError(parameter=name, location="query", message=message) for name in names]
    return Problem(422, "invalid-parameter", "; ".join(f"{name}: {message}" for name in names), errors=errors)


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise invalid_parameter(key[:_MAX_NAME], "was given more than once", location="body")
        made[key] = value
    return made


def _too_large() -> Problem:
    return Problem(413, "body-too-large", f"The body is larger than {MAX_BODY_BYTES} bytes; send less at a time.")
