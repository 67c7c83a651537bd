"""Routes of sessions and of the caller's own account."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request
from starlette.responses import JSONResponse, Response

from cloud_functions.api.dependencies import Deps
from cloud_functions.api.http.problems import Problem, problem_description
from cloud_functions.api.http.responses import NO_STORE
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import Principal, require
from cloud_functions.api.users.admin_requests import ResetRequest
from cloud_functions.api.users.requests import LoginRequest, PasswordRequest, RefreshRequest
from cloud_functions.api.users.responses import MeResponse, MessageResponse, TokenResponse, me_content, token_content
from cloud_functions.api.users.sessions import change_password, log_in, log_out, refresh, use_reset_token
from cloud_functions.db.users.accounts import find_user

router = APIRouter(prefix="/auth", tags=["Users"], route_class=StrictRoute)

_NO_LOGINS: dict[int | str, dict[str, Any]] = {404: problem_description("There are no log-ins (`users-not-enabled`).")}
_WRONG_PASSWORD: dict[int | str, dict[str, Any]] = {
    401: problem_description("The user does not exist, is disabled, or the password is wrong (`invalid-credentials`)."),
    429: problem_description("Too many attempts (`too-many-attempts`). Retry after `Retry-After`."),
}
_WRONG_TOKEN: dict[int | str, dict[str, Any]] = {
    401: problem_description("The token is invalid, has expired, was used before or revoked (`invalid-refresh-token`).")
}


@router.post(
    "/login-json",
    name="login_json",
    response_model=TokenResponse,
    responses=_WRONG_PASSWORD | _NO_LOGINS,
    summary="Log in",
)
async def post_login_json(deps: Deps, request: Request, body: Annotated[LoginRequest, Body()]) -> Response:
    """Log in with username or email and password."""
    session = await log_in(deps, request, login=body.login, password=body.password.get_secret_value())
    return JSONResponse(token_content(session), headers=NO_STORE)


@router.post(
    "/refresh",
    name="refresh_session",
    response_model=TokenResponse,
    responses=_WRONG_TOKEN | _NO_LOGINS,
    summary="Refresh the tokens",
)
async def post_refresh(deps: Deps, body: Annotated[RefreshRequest, Body()]) -> Response:
    """Return new tokens. A refresh token is valid once; if it is used again, the session ends."""
    return JSONResponse(token_content(await refresh(deps, body.token)), headers=NO_STORE)


@router.post("/logout", name="logout", response_model=MessageResponse, responses=_NO_LOGINS, summary="Log out")
async def post_logout(deps: Deps, body: Annotated[RefreshRequest, Body()]) -> Response:
    """End the session of the refresh token. Its access token is invalid at once."""
    await log_out(deps, body.token)
    return JSONResponse({"message": "Logged out"}, headers=NO_STORE)


@router.post(
    "/reset-password",
    name="reset_password",
    response_model=MessageResponse,
    responses={401: problem_description("The token is invalid, has expired or was used (`invalid-reset-token`).")}
    | _NO_LOGINS,
    summary="Choose a password",
)
async def post_reset(deps: Deps, body: Annotated[ResetRequest, Body()]) -> Response:
    """Choose a password with the reset token of an administrator. All sessions of the user end."""
    await use_reset_token(deps, body.reset_token.get_secret_value(), new_password=body.new_password.get_secret_value())
    return JSONResponse({"message": "Password changed. Log in."}, headers=NO_STORE)


@router.get("/me", name="get_me", response_model=MeResponse, summary="Get the caller")
async def get_me(deps: Deps, principal: Annotated[Principal, Depends(require("account:read"))]) -> Response:
    """Who the caller is, and the caller's permissions."""
    user_id = principal.user_id
    user = None if user_id is None else await deps.database.run(lambda connection: find_user(connection, user_id))
    return JSONResponse(me_content(principal, user), headers=NO_STORE)


@router.put(
    "/password",
    name="change_password",
    response_model=MessageResponse,
    responses=_WRONG_PASSWORD,
    summary="Change the password",
)
async def put_password(
    deps: Deps,
    request: Request,
    principal: Annotated[Principal, Depends(require("account:write"))],
    body: Annotated[PasswordRequest, Body()],
) -> Response:
    """Replace the caller's password. All sessions of the user end: log in again."""
    if principal.user_id is None:
        raise Problem(403, "not-a-user", "Only a user has a password. Log in as a user to change it.")
    await change_password(
        deps,
        request,
        principal.user_id,
        current_password=body.current_password.get_secret_value(),
        new_password=body.new_password.get_secret_value(),
    )
    return JSONResponse({"message": "Password changed. Log in again."}, headers=NO_STORE)
