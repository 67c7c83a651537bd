"""What a process gives to its cameras: identity, the outlet for events, and state that outlives one pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from edge_agent.config import CameraSettings
from edge_agent.device.camera_counters import CameraCounters
from edge_agent.events.builder import BuiltEvent, EventBuilder, Origin
from edge_agent.events.timestamps import UniqueTimestamps
from edge_agent.images.snapshot import SnapshotRenderer, SnapshotSettings
from edge_agent.pipeline.timing import StageTimer
from shared.events import ModelInfo

Publish = Callable[[BuiltEvent], None]
UpdateLastSeen = Callable[[Sequence[str], bool], None]
"""Called for each frame with the uids of the tracks detected in it, and whether there is motion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceContext:
    """Shared by all cameras of a process."""

    site_id: str
    device_id: str
    publish: Publish
    """Called with each event; must be thread-safe where there are several cameras."""
    new_id: Callable[[], UUID]
    keep_pictures: bool = True
    """False keeps no pictures of any camera, whatever its settings are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraContext:
    """Shared by all pipelines that one camera has in the life of a process."""

    device: DeviceContext
    counters: CameraCounters = field(default_factory=CameraCounters)
    timer: StageTimer = field(default_factory=StageTimer)
    timestamps: UniqueTimestamps = field(default_factory=UniqueTimestamps)
    update_last_seen: UpdateLastSeen | None = None
    live: bool = False
    """Frames do not wait: optional work, such as reading plates, is skipped once a frame's time is up."""

    def event_builder(self, camera: CameraSettings, model_info: ModelInfo | None = None) -> EventBuilder:
        """Return a builder for the camera's events. All builders of one context share their timestamps."""
        site_id, device_id = self.device.site_id, self.device.device_id
        return EventBuilder(
            origin=Origin(site_id=site_id, device_id=device_id, camera_id=camera.id)
            if model_info is None
            else Origin(site_id=site_id, device_id=device_id, camera_id=camera.id, model_info=model_info),
            renderer=SnapshotRenderer(self._snapshot_settings(camera)),
            timestamps=self.timestamps,
            new_id=self.device.new_id,
        )

    def _snapshot_settings(self, camera: CameraSettings) -> SnapshotSettings:
        return camera.snapshots if self.device.keep_pictures else camera.snapshots.model_copy(update={"enabled": False})
