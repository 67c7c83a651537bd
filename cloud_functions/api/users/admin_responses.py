"""Response models of the administration of users and API keys."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from cloud_functions.api.http.envelope import EmptyMeta, PageMeta
from cloud_functions.api.users.responses import UserContent, user_content
from cloud_functions.db.users.accounts import User
from cloud_functions.db.users.api_keys import ListedKey
from shared.clock import format_utc


class UserResponse(UserContent):
    """One user, for an administrator."""

    is_active: bool = Field(description="Whether the user may log in.")
    created_at: str
    last_login: str | None


class CreatedUser(UserResponse):
    """A user that was just created."""

    reset_token: str | None = Field(
        description="With it the user chooses a password: `POST /api/auth/reset-password`. null if the request had one."
    )


class ResetToken(BaseModel):
    """The token with which a user chooses a password."""

    reset_token: str = Field(description="For `POST /api/auth/reset-password`, once.")
    expires_in: int = Field(description="Seconds for which the token is valid.")


class KeyResponse(BaseModel):
    """One API key. Its text is returned only when it is created."""

    id: str
    prefix: str = Field(description="The eight characters after `vdk_`. They identify the key and are no secret.")
    name: str
    scopes: list[str]
    groups: list[str] | None = Field(description="Camera groups that the key is limited to; null for no limit.")
    created_at: str
    expires_at: str | None
    last_used: str | None = Field(description="At most a minute old.")
    revoked_at: str | None


class CreatedKey(KeyResponse):
    """An API key that was just created."""

    key: str = Field(description="The key. It is stored nowhere and not shown again.")


class Deleted(BaseModel):
    """What was deleted or revoked."""

    id: str
    message: str


class UserEnvelope(BaseModel):
    """One user in the envelope."""

    success: Literal[True]
    data: UserResponse
    meta: EmptyMeta


class CreatedUserEnvelope(BaseModel):
    """A new user in the envelope."""

    success: Literal[True]
    data: CreatedUser
    meta: EmptyMeta


class UserListEnvelope(BaseModel):
    """One page of users in the envelope."""

    success: Literal[True]
    data: list[UserResponse]
    meta: PageMeta


class ResetEnvelope(BaseModel):
    """A reset token in the envelope."""

    success: Literal[True]
    data: ResetToken
    meta: EmptyMeta


class CreatedKeyEnvelope(BaseModel):
    """A new API key in the envelope."""

    success: Literal[True]
    data: CreatedKey
    meta: EmptyMeta


class KeyListEnvelope(BaseModel):
    """One page of API keys in the envelope."""

    success: Literal[True]
    data: list[KeyResponse]
    meta: PageMeta


class DeletedEnvelope(BaseModel):
    """Result of a deletion in the envelope."""

    success: Literal[True]
    data: Deleted
    meta: EmptyMeta


def listed_user_content(user: User) -> dict[str, Any]:
    """Return a user in the form of ``UserResponse``."""
    return user_content(user) | {
        "is_active": user.is_active,
        "created_at": format_utc(user.created_at),
        "last_login": None if user.last_login is None else format_utc(user.last_login),
    }


def key_content(key: ListedKey) -> dict[str, Any]:
    """Return a key in the form of ``KeyResponse``."""
    times = {name: getattr(key, name) for name in ("created_at", "expires_at", "last_used", "revoked_at")}
    return {
        "id": str(key.id),
        "prefix": key.prefix,
        "name": key.name,
        "scopes": key.scopes,
        "groups": key.groups,
    } | {name: None if time is None else format_utc(time) for name, time in times.items()}
