"""Request models of the administration of users and API keys."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StrictBool, model_validator

from cloud_functions.api.http.page_parameters import PageParameters
from cloud_functions.api.http.parameters import Segment, check_one_line, unique_name
from cloud_functions.api.security.passwords import MAX_PASSWORD, MIN_PASSWORD
from cloud_functions.api.security.permissions import PERMISSIONS
from cloud_functions.api.security.roles import Role, is_permission
from cloud_functions.api.security.user_authorizer import ALL_SCOPES
from cloud_functions.db.users.accounts import USERNAME, User, UserFields, UserFilter
from shared.ids import is_uuid

MAX_KEY_DAYS: Final = 3650
_MAX_GROUPS: Final = 100
READ_ONLY: Final = frozenset({"id", "permissions", "created_at", "last_login"})
"""Fields of a user that a request may repeat. They are ignored, so that a response can be edited and sent back."""


def _check_username(text: str) -> str:
    if not USERNAME.fullmatch(text):
        raise ValueError("must have letters, digits, dots, hyphens and underscores, and begin with a letter or digit")
    if is_uuid(text):
        raise ValueError("looks like an id; choose another one")
    return text


def _check_email(text: str) -> str:
    if not 1 <= text.find("@") < len(text) - 1 or text.count("@") != 1:
        raise ValueError("must be an email address")
    return check_one_line(text)


def _check_scope(text: str) -> str:
    if text != ALL_SCOPES and not is_permission(text):
        raise ValueError(f"must be {ALL_SCOPES} or one of {', '.join(PERMISSIONS)}")
    return text


Username = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_check_username)]
Email = Annotated[str, Field(min_length=3, max_length=254), AfterValidator(_check_email)]
Search = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(unique_name)]
GroupSlug = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(check_one_line)]
Groups = Annotated[list[GroupSlug], Field(min_length=1, max_length=_MAX_GROUPS)]
NewPassword = Annotated[SecretStr, Field(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD)]
UserRef = Annotated[Segment, Path(alias="user", description="A user's `id` or username.", examples=["ana"])]
KeyRef = Annotated[
    UUID, Path(alias="key", description="Id of the API key.", examples=["0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"])
]


class UserListParameters(PageParameters):
    """Parameters of ``GET /users``."""

    search: Search | None = Field(default=None, description="Part of the username or email, in any case.")
    role: Role | None = Field(default=None, description="Only users with this role.")
    is_active: bool | None = Field(default=None, description="Only users that may log in, or that may not.")

    def user_filter(self) -> UserFilter:
        """Return the conditions as a database filter."""
        return UserFilter(search=self.search, role=self.role, is_active=self.is_active)


class KeyListParameters(PageParameters):
    """Parameters of ``GET /api-keys``."""

    search: Search | None = Field(default=None, description="Part of the name, in any case.")


class _EditableBody(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_read_only(cls, body: Any) -> Any:
        return (
            {name: value for name, value in body.items() if name not in READ_ONLY} if isinstance(body, dict) else body
        )


class _UserBody(_EditableBody):
    email: Email | None = Field(default=None, description="Accepted in place of the username at a log-in.")
    role: Role = Field(description="What the user may do.", examples=["viewer"])
    groups: Groups | None = Field(
        default=None, description="Slugs of the camera groups to which the user is limited; null for no limit."
    )
    is_active: StrictBool = Field(default=True, description="Whether the user may log in.")


class NewUserRequest(_UserBody):
    """Body that creates a user."""

    username: Username = Field(description="Unique in any case of its letters.", examples=["ana"])
    password: NewPassword | None = Field(
        default=None,
        description=f"At least {MIN_PASSWORD} characters. Without it, the response has a `reset_token` with which the"
        " user chooses one.",
    )


class UserRequest(_UserBody):
    """Body that replaces a user. Omitted fields get their defaults; the password stays."""

    username: Username | None = Field(default=None, description="Cannot be changed; may be repeated.")

    def fields(self) -> UserFields:
        """Return what is stored."""
        return UserFields(email=self.email, role=self.role, groups=self.groups, is_active=self.is_active)


class UserPatch(_EditableBody):
    """Body that changes the given fields of a user."""

    email: Email | None = Field(default=None, description="null removes it.")
    role: Role | None = Field(default=None, description="What the user may do.")
    groups: Groups | None = Field(default=None, description="null removes the limit.")
    is_active: StrictBool | None = Field(default=None, description="Whether the user may log in.")

    @model_validator(mode="after")
    def _require_values(self) -> UserPatch:
        for name in ("role", "is_active"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be null")
        return self

    def fields(self, stored: User) -> UserFields:
        """Return what is stored after the change."""
        given = self.model_fields_set
        return UserFields(
            email=self.email if "email" in given else stored.email,
            role=self.role or stored.role,
            groups=self.groups if "groups" in given else stored.groups,
            is_active=stored.is_active if self.is_active is None else self.is_active,
        )


class NewKeyRequest(BaseModel):
    """Body that creates an API key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(unique_name)] = Field(
        description="Unique in any case of its letters, also among revoked keys.", examples=["reports"]
    )
    scopes: list[Annotated[str, Field(max_length=64), AfterValidator(_check_scope)]] = Field(
        min_length=1,
        max_length=len(PERMISSIONS) + 1,
        description="Permissions, or `*` for all of them. Not more than the caller has.",
        examples=[["events:read"]],
    )
    groups: Groups | None = Field(
        default=None, description="Slugs of the camera groups to which the key is limited; null for no limit."
    )
    expires_in_days: int | None = Field(
        default=None, ge=1, le=MAX_KEY_DAYS, description="Days for which the key is valid; null for no limit."
    )


class ResetRequest(BaseModel):
    """Body that chooses a password with a reset token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reset_token: Annotated[SecretStr, Field(min_length=1, max_length=200)] = Field(
        description="From the administrator. It is valid once."
    )
    new_password: NewPassword = Field(description=f"The new password: at least {MIN_PASSWORD} characters.")
