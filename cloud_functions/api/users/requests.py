"""Request models of log-ins and accounts. Passwords and tokens are ``SecretStr``, so that no log shows them."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from cloud_functions.api.http.parameters import check_one_line
from cloud_functions.api.security.passwords import MAX_PASSWORD, MIN_PASSWORD

_MAX_TOKEN: Final = 200

LoginName = Annotated[str, Field(min_length=1, max_length=254), AfterValidator(check_one_line)]
Password = Annotated[SecretStr, Field(min_length=1, max_length=MAX_PASSWORD)]


class LoginRequest(BaseModel):
    """Body of a log-in: `username` or `email`, and the password."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    username: LoginName | None = Field(default=None, description="Username, or email.", examples=["admin"])
    email: LoginName | None = Field(default=None, description="Instead of `username`.")
    password: Password = Field(description="The password.")

    @model_validator(mode="after")
    def _require_one_name(self) -> LoginRequest:
        if (self.username is None) == (self.email is None):
            raise ValueError("give either username or email")
        return self

    @property
    def login(self) -> str:
        """The username or email."""
        return self.username or self.email or ""


class RefreshRequest(BaseModel):
    """Body that names a refresh token, as `refresh_token` or `refreshToken`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    refresh_token: Annotated[SecretStr, Field(min_length=1, max_length=_MAX_TOKEN)] | None = Field(
        default=None, description="The refresh token of the last log-in or refresh."
    )
    refreshToken: Annotated[SecretStr, Field(min_length=1, max_length=_MAX_TOKEN)] | None = Field(  # noqa: N815
        default=None, description="Instead of `refresh_token`."
    )

    @model_validator(mode="after")
    def _require_one_token(self) -> RefreshRequest:
        if (self.refresh_token is None) == (self.refreshToken is None):
            raise ValueError("give either refresh_token or refreshToken")
        return self

    @property
    def token(self) -> str:
        """The refresh token."""
        given = self.refresh_token or self.refreshToken
        return "" if given is None else given.get_secret_value()


class PasswordRequest(BaseModel):
    """Body that changes the caller's password."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    current_password: Password = Field(description="The password that is replaced.")
    new_password: Annotated[SecretStr, Field(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD)] = Field(
        description=f"The new password: at least {MIN_PASSWORD} characters."
    )
