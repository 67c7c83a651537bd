"""Users, API keys and the audit log, for callers with the permissions to administer them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypedDict, Unpack
from urllib.parse import quote

from vedette.client.events import Time
from vedette.client.paging import by_page
from vedette.client.session import Session
from vedette.client.types import (
    AuditEntryResponse,
    CreatedKey,
    CreatedUser,
    KeyResponse,
    NewUserRequest,
    ResetToken,
    UserPatch,
    UserRequest,
    UserResponse,
)

USERS: Final = "/api/v1/users"
API_KEYS: Final = "/api/v1/api-keys"
AUDIT: Final = "/api/v1/audit"


class UserConditions(TypedDict, total=False):
    """Conditions that users meet, all of them."""

    search: str
    role: str
    is_active: bool


class AuditConditions(TypedDict, total=False):
    """Conditions that entries of the audit log meet, all of them."""

    actor: str
    action: str
    outcome: str
    target: str
    plate: str
    start_time: Time
    end_time: Time


class Users:
    """``client.users``. A user is named by id or by username."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self, *, page_size: int = 100, **conditions: Unpack[UserConditions]) -> Iterator[UserResponse]:
        """Yield users by name."""
        return by_page(self._session, USERS, {**conditions, "page_size": page_size})

    def get(self, user: str) -> UserResponse:
        """Return one user."""
        return self._session.json("GET", _user(user))["data"]

    def create(self, user: NewUserRequest) -> CreatedUser:
        """Create a user. Without a password, the answer has the token with which the user chooses one.

        Raises ConflictError if the name is in use.
        """
        return self._session.json("POST", USERS, body=user)["data"]

    def replace(self, user: str, content: UserRequest) -> UserResponse:
        """Replace everything but the password; what is left out gets its default."""
        return self._session.json("PUT", _user(user), body=content)["data"]

    def change(self, user: str, content: UserPatch) -> UserResponse:
        """Change the given fields. Raises ConflictError for the last administrator."""
        return self._session.json("PATCH", _user(user), body=content)["data"]

    def delete(self, user: str) -> None:
        """Delete a user. Raises ConflictError for the last administrator."""
        self._session.json("DELETE", _user(user))

    def reset_password(self, user: str) -> ResetToken:
        """End the user's sessions, and return the token with which the user chooses another password."""
        return self._session.json("POST", f"{_user(user)}/reset-password")["data"]


class ApiKeys:
    """``client.api_keys``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self, *, search: str | None = None, page_size: int = 100) -> Iterator[KeyResponse]:
        """Yield API keys, without their texts."""
        return by_page(self._session, API_KEYS, {"search": search, "page_size": page_size})

    def create(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        groups: Sequence[str] | None = None,
        expires_in_days: int | None = None,
    ) -> CreatedKey:
        """Create an API key. Only this answer has its text (``key``). ``groups`` limits it to camera groups."""
        body = {
            "name": name,
            "scopes": list(scopes),
            "groups": None if groups is None else list(groups),
            "expires_in_days": expires_in_days,
        }
        return self._session.json("POST", API_KEYS, body=body)["data"]

    def revoke(self, key_id: str) -> None:
        """End the validity of a key."""
        self._session.json("DELETE", f"{API_KEYS}/{quote(key_id, safe='')}")


class Audit:
    """``client.audit``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self, *, page_size: int = 100, **conditions: Unpack[AuditConditions]) -> Iterator[AuditEntryResponse]:
        """Yield entries of the audit log, newest first."""
        return by_page(self._session, AUDIT, {**conditions, "page_size": page_size})


def _user(user: str) -> str:
    return f"{USERS}/{quote(user, safe='')}"
