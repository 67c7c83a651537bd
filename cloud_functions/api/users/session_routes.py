"""``/session``: log-in, log-out and the caller of the dashboard, which is a page of this API in a browser.

The token of a session is in a cookie that scripts cannot read. Programs use ``/auth`` instead.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Body, Request
from starlette.responses import JSONResponse, Response

from cloud_functions.api.dependencies import Dependencies, Deps
from cloud_functions.api.http.problems import Problem, problem_description
from cloud_functions.api.http.responses import NO_STORE
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import Principal
from cloud_functions.api.security.session_cookie import (
    LogIn,
    delete_session_cookie,
    is_same_origin,
    log_in_state,
    session_token,
    set_session_cookie,
)
from cloud_functions.api.security.user_authorizer import principal_of
from cloud_functions.api.users.requests import LoginRequest
from cloud_functions.api.users.responses import MessageResponse, SessionResponse, session_content
from cloud_functions.api.users.web_sessions import begin_web_session, end_web_session

router = APIRouter(prefix="/session", tags=["Users"], route_class=StrictRoute)

_NOBODY: Final = Principal(name="anonymous", permissions=frozenset())
_OTHER_SITE: Final[dict[int | str, dict[str, Any]]] = {
    403: problem_description(
        "The request does not come from a page of this API (`foreign-origin`), or a log-in would send the cookie over"
        " plain http to another machine (`https-required`)."
    )
}
_BEGIN: Final[dict[int | str, dict[str, Any]]] = {
    401: problem_description("The user does not exist, is disabled, or the password is wrong (`invalid-credentials`)."),
    404: problem_description("There are no log-ins (`users-not-enabled`)."),
    429: problem_description("Too many attempts (`too-many-attempts`). Retry after `Retry-After`."),
}


@router.get("", name="get_session", response_model=SessionResponse, summary="Get the caller of the dashboard")
async def get_session(deps: Deps, request: Request) -> Response:
    """Who the caller is, what the caller may do, and whether a log-in is possible. A session that ended is forgotten.

    A caller without a session, where anonymous callers have no role, has no permissions; the response is no error.
    """
    principal = await _principal(deps, request)
    ended = principal is None and session_token(request) is not None
    if ended:
        principal = await _principal(deps, _without_cookies(request))
    response = JSONResponse(session_content(principal or _NOBODY, log_in=_log_in(deps, request)), headers=NO_STORE)
    if ended:
        delete_session_cookie(request, response)
    return response


@router.post(
    "", name="begin_session", response_model=SessionResponse, responses=_BEGIN | _OTHER_SITE, summary="Begin a session"
)
async def post_session(deps: Deps, request: Request, body: Annotated[LoginRequest, Body()]) -> Response:
    """Log in with username or email and password, and set the session cookie, for 7 days.

    Only a page of this API may do this: the request must have `Sec-Fetch-Site: same-origin`, or its `Origin`.
    """
    _require_same_origin(request)
    if _log_in(deps, request) == "https-required":
        detail = "Logging in needs https, except on the machine of the API itself. See SESSION_OVER_HTTP."
        raise Problem(403, "https-required", detail)
    user, token = await begin_web_session(deps, request, login=body.login, password=body.password.get_secret_value())
    response = JSONResponse(session_content(principal_of(user), log_in=_log_in(deps, request)), headers=NO_STORE)
    set_session_cookie(request, response, token)
    return response


@router.delete("", name="end_session", response_model=MessageResponse, responses=_OTHER_SITE, summary="End the session")
async def delete_session(deps: Deps, request: Request) -> Response:
    """Log out: end the session of the cookie, if there is one, and delete the cookie."""
    _require_same_origin(request)
    token = session_token(request)
    if token is not None and deps.tokens is not None:
        await end_web_session(deps, token)
    response = JSONResponse({"message": "Logged out"}, headers=NO_STORE)
    delete_session_cookie(request, response)
    return response


async def _principal(deps: Dependencies, request: Request) -> Principal | None:
    """Return the caller; None for a caller who is not known and has no role."""
    try:
        return await deps.authorizer.authorize(request, "account:read")
    except Problem as problem:
        if problem.status in (401, 403):
            return None
        raise


def _log_in(deps: Dependencies, request: Request) -> LogIn | Literal["none"]:
    return "none" if deps.tokens is None else log_in_state(request, over_http=deps.session_over_http)


def _require_same_origin(request: Request) -> None:
    if not is_same_origin(request):
        detail = "Only a page of this API may use sessions. Programs log in with POST /api/auth/login-json."
        raise Problem(403, "foreign-origin", detail)


def _without_cookies(request: Request) -> Request:
    headers = [(name, value) for name, value in request.scope["headers"] if name != b"cookie"]
    return Request({**request.scope, "headers": headers}, request.receive)
