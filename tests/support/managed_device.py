"""A device that obeys the API, without a broker: its messages go to ingest, and it reads recorded commands."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.support.ingest_harness import IngestHarness, RecordingCommands
from tests.support.wire_events import batch_of, body, encoded, failures


class ManagedDevice:
    """Reports to ``ingest`` what it runs, and reads its configurations from ``commands``."""

    def __init__(self, ingest: IngestHarness, commands: RecordingCommands, device_id: str = "gate-01") -> None:
        self._ingest = ingest
        self._commands = commands
        self.device_id = device_id
        self.private_key = X25519PrivateKey.generate()
        self.version = 0
        self.rejected_version: int | None = None
        self.error: str | None = None

    @property
    def public_key(self) -> str:
        return b64encode(self.private_key.public_key().public_bytes_raw()).decode()

    def configurations(self) -> list[dict[str, Any]]:
        """Return the configurations that were sent to this device so far, the oldest first."""
        topic = f"vedette/hq/{self.device_id}/commands/configure"
        return [command for name, command in self._commands.sent if name == topic]

    def beat(self, *, at: datetime | None = None, **fields: Any) -> None:
        """Send a heartbeat. ``fields`` replace some of it."""
        now = datetime.now(UTC)
        heartbeat = {
            "site_id": "hq",
            "device_id": self.device_id,
            "timestamp": now.isoformat(),
            "agent_version": "1",
            "uptime_seconds": 1,
            "outbox": {
                "sequence_epoch": "e",
                "last_sequence": 0,
                "pending_events": 0,
                "pending_bytes": 0,
                "dropped_events": 0,
            },
            "configuration": {
                "version": self.version,
                "rejected_version": self.rejected_version,
                "error": self.error,
            },
            "public_key": self.public_key,
        }
        self.send("heartbeat", heartbeat | fields, at=at or now)

    def connect(self) -> None:
        """Send the retained status with which a connection begins, then a heartbeat."""
        self.send("status", {"device_id": self.device_id, "status": "online"})
        self.beat()

    def apply(self) -> dict[str, Any]:
        """Run the latest configuration that was sent, reply, and return it."""
        command = self.configurations()[-1]
        self.version, self.rejected_version, self.error = command["version"], None, None
        self.reply(command, status="ok", config_version=self.version)
        return command

    def reject(self, error: str) -> None:
        """Refuse the latest configuration that was sent."""
        command = self.configurations()[-1]
        self.rejected_version, self.error = command["version"], error
        fields = {"config_version": self.version, "rejected_version": self.rejected_version, "error": error}
        self.reply(command, status="error", **fields)

    def reply(self, command: dict[str, Any], **fields: Any) -> None:
        reply = {
            "command_id": command["command_id"],
            "command": "configure",
            "site_id": "hq",
            "device_id": self.device_id,
            "timestamp": datetime.now(UTC).isoformat(),
        }
        self.send(f"replies/{command['command_id']}", reply | fields)

    def send(self, kind: str, message: dict[str, Any], *, at: datetime | None = None) -> None:
        received_at_ms = int((at or datetime.now(UTC)).timestamp() * 1000)
        text = body(f"vedette/hq/{self.device_id}/{kind}", encoded(message), received_at_ms=received_at_ms)
        assert failures(self._ingest.handle(batch_of([text]))) == []
        assert self._ingest.dead_letters.reasons() == []
