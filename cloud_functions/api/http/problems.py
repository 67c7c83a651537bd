"""Error responses: every error becomes an RFC 9457 problem document, or an envelope on the paths of cameras.

A problem names the invalid parameter or resource and what to do. It never contains a stack trace, SQL, or the value
that the client sent.
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

from cloud_functions.api.http.envelope import error_envelope, uses_envelope
from cloud_functions.api.http.request_ids import REQUEST_ID_HEADER, request_id_of
from shared.errors import TransientError, VedetteError

logger = logging.getLogger(__name__)

PROBLEM_MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:vedette:problem:"
MAX_REPORTED_ERRORS = 20
UNKNOWN_PARAMETER = "unknown parameter"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_HANDLED_AS = {"HEAD": "GET"}
"""Methods that ``HttpSemanticsMiddleware`` replaces with another before routing."""


class FieldError(TypedDict):
    """One invalid parameter."""

    parameter: str
    location: str
    message: str


class ProblemDocument(BaseModel):
    """Body of every error response (RFC 9457)."""

    type: str = Field(description="URI of the problem type. It is stable: clients can compare it.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="Path of the request.")
    request_id: str = Field(description="Id of the request: also in `X-Request-ID` and in the server's log.")
    errors: list[dict[str, str]] | None = Field(
        default=None,
        description="Invalid parameters: `parameter`, `location` (query, path, body or header) and `message` of each.",
    )


class Problem(HTTPException):
    """An error response that a route, a dependency or the reading of a body raises.

    It is an ``HTTPException``, because FastAPI converts any other exception raised while it reads a body into a 400.
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
    """Return the 422 Problem for one invalid parameter."""
    error = FieldError(parameter=parameter, location=location, message=message)
    return Problem(422, "invalid-parameter", f"{parameter}: {message}", errors=[error])


def problem_response(request: Request, problem: Problem) -> Response:
    """Return the response for ``problem``: a problem document, or an envelope where the path has one."""
    request_id = request_id_of(request.scope)
    headers = {"Cache-Control": "no-store", REQUEST_ID_HEADER: request_id, **(problem.headers or {})}
    request.scope["vedette.problem"] = problem.kind
    if uses_envelope(request):
        body = error_envelope(code=problem.kind, message=problem.detail, details=problem.errors, request_id=request_id)
        return Response(json.dumps(body), problem.status, headers=headers, media_type="application/json")
    status = HTTPStatus(problem.status)
    document: dict[str, Any] = {
        "type": TYPE_PREFIX + problem.kind,
        "title": status.phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": quote(request.url.path),
        "request_id": request_id,
    }
    if problem.errors:
        document["errors"] = list(problem.errors)
    return Response(json.dumps(document), problem.status, headers=headers, media_type=PROBLEM_MEDIA_TYPE)


def problem_description(description: str) -> dict[str, Any]:
    """Return the OpenAPI description of a response that is a problem document."""
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {"description": description, "content": {PROBLEM_MEDIA_TYPE: {"schema": schema}}}


def install_error_handlers(app: FastAPI) -> None:
    """Register the handlers that turn every exception of ``app`` into a problem document."""
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)


async def _on_problem(request: Request, error: Exception) -> Response:
    return problem_response(request, cast("Problem", error))


async def _on_http_error(request: Request, error: Exception) -> Response:
    error = cast("HTTPException", error)
    kind, detail = {
        400: ("unreadable-body", "The body is not valid JSON."),
        404: (
            "not-found",
            f"This path does not exist. {request.scope['root_path']}/docs lists all paths.",
        ),
        405: (
            "method-not-allowed",
            f"This path does not support {request.method}. The Allow header lists the supported methods.",
        ),
    }.get(error.status_code, ("http-error", HTTPStatus(error.status_code).phrase))
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(allowed_methods(request))
    return problem_response(request, Problem(error.status_code, kind, detail, headers=headers))


def record_static_paths(app: FastAPI) -> None:
    """Record the methods of every path of ``app`` without placeholders. Call it after the last route was added."""
    methods_by_path: dict[str, set[str]] = {}
    for context in iter_route_contexts(app.routes):
        path, methods = getattr(context, "path", None), getattr(context, "methods", None)
        if isinstance(path, str) and methods and "{" not in path:
            methods_by_path.setdefault(path, set()).update(methods)
    app.state.static_paths = {
        path: [method for method in _METHODS if _HANDLED_AS.get(method, method) in methods]
        for path, methods in methods_by_path.items()
    }


def static_path_methods(request: Request) -> list[str] | None:
    """Return the methods of the request's path if a route has this exact path, else None."""
    path: str = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    static_paths: Mapping[str, list[str]] = request.app.state.static_paths
    return static_paths.get(path)


def allowed_methods(request: Request) -> list[str]:
    """Return all methods that any route supports for the request's path."""
    static = static_path_methods(request)
    if static is not None:
        return static
    routes: Sequence[BaseRoute] = request.app.routes
    return [
        method
        for method in _METHODS
        if any(_matches(route, request.scope, _HANDLED_AS.get(method, method)) for route in routes)
    ]


def _matches(route: BaseRoute, scope: Mapping[str, Any], method: str) -> bool:
    return route.matches({**scope, "method": method})[0] is Match.FULL


async def _on_validation_error(request: Request, error: Exception) -> Response:
    reports = cast("Sequence[_ValidationReport]", cast("RequestValidationError", error).errors())
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    errors = [_field_error(report, media_type) for report in reports[:MAX_REPORTED_ERRORS]]
    detail = "; ".join(f"{field['parameter']}: {field['message']}" for field in errors)
    return problem_response(request, Problem(422, "invalid-parameter", detail, errors=errors))


def field_errors(reports: Sequence[Any]) -> list[FieldError]:
    """Return pydantic's reports on a part of a body as field errors, at most ``MAX_REPORTED_ERRORS``."""
    located = ({**report, "loc": ("body", *report["loc"])} for report in reports[:MAX_REPORTED_ERRORS])
    return [_field_error(cast("_ValidationReport", report), "application/json") for report in located]


async def _on_vedette_error(request: Request, error: Exception) -> Response:
    if isinstance(error, TransientError):
        logger.warning("%s %s is temporarily unavailable: %s", request.method, _route(request), error)
        detail = "A service that this request needs is temporarily unavailable. Retry after the time in Retry-After."
        return problem_response(request, Problem(503, "unavailable", detail, headers={"Retry-After": "5"}))
    return await _on_unexpected_error(request, error)


async def _on_unexpected_error(request: Request, error: Exception) -> Response:
    request_id = request_id_of(request.scope)
    logger.error("%s %s failed (request %s)", request.method, _route(request), request_id, exc_info=error)
    detail = "The request failed because of an internal error. The server log has the details."
    return problem_response(request, Problem(500, "internal-error", detail))


def _route(request: Request) -> str:
    """Return the path template: the actual path may contain a plate, which must not be logged."""
    return getattr(request.scope.get("route"), "path", "unknown path")


class _ValidationReport(TypedDict):
    type: str
    loc: tuple[str | int, ...]
    msg: str
    ctx: NotRequired[dict[str, Any]]


def _field_error(report: _ValidationReport, media_type: str) -> FieldError:
    location, *path = report["loc"] or ("request",)
    if report["type"] == "model_attributes_type" and not path:
        return FieldError(parameter="body", location="body", message=_not_an_object(media_type))
    if report["type"] == "json_invalid":
        return FieldError(parameter="body", location="body", message="is not valid JSON")
    message = report["msg"].removeprefix("Value error, ").strip()
    if report["type"] == "extra_forbidden":
        message = UNKNOWN_PARAMETER
    name = ".".join(str(part) for part in path)[:100] or str(location)
    return FieldError(parameter=name, location=str(location), message=message)


def _not_an_object(media_type: str) -> str:
    """Return why a body was not accepted as a JSON object."""
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


def on_hold(what: str, holds: Sequence[str]) -> Problem:
    """Return the 409 Problem for the deletion of an event or a snapshot that legal holds with these names protect."""
    names = ", ".join(f'"{name}"' for name in holds)
    return Problem(409, "on-hold", f"The {what} is under legal hold ({names}). Release the hold first.")
