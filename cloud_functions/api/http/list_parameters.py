"""Parameters that the lists of several resources share: a cursor, a time range, and a condition in the path."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import BaseModel, Field, model_validator

from cloud_functions.api.http.cursor import TOKEN_LENGTH, Cursor, decode_cursor
from cloud_functions.api.http.parameters import Time
from cloud_functions.api.http.problems import invalid_parameter
from cloud_functions.db.cameras.scope import CameraScope, mark_of

Params = TypeVar("Params", bound=BaseModel)


class CursorParameter(BaseModel):
    """The position at which a page continues."""

    cursor: str | None = Field(
        default=None,
        max_length=TOKEN_LENGTH,
        description="`next_cursor` of the previous page. The response continues directly after that page, at the same"
        " speed at any depth, and items that arrive in the meantime neither repeat nor skip items.",
    )

    @model_validator(mode="after")
    def _check_cursor(self) -> CursorParameter:
        self.check_cursor()
        return self

    def check_cursor(self) -> None:
        """Raise ValueError for an invalid cursor. A list extends this check by its other page parameters."""
        _ = self._decoded()

    def after(self, *, scope: CameraScope | None) -> Cursor | None:
        """Return the position after which the page starts, or None without a cursor.

        Raises:
            Problem: 422, the cursor is from a caller with another limit to camera groups.
        """
        cursor = self._decoded()
        if cursor is not None and cursor.scope_mark != mark_of(scope):
            raise invalid_parameter("cursor", "is from a caller with other camera groups; restart the list without it")
        return cursor

    def _decoded(self) -> Cursor | None:
        return None if self.cursor is None else decode_cursor(self.cursor)


class TimeRangeParameters(BaseModel):
    """A range of capture times. Both ends are included."""

    start_time: Time | None = Field(
        default=None,
        description="Only items captured at or after this time (RFC 3339).",
        examples=["2026-11-20T00:00:00Z"],
    )
    end_time: Time | None = Field(
        default=None,
        description="Only items captured at or before this time (RFC 3339).",
        examples=["2026-11-20T23:59:59Z"],
    )

    @model_validator(mode="after")
    def _check_order(self) -> TimeRangeParameters:
        if self.start_time and self.end_time and self.start_time > self.end_time:
            raise ValueError("start_time is after end_time")
        return self

    @property
    def exclusive_end(self) -> datetime | None:
        """The end of the range as a filter of the database needs it: the first time that is not included."""
        return None if self.end_time is None else self.end_time + timedelta(microseconds=1)


def with_path_condition(params: Params, name: str, value: str, *, described: str) -> Params:
    """Return the parameters with the condition ``name`` that the path gives.

    Raises:
        Problem: 422, the query has another value for the same condition.
    """
    if getattr(params, name) not in (None, value):
        raise invalid_parameter(name, f"differs from the {described} in the path")
    return params.model_copy(update={name: value})
