"""All cameras of a device: started, stopped and changed while the rest goes on, and asked by commands."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edge_agent.camera.probe import probe
from edge_agent.camera.source import open_source, scheme_of
from edge_agent.config import CameraSettings, ModelPlaces, source_text
from edge_agent.device.commands import NotReadyError, ReplyFields
from edge_agent.events.timestamps import UniqueTimestamps
from edge_agent.outbox.open_stays import motion_stay_key
from edge_agent.pipeline.build import build_pipeline, find_camera_model
from edge_agent.pipeline.camera_worker import CameraWorker, OpenSource
from edge_agent.pipeline.context import CameraContext, DeviceContext
from edge_agent.pipeline.pipeline import CameraPipeline, UpdateLastSeen
from shared.clock import Clock
from shared.commands import SnapshotCommand, TestConnectionCommand
from shared.errors import ConfigurationError, TransientError
from shared.heartbeat import CameraHealth

logger = logging.getLogger(__name__)

STOP_S = 10.0
PROBED_SCHEMES = frozenset({"rtsp", "rtsps", "http", "https", "file", "synthetic"})
"""Sources that may be opened a second time beside the running one; a USB camera may not."""


FIRST_FRAME_WAIT_S = 30.0
"""For so long after a camera was started, a request for a picture waits for its first frame."""


@dataclass(frozen=True, slots=True)
class CameraVisits:
    """Keeps track of what is open, for the case that nobody is left to close it."""

    update_last_seen: Callable[[Iterable[str]], None]
    """Gets the visits that a frame shows to go on."""
    close: Callable[[str], None]
    """Closes what a camera's last pipeline left open; called before a new one begins."""


class Cameras:
    """Owns the camera workers. Thread-safe: commands arrive on threads of their own."""

    def __init__(
        self,
        *,
        device: DeviceContext,
        places: ModelPlaces,
        clock: Clock,
        open_source: OpenSource = open_source,
        visits: CameraVisits | None = None,
    ) -> None:
        self._open_source = open_source
        self._visits = visits
        self._device = device
        self._places = places
        self._clock = clock
        self._lock = threading.Lock()
        self._workers: dict[str, CameraWorker] = {}
        self._started_s: dict[str, float] = {}
        self._timestamps: dict[str, UniqueTimestamps] = {}

    def apply(self, cameras: Sequence[CameraSettings]) -> list[str]:
        """Run exactly these cameras: start new ones, stop gone ones, restart changed ones. Return what was touched."""
        wanted = {camera.id: camera for camera in cameras if camera.enabled}
        with self._lock:
            gone = [worker for name, worker in self._workers.items() if wanted.get(name) != worker.camera]
            self._stop(gone)
            for worker in gone:
                del self._workers[worker.camera.id]
            new = [camera for name, camera in wanted.items() if name not in self._workers]
            for camera in new:
                self._workers[camera.id] = self._worker(camera)
                self._started_s[camera.id] = self._clock.monotonic()
                self._workers[camera.id].start()
        return sorted({worker.camera.id for worker in gone} | {camera.id for camera in new})

    def stop(self) -> None:
        """Stop all; open visits are told as left."""
        with self._lock:
            self._stop(list(self._workers.values()))
            self._workers.clear()

    def health(self) -> list[CameraHealth]:
        """Return what the heartbeat says of the cameras."""
        with self._lock:
            return [worker.health() for worker in self._workers.values()]

    def take_snapshot(self, command: SnapshotCommand) -> ReplyFields:
        """Send the newest frame as a ``snapshot`` event; one that says why, where there is none.

        Raises NotReadyError while the camera was started a moment ago and its first frame may still come.
        """
        worker = self._named(command.camera_id)
        snapshot_id = command.snapshot_id or command.command_id
        # Asked before the frame, which may come between the two.
        is_awaited = worker.awaits_first_frame and self._age_s(command.camera_id) < FIRST_FRAME_WAIT_S
        frame = worker.latest_frame
        if frame is None:
            why = worker.health().error or "no frame has come yet"
            if is_awaited:
                raise NotReadyError(f"camera {command.camera_id} gives no picture yet: {why}")
            at = self._clock.now()
            failed = worker.builder.snapshot_failed(why, at=at, snapshot_id=snapshot_id, command_id=command.command_id)
            self._device.publish(failed)
            raise TransientError(f"camera {command.camera_id} gives no picture: {why}")
        taken = worker.builder.snapshot_taken(frame, snapshot_id=snapshot_id, command_id=command.command_id)
        self._device.publish(taken)
        return {"snapshot_id": snapshot_id}

    def test_connection(self, command: TestConnectionCommand) -> ReplyFields:
        """Open the camera anew and read a frame; a camera that cannot be opened twice is asked how it is doing."""
        worker = self._named(command.camera_id)
        source = source_text(worker.camera)
        if scheme_of(source) not in PROBED_SCHEMES:
            health = worker.health()
            if health.status == "offline":
                raise TransientError(f"camera {command.camera_id}: {health.error or 'offline'}")
            return {"resolution": health.resolution, "codec": health.codec, "fps_actual": health.fps_actual}
        result = probe(source, settings=worker.camera.stream)
        if result.error is not None:
            raise TransientError(f"camera {command.camera_id}: {result.error}")
        return {"latency_ms": result.latency_ms, "resolution": result.resolution, "codec": result.codec}

    def _age_s(self, camera_id: str) -> float:
        """Return how long ago the camera was started."""
        return self._clock.monotonic() - self._started_s.get(camera_id, 0.0)

    def _named(self, camera_id: str) -> CameraWorker:
        with self._lock:
            worker = self._workers.get(camera_id)
            known = ", ".join(self._workers) or "none"
        if worker is None:
            raise ConfigurationError(f"this device has no camera {camera_id}; it has {known}")
        return worker

    def _worker(self, camera: CameraSettings) -> CameraWorker:
        context = CameraContext(
            device=self._device,
            timestamps=self._timestamps.setdefault(camera.id, UniqueTimestamps()),
            update_last_seen=self._update_last_seen(camera.id),
            live=True,
        )
        return CameraWorker(
            camera=camera,
            build_pipeline=lambda: self._pipeline(camera, context),
            builder=context.event_builder(camera),
            publish=self._device.publish,
            clock=self._clock,
            open_source=self._open_source,
        )

    def _pipeline(self, camera: CameraSettings, context: CameraContext) -> CameraPipeline:
        if self._visits is not None:
            self._visits.close(camera.id)
        return build_pipeline(
            camera,
            context=context,
            model=find_camera_model(camera, source=source_text(camera), places=self._places),
            run_id=f"{self._device.new_id().int & 0xFFFF_FFFF:08x}",
        )

    def _update_last_seen(self, camera_id: str) -> UpdateLastSeen | None:
        if self._visits is None:
            return None
        note, motion = self._visits.update_last_seen, motion_stay_key(camera_id)
        return lambda uids, moving: note((*uids, motion) if moving else uids)

    def _stop(self, workers: Sequence[CameraWorker]) -> None:
        for worker in workers:
            worker.ask_to_stop()
        deadline_s = time.monotonic() + STOP_S
        for worker in workers:
            if not worker.join(max(deadline_s - time.monotonic(), 0.1)):
                logger.warning("camera %s did not stop within %g s", worker.camera.id, STOP_S)
