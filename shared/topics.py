"""MQTT topics: ``vedette/{site_id}/{device_id}/…``. All messages use QoS 1."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import ContractError
from shared.ids import require_segment

ROOT = "vedette"
EVENTS_FILTER = f"{ROOT}/+/+/events/+/+"
HEARTBEAT_FILTER = f"{ROOT}/+/+/heartbeat"
STATUS_FILTER = f"{ROOT}/+/+/status"
REPLIES_FILTER = f"{ROOT}/+/+/replies/+"


@dataclass(frozen=True, slots=True)
class DeviceTopics:
    """The topics of one device. Raises ContractError if an id is not a valid segment."""

    site_id: str
    device_id: str

    def __post_init__(self) -> None:
        require_segment(self.site_id, name="site_id")
        require_segment(self.device_id, name="device_id")

    @property
    def base(self) -> str:
        return f"{ROOT}/{self.site_id}/{self.device_id}"

    @property
    def heartbeat(self) -> str:
        return f"{self.base}/heartbeat"

    @property
    def status(self) -> str:
        """Retained; the last will sets it to ``offline``."""
        return f"{self.base}/status"

    @property
    def commands_filter(self) -> str:
        return f"{self.base}/commands/+"

    def events(self, camera_id: str, event_type: str) -> str:
        return f"{self.base}/events/{require_segment(camera_id, name='camera_id')}/{event_type}"

    def command(self, command: str) -> str:
        return f"{self.base}/commands/{require_segment(command, name='command')}"

    def reply(self, command_id: str) -> str:
        return f"{self.base}/replies/{require_segment(command_id, name='command_id')}"


@dataclass(frozen=True, slots=True)
class TopicAddress:
    """A parsed topic. ``kind`` is events, heartbeat, status, commands or replies; ``rest`` is what follows it."""

    site_id: str
    device_id: str
    kind: str
    rest: tuple[str, ...]


_LEVELS_AFTER_KIND = {"events": 2, "heartbeat": 0, "status": 0, "commands": 1, "replies": 1}


def parse_topic(topic: str) -> TopicAddress:
    """Parse a topic. Raises ContractError if it is not a Vedette topic."""
    root, *levels = topic.split("/")
    if root != ROOT or len(levels) < 3 or _LEVELS_AFTER_KIND.get(levels[2]) != len(levels) - 3:
        raise ContractError(f"not a Vedette topic: {topic[:200]!r}", reason="bad_topic")
    for level in levels:
        require_segment(level, name="topic level")
    return TopicAddress(site_id=levels[0], device_id=levels[1], kind=levels[2], rest=tuple(levels[3:]))
