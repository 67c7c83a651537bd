"""Errors as RFC 9457 problem documents, whatever raised them.

A problem names the parameter or the thing and says what to do; it never holds a stack trace, SQL, or the value sent.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NotRequired, TypedDict, cast
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from shared.errors import TransientError, VedetteError

logger = logging.getLogger(__name__)

PROBLEM_MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:vedette:problem:"
MAX_NAMED_ERRORS = 20
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_READ_AS = {"HEAD": "GET"}
"""Methods that the application answers as another (see ``app.py``)."""


class FieldError(TypedDict):
    """One parameter that is not right."""

    parameter: str
    location: str
    message: str


class ProblemDocument(BaseModel):
    """What every error response holds (RFC 9457)."""

    type: str = Field(description="What kind of problem it is: stable, to switch on.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path that was asked for.")
    errors: list[dict[str, str]] | None = Field(
        default=None, description="Per parameter: `parameter`, `location` (query, path, body, header) and `message`."
    )


class Problem(HTTPException):
    """An error answer on purpose; raise it from a route, a dependency, or while a body is read.

    An ``HTTPException``, because FastAPI turns everything else that is raised while it reads a body into a 400.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.status = status
        self.kind = kind
        self.errors = tuple(errors)


def invalid_parameter(parameter: str, message: str, *, location: str = "query") -> Problem:
    """Return the 422 for one parameter."""
    error = FieldError(parameter=parameter, location=location, message=message)
    return Problem(422, "invalid-parameter", f"{parameter}: {message}", errors=[error])


def problem_response(request: Request, problem: Problem) -> Response:
    """Return ``problem`` as the answer to ``request``."""
    status = HTTPStatus(problem.status)
    document: dict[str, Any] = {
        "type": TYPE_PREFIX + problem.kind,
        "title": status.phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": quote(request.url.path),
    }
    if problem.errors:
        document["errors"] = list(problem.errors)
    headers = {"Cache-Control": "no-store", **(problem.headers or {})}
    return Response(json.dumps(document), problem.status, headers=headers, media_type=PROBLEM_MEDIA_TYPE)


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of ``app`` a problem document."""
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)


async def _on_problem(request: Request, error: Exception) -> Response:
    return problem_response(request, cast("Problem", error))


async def _on_http_error(request: Request, error: Exception) -> Response:
    error = cast("HTTPException", error)
    kind, detail = {
        400: ("unreadable-body", "The body cannot be read as JSON."),
        404: (
            "not-found",
            f"There is nothing at this address. The API is described at {request.scope['root_path']}/docs.",
        ),
        405: (
            "method-not-allowed",
            f"This address does not take {request.method}; the Allow header says what it takes.",
        ),
    }.get(error.status_code, ("http-error", HTTPStatus(error.status_code).phrase))
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(allowed_methods(request))
    return problem_response(request, Problem(error.status_code, kind, detail, headers=headers))


def name_fixed_paths(app: FastAPI) -> None:
    """Note which addresses ``app`` names without a placeholder, and what they take; call it after the last route."""
    taken: dict[str, set[str]] = {}
    for context in iter_route_contexts(app.routes):
        path, methods = getattr(context, "path", None), getattr(context, "methods", None)
        if isinstance(path, str) and methods and "{" not in path:
            taken.setdefault(path, set()).update(methods)
    app.state.fixed_paths = {
        path: [method for method in _METHODS if _READ_AS.get(method, method) in methods]
        for path, methods in taken.items()
    }


def fixed_methods(request: Request) -> list[str] | None:
    """Return what the request's address takes where a route names it without a placeholder; None where none does."""
    path: str = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    fixed: Mapping[str, list[str]] = request.app.state.fixed_paths
    return fixed.get(path)


def allowed_methods(request: Request) -> list[str]:
    """Return every method that any route at the request's path takes."""
    fixed = fixed_methods(request)
    if fixed is not None:
        return fixed
    routes: Sequence[BaseRoute] = request.app.routes
    return [
        method
        for method in _METHODS
        if any(_takes(route, request.scope, _READ_AS.get(method, method)) for route in routes)
    ]


def _takes(route: BaseRoute, scope: Mapping[str, Any], method: str) -> bool:
    return route.matches({**scope, "method": method})[0] is Match.FULL


async def _on_validation_error(request: Request, error: Exception) -> Response:
    reports = cast("Sequence[_Report]", cast("RequestValidationError", error).errors())
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    errors = [_field_error(report, media_type) for report in reports[:MAX_NAMED_ERRORS]]
    detail = "; ".join(f"{field['parameter']}: {field['message']}" for field in errors)
    return problem_response(request, Problem(422, "invalid-parameter", detail, errors=errors))


async def _on_vedette_error(request: Request, error: Exception) -> Response:
    if isinstance(error, TransientError):
        logger.warning("cannot answer %s for now: %s", _route(request), error)
        detail = "Something this answer needs is away for now; the same request may work in a moment."
        return problem_response(request, Problem(503, "unavailable", detail, headers={"Retry-After": "5"}))
    return await _on_unexpected_error(request, error)


async def _on_unexpected_error(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, _route(request), exc_info=error)
    detail = "The server failed to answer; the failure is in its log under the time of this response."
    return problem_response(request, Problem(500, "internal-error", detail))


def _route(request: Request) -> str:
    """Return the path as it is described: the one that was asked for may hold a plate, which is not for a log."""
    return getattr(request.scope.get("route"), "path", "an unknown path")


class _Report(TypedDict):
    type: str
    loc: tuple[str | int, ...]
    msg: str
    ctx: NotRequired[dict[str, Any]]


def _field_error(report: _Report, media_type: str) -> FieldError:
    location, *path = report["loc"] or ("request",)
    if report["type"] == "model_attributes_type" and not path:
        return FieldError(parameter="body", location="body", message=_not_an_object(media_type))
    if report["type"] == "json_invalid":
        return FieldError(parameter="body", location="body", message="is not JSON")
    message = report["msg"].removeprefix("Value error, ").strip()
    if report["type"] == "extra_forbidden":
        message = "there is no such parameter"
    name = ".".join(str(part) for part in path)[:100] or str(location)
    return FieldError(parameter=name, location=str(location), message=message)


def _not_an_object(media_type: str) -> str:
    """Say why a body was not taken for the JSON object that it should be."""
    if media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json")):
        return "must be a JSON object"
    return "must be JSON, sent with the header Content-Type: application/json"


_HANDLERS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    Problem: _on_problem,
    HTTPException: _on_http_error,
    RequestValidationError: _on_validation_error,
    VedetteError: _on_vedette_error,
    Exception: _on_unexpected_error,
}
