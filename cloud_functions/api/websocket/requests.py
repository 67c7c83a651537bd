"""The messages that clients send, and how errors in them are described."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from cloud_functions.api.http.parameters import Label, Plate, Segment, check_one_line
from shared.event_types import EventType

MAX_MESSAGE_BYTES: Final = 16 * 1024
_MOST: Final = 100
Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(check_one_line)]


class SubscribeMessage(BaseModel):
    """``{"action": "subscribe", …}``: which events to send. All conditions must hold; lists are alternatives."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal["subscribe"]
    subscription: Name = "default"
    """Its name on this connection. Subscribing again with it replaces the conditions and the position."""
    types: Annotated[list[EventType | Literal["plate_match"]], Field(min_length=1, max_length=_MOST)] | None = None
    cameras: Annotated[list[Segment], Field(min_length=1, max_length=_MOST)] | None = None
    groups: Annotated[list[Name], Field(min_length=1, max_length=_MOST)] | None = None
    site_id: Segment | None = None
    class_name: Label | None = None
    zone: Label | None = None
    min_confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    license_plate: Plate | None = None
    after: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Cursor of the last message that was processed: what followed it comes first. Without it, only new events come."""

    def stored(self) -> dict[str, Any]:
        """Return the conditions that are given."""
        return self.model_dump(exclude_none=True, exclude={"action", "subscription", "after"})


class UnsubscribeMessage(BaseModel):
    """``{"action": "unsubscribe"}``: end a subscription."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal["unsubscribe"]
    subscription: Name = "default"


class PingMessage(BaseModel):
    """``{"action": "ping"}``: answered with ``pong``, and keeps a connection open that nothing is sent on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal["ping"]


ClientMessage = Annotated[SubscribeMessage | UnsubscribeMessage | PingMessage, Field(discriminator="action")]
MESSAGES: Final[TypeAdapter[ClientMessage]] = TypeAdapter(ClientMessage)
