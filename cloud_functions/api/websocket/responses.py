"""Response models of WebSocket tickets."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from cloud_functions.api.http.envelope import EmptyMeta


class TicketResponse(BaseModel):
    """A ticket, which opens one WebSocket connection as the caller."""

    ticket: str = Field(
        description="Pass it as `?ticket=` when connecting. It is valid once.",
        examples=["Rw4d3Jq1n0Yk2yG6mE8tVb5cXz7aLs9uPfHi0oTqW1A"],
    )
    expires_in: int = Field(description="Seconds until it expires.", examples=[30])
    url: str = Field(
        description="Address of the WebSocket, without the ticket.", examples=["wss://vedette.example/api/v1/websocket"]
    )


class TicketEnvelope(BaseModel):
    """A ticket in the envelope."""

    success: Literal[True]
    data: TicketResponse
    meta: EmptyMeta
