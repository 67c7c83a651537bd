"""The wire form of commands, replies and heartbeats."""

from __future__ import annotations

import json

import pytest

from shared.commands import (
    MAX_COMMAND_BYTES,
    ResendCommand,
    SnapshotCommand,
    TestConnectionCommand,
    parse_command,
)
from shared.errors import ContractError
from shared.heartbeat import Heartbeat


def _command(**fields: object) -> bytes:
    return json.dumps({"command_id": "c-1"} | fields).encode()


def test_commands_parse_to_their_class() -> None:
    """The field ``command`` selects the class; unknown fields are kept for later versions."""
    command = parse_command(_command(command="snapshot", camera_id="camera-1", urgency="high"))
    assert isinstance(command, SnapshotCommand)
    assert command.model_extra == {"urgency": "high"}
    resend = parse_command(_command(command="resend", sequence_epoch="e1", ranges=[[3, 5], [9, 9]]))
    assert isinstance(resend, ResendCommand)
    assert resend.ranges == [(3, 5), (9, 9)]


def test_fields_of_a_connection_test_are_optional() -> None:
    """An older cloud sends none of them; a newer one limits the time, and may leave the credentials out."""
    old = parse_command(_command(command="test_connection", camera_id="gate"))
    assert isinstance(old, TestConnectionCommand)
    assert (old.timeout_s, old.check_credentials) == (None, True)
    new = parse_command(_command(command="test_connection", camera_id="gate", timeout_s=5, check_credentials=False))
    assert isinstance(new, TestConnectionCommand)
    assert (new.timeout_s, new.check_credentials) == (5.0, False)


@pytest.mark.parametrize(
    ("payload", "names"),
    [
        (b"{", "command"),
        (_command(command="explode"), "command"),
        (_command(command="snapshot"), "camera_id"),
        (_command(command="snapshot", camera_id="../x"), "camera_id"),
        (_command(command="test_connection", camera_id="gate", timeout_s=61), "timeout_s"),
        (_command(command="resend", sequence_epoch="e", ranges=[]), "ranges"),
        (_command(command="resend", sequence_epoch="e", ranges=[[0, 5]]), "ranges"),
        (_command(command="resend", sequence_epoch="e", ranges=[[1, 1]] * 1001), "ranges"),
        (b" " * (MAX_COMMAND_BYTES + 1), "bytes"),
    ],
)
def test_invalid_commands_are_rejected_with_a_reason(payload: bytes, names: str) -> None:
    """A command that is not completely valid is rejected with a reason."""
    with pytest.raises(ContractError, match=names):
        parse_command(payload)


def test_heartbeat_keeps_unknown_fields() -> None:
    """An older cloud stores all fields of a newer device's heartbeat."""
    said = {
        "site_id": "hq",
        "device_id": "gate-01",
        "timestamp": "2026-11-20T10:30:45Z",
        "agent_version": "9.9",
        "uptime_seconds": 12.5,
        "outbox": {
            "sequence_epoch": "e1",
            "last_sequence": 7,
            "pending_events": 0,
            "pending_bytes": 0,
            "dropped_events": 2,
            "dropped_ranges": [[3, 4]],
        },
        "cameras": [{"camera_id": "camera-1", "status": "online", "lens": "clean"}],
        "temperature_c": 61,
    }
    heartbeat = Heartbeat.model_validate_json(json.dumps(said))
    assert heartbeat.model_extra == {"temperature_c": 61}
    assert heartbeat.outbox.dropped_ranges == [(3, 4)]
    assert heartbeat.cameras[0].model_extra == {"lens": "clean"}
