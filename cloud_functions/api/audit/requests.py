"""Request model of the audit log."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cloud_functions.api.http.parameters import Plate, Time, check_one_line

Text = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(check_one_line)]


class AuditListParameters(BaseModel):
    """Parameters of ``GET /audit``: conditions, all of which must be met, and a page."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    actor: Text | None = Field(default=None, description="Only entries of this user, key or command, in any case.")
    action: Text | None = Field(
        default=None,
        description="Only this operation, as the OpenAPI document names it (`operationId`).",
        examples=["event_snapshot"],
    )
    outcome: Literal["success", "denied", "failure"] | None = Field(default=None, description="Only this outcome.")
    target: Text | None = Field(default=None, description="Part of the target, in any case.", examples=["event=42"])
    plate: Plate | None = Field(default=None, description="Only searches of this plate.")
    start_time: Time | None = Field(default=None, description="Only entries at or after this time (RFC 3339).")
    end_time: Time | None = Field(default=None, description="Only entries at or before this time (RFC 3339).")
    page: int = Field(default=1, ge=1, le=100_000, description="Number of the page.")
    page_size: int = Field(default=50, ge=1, le=500, description="Entries on a page.")

    @model_validator(mode="after")
    def _check_order(self) -> AuditListParameters:
        if self.start_time and self.end_time and self.start_time > self.end_time:
            raise ValueError("start_time is after end_time")
        return self

    @property
    def offset(self) -> int:
        """Number of entries before the page."""
        return (self.page - 1) * self.page_size

    @property
    def exclusive_end(self) -> datetime | None:
        """The first time that is not included."""
        return None if self.end_time is None else self.end_time + timedelta(microseconds=1)
