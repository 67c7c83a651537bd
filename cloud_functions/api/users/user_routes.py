"""Routes of user administration."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query
from starlette.responses import Response

from cloud_functions.api.dependencies import Deps
from cloud_functions.api.http.envelope import envelope_response, error_description, page_response
from cloud_functions.api.http.problems import invalid_parameter
from cloud_functions.api.http.responses import NO_STORE
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.audit.request_audit import record_details
from cloud_functions.api.security.passwords import hash_password
from cloud_functions.api.security.permissions import Principal, require
from cloud_functions.api.security.roles import permissions_of
from cloud_functions.api.users.admin_requests import (
    NewUserRequest,
    UserListParameters,
    UserPatch,
    UserRef,
    UserRequest,
)
from cloud_functions.api.users.admin_responses import (
    CreatedUserEnvelope,
    DeletedEnvelope,
    ResetEnvelope,
    UserEnvelope,
    UserListEnvelope,
    listed_user_content,
)
from cloud_functions.api.users.administration import (
    RESET_LIFETIME,
    change_user,
    existing_groups,
    locked_user,
    name_taken,
    new_reset_token,
    remove_user,
    require_not_more,
    user_not_found,
)
from cloud_functions.db.types import Connection
from cloud_functions.db.users.accounts import (
    NewUser,
    User,
    UserTakenError,
    create_user,
    find_user,
    find_user_by_ref,
    list_users,
    set_active,
    set_password,
)
from cloud_functions.db.users.refresh_tokens import revoke_user_tokens
from shared.ids import Uuid7Generator

router = APIRouter(prefix="/users", tags=["Administration"], route_class=StrictRoute)
_READ = Depends(require("users:read"))
Writer = Annotated[Principal, Depends(require("users:write"))]
_new_id = Uuid7Generator()

_REFUSED: dict[int | str, dict[str, Any]] = {
    403: error_description("The caller lacks a permission, or one that the user has or gets."),
    409: error_description("The name or email is in use (`name-taken`), or no admin would remain (`last-admin`)."),
}


@router.get("", name="list_users", response_model=UserListEnvelope, dependencies=[_READ], summary="List users")
async def get_users(deps: Deps, params: Annotated[UserListParameters, Query()]) -> Response:
    """One page of the users that meet every condition, sorted by username."""
    users, total = await deps.database.run(
        lambda connection: list_users(connection, params.user_filter(), limit=params.page_size, offset=params.offset)
    )
    return page_response([listed_user_content(user) for user in users], page=params, total=total, headers=NO_STORE)


@router.post(
    "",
    name="create_user",
    status_code=201,
    response_model=CreatedUserEnvelope,
    responses=_REFUSED,
    summary="Create a user",
)
async def post_user(deps: Deps, principal: Writer, body: Annotated[NewUserRequest, Body()]) -> Response:
    """Create a user. Without a password, the response has a token with which the user chooses one within 24 hours."""
    require_not_more(principal, permissions_of(body.role))
    record_details(username=body.username, role=body.role, groups=body.groups)
    password = secrets.token_urlsafe() if body.password is None else body.password.get_secret_value()
    password_hash = await deps.thread_pool.run(lambda: hash_password(password))

    def write(connection: Connection) -> tuple[User, str | None]:
        user = NewUser(
            id=_new_id(),
            username=body.username,
            email=body.email,
            role=body.role,
            groups=existing_groups(connection, body.groups),
            password_hash=password_hash,
        )
        try:
            create_user(connection, user)
        except UserTakenError:
            raise name_taken() from None
        if not body.is_active:
            set_active(connection, user.id, is_active=False)
        token = new_reset_token(connection, user.id) if body.password is None else None
        return _existing(find_user(connection, user.id)), token

    user, token = await deps.database.run(write)
    return envelope_response(listed_user_content(user) | {"reset_token": token}, status=201, headers=NO_STORE)


@router.get("/{user}", name="get_user", response_model=UserEnvelope, dependencies=[_READ], summary="Get a user")
async def get_user(deps: Deps, ref: UserRef) -> Response:
    """The user with this id or username."""
    user = await deps.database.run(lambda connection: find_user_by_ref(connection, ref))
    return _user_response(_existing(user))


@router.put("/{user}", name="replace_user", response_model=UserEnvelope, responses=_REFUSED, summary="Replace a user")
async def put_user(deps: Deps, principal: Writer, ref: UserRef, body: Annotated[UserRequest, Body()]) -> Response:
    """Replace email, role, groups and state, and end the user's sessions. The password stays."""

    def write(connection: Connection) -> User:
        stored = locked_user(connection, ref)
        if (body.username or stored.username).lower() != stored.username.lower():
            raise invalid_parameter("username", "cannot be changed", location="body")
        fields = replace(body.fields(), groups=existing_groups(connection, body.groups))
        return change_user(connection, principal, stored, fields)

    record_details(**body.model_dump(include={"role", "groups", "is_active"}))
    return _user_response(await deps.database.run(write))


@router.patch("/{user}", name="change_user", response_model=UserEnvelope, responses=_REFUSED, summary="Change a user")
async def patch_user(deps: Deps, principal: Writer, ref: UserRef, body: Annotated[UserPatch, Body()]) -> Response:
    """Change the given fields, for example `{"is_active": false}`, and end the user's sessions."""

    def write(connection: Connection) -> User:
        stored = locked_user(connection, ref)
        fields = body.fields(stored)
        if body.groups is not None:
            fields = replace(fields, groups=existing_groups(connection, body.groups))
        return change_user(connection, principal, stored, fields)

    record_details(**body.model_dump(include={"role", "groups", "is_active"}, exclude_unset=True))
    return _user_response(await deps.database.run(write))


@router.delete(
    "/{user}", name="delete_user", response_model=DeletedEnvelope, responses=_REFUSED, summary="Delete a user"
)
async def remove(deps: Deps, principal: Writer, ref: UserRef) -> Response:
    """Delete the user and end the user's sessions."""

    def write(connection: Connection) -> User:
        stored = locked_user(connection, ref)
        remove_user(connection, principal, stored)
        return stored

    user = await deps.database.run(write)
    return envelope_response({"id": str(user.id), "message": f"User {user.username} deleted."})


@router.post(
    "/{user}/reset-password",
    name="reset_user",
    response_model=ResetEnvelope,
    responses=_REFUSED,
    summary="Reset a user's password",
)
async def reset(deps: Deps, principal: Writer, ref: UserRef) -> Response:
    """Make the user's password invalid and end the user's sessions.

    The response has a token with which the user chooses a new password within 24 hours.
    """
    unknown = secrets.token_urlsafe()
    password_hash = await deps.thread_pool.run(lambda: hash_password(unknown))

    def write(connection: Connection) -> str:
        stored = locked_user(connection, ref)
        require_not_more(principal, permissions_of(stored.role))
        set_password(connection, stored.id, password_hash)
        revoke_user_tokens(connection, stored.id)
        return new_reset_token(connection, stored.id)

    token = await deps.database.run(write)
    content = {"reset_token": token, "expires_in": int(RESET_LIFETIME.total_seconds())}
    return envelope_response(content, headers=NO_STORE)


def _user_response(user: User) -> Response:
    return envelope_response(listed_user_content(user), headers=NO_STORE)


def _existing(user: User | None) -> User:
    if user is None:
        raise user_not_found()
    return user
