"""``POST /auth/login``: the log-in whose response is in the envelope."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from starlette.responses import Response

from cloud_functions.api.dependencies import Deps
from cloud_functions.api.http.envelope import envelope_response, error_description
from cloud_functions.api.http.responses import NO_STORE
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.users.requests import LoginRequest
from cloud_functions.api.users.responses import LoginEnvelope, login_content
from cloud_functions.api.users.sessions import log_in

router = APIRouter(prefix="/auth/login", tags=["Users"], route_class=StrictRoute)

_RESPONSES: dict[int | str, dict[str, Any]] = {
    401: error_description("The user does not exist, is disabled, or the password is wrong (`invalid-credentials`)."),
    404: error_description("There are no log-ins (`users-not-enabled`)."),
    429: error_description("Too many attempts (`too-many-attempts`). Retry after `Retry-After`."),
}


@router.post("", name="login", response_model=LoginEnvelope, responses=_RESPONSES, summary="Log in (envelope)")
async def post_login(deps: Deps, request: Request, body: Annotated[LoginRequest, Body()]) -> Response:
    """Log in with username or email and password. The response holds the tokens and the user."""
    session = await log_in(deps, request, login=body.login, password=body.password.get_secret_value())
    return envelope_response(login_content(session), headers=NO_STORE)
