"""Response models of commands, for the OpenAPI document, and their JSON."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cloud_functions.api.http.envelope import EmptyMeta
from cloud_functions.api.http.responses import DATE_TIME
from cloud_functions.db.commands.record import StoredCommand
from shared.clock import format_utc


class CommandReply(BaseModel):
    """What the device answered. Each kind of command has further fields."""

    model_config = ConfigDict(extra="allow")

    error: str | None = Field(default=None, description="Why the command failed.")


class CommandResponse(BaseModel):
    """A command to a device."""

    id: str = Field(json_schema_extra={"format": "uuid"})
    kind: str = Field(description="`snapshot`, `test_connection` and the like.")
    device_id: str
    camera_id: str | None = Field(description="The camera's slug, for a command to one camera.")
    requested_by: str = Field(description="Name of the caller.")
    status: Literal["sent", "ok", "error"] = Field(description="`sent`: no reply yet.")
    reply: CommandReply | None
    createdAt: str = Field(json_schema_extra=DATE_TIME)  # noqa: N815 - the name in the answer
    expiresAt: str = Field(  # noqa: N815
        json_schema_extra=DATE_TIME, description="The device does not execute the command after this time."
    )
    repliedAt: str | None = Field(json_schema_extra=DATE_TIME)  # noqa: N815


class CommandEnvelope(BaseModel):
    """A command in the envelope."""

    success: Literal[True]
    data: CommandResponse
    meta: EmptyMeta


class AcceptedCommand(BaseModel):
    """A command that was sent. Its reply is at the `Location` of the response."""

    command_id: str = Field(json_schema_extra={"format": "uuid"})
    status: Literal["sent"]


class AcceptedEnvelope(BaseModel):
    """A command that was sent, in the envelope."""

    success: Literal[True]
    data: AcceptedCommand
    meta: EmptyMeta


def command_content(command: StoredCommand) -> dict[str, Any]:
    """Return the JSON of a command."""
    return {
        "id": str(command.id),
        "kind": command.kind,
        "device_id": command.device_id,
        "camera_id": command.camera_id,
        "requested_by": command.requested_by,
        "status": command.status,
        "reply": command.reply,
        "createdAt": format_utc(command.created_at),
        "expiresAt": format_utc(command.expires_at),
        "repliedAt": None if command.replied_at is None else format_utc(command.replied_at),
    }
