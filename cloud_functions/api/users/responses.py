"""Response models of log-ins and accounts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from cloud_functions.api.http.envelope import EmptyMeta
from cloud_functions.api.security.permissions import Principal
from cloud_functions.api.security.roles import ROLES, permissions_of
from cloud_functions.api.security.session_cookie import LogIn
from cloud_functions.api.users.sessions import Session
from cloud_functions.db.users.accounts import User


class TokenResponse(BaseModel):
    """The tokens of a session."""

    access_token: str = Field(description="Send it as `Authorization: Bearer TOKEN`.")
    refresh_token: str = Field(description="Returns new tokens, once: `POST /api/auth/refresh`.")
    token_type: Literal["bearer"]
    expires_in: int = Field(description="Seconds for which the access token is valid.")


class UserContent(BaseModel):
    """One user."""

    id: str
    username: str
    email: str | None
    role: str
    groups: list[str] | None = Field(description="Camera groups that the user is limited to; null for no limit.")
    permissions: list[str]


class LoginData(BaseModel):
    """The tokens of a session, and its user."""

    accessToken: str = Field(description="Send it as `Authorization: Bearer TOKEN`.")  # noqa: N815
    refreshToken: str = Field(description="Returns new tokens, once: `POST /api/auth/refresh`.")  # noqa: N815
    tokenType: Literal["bearer"]  # noqa: N815
    expiresIn: int = Field(description="Seconds for which the access token is valid.")  # noqa: N815
    user: UserContent


class LoginEnvelope(BaseModel):
    """Response to a log-in, in the envelope."""

    success: Literal[True]
    data: LoginData
    meta: EmptyMeta


class MeResponse(BaseModel):
    """The caller."""

    kind: Literal["user", "api_key", "anonymous"]
    name: str = Field(description="Username, or the name of the API key.")
    permissions: list[str]
    user: UserContent | None = Field(description="The user; null for an API key and for an anonymous caller.")


class SessionResponse(BaseModel):
    """The caller of the dashboard."""

    kind: Literal["user", "api_key", "anonymous"]
    name: str
    role: str | None = Field(description="The role whose permissions the caller has; null if no role has just these.")
    permissions: list[str]
    log_in: Literal["available", "https-required", "none"] = Field(
        description="Whether a session can begin: `https-required` on plain http from another machine; `none` where a"
        " gateway authorizes callers."
    )


class MessageResponse(BaseModel):
    """What was done."""

    message: str


def token_content(session: Session) -> dict[str, Any]:
    """Return the JSON object of ``TokenResponse``."""
    return {
        "access_token": session.access_token,
        "refresh_token": session.refresh_token,
        "token_type": "bearer",
        "expires_in": session.expires_in_s,
    }


def login_content(session: Session) -> dict[str, Any]:
    """Return the JSON object of ``LoginData``."""
    return {
        "accessToken": session.access_token,
        "refreshToken": session.refresh_token,
        "tokenType": "bearer",
        "expiresIn": session.expires_in_s,
        "user": user_content(session.user),
    }


def me_content(principal: Principal, user: User | None) -> dict[str, Any]:
    """Return the JSON object of ``MeResponse``."""
    return {
        "kind": principal.kind,
        "name": principal.name,
        "permissions": sorted(principal.permissions),
        "user": None if user is None else user_content(user),
    }


def session_content(principal: Principal, *, log_in: LogIn | Literal["none"]) -> dict[str, Any]:
    """Return the JSON object of ``SessionResponse``."""
    roles = (role for role, permissions in ROLES.items() if permissions == principal.permissions)
    return {
        "kind": principal.kind,
        "name": principal.name,
        "role": next(roles, None),
        "permissions": sorted(principal.permissions),
        "log_in": log_in,
    }


def user_content(user: User) -> dict[str, Any]:
    """Return the JSON object of a user. It holds no hash."""
    return {
        "id": str(user.id),
        "username": user.username,
        "email": user.email,
        "role": user.role,
        "groups": user.groups,
        "permissions": sorted(permissions_of(user.role)),
    }
