"""All cameras of a device: starts, stops and restarts them independently, and handles commands for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edge_agent.camera.connection_check import check_connection
from edge_agent.camera.source import open_source, scheme_of
from edge_agent.config import CameraSettings, ModelPlaces, source_text
from edge_agent.device.camera_counters import CameraCounters
from edge_agent.device.commands import CommandFailedError, NotReadyError, ReplyFields
from edge_agent.events.builder import BuiltEvent
from edge_agent.events.timestamps import UniqueTimestamps
from edge_agent.pipeline.build import build_pipeline, find_camera_model
from edge_agent.pipeline.camera_worker import CameraProgress, CameraWorker, OpenSource
from edge_agent.pipeline.context import CameraContext, DeviceContext, UpdateLastSeen
from edge_agent.pipeline.pipeline import CameraPipeline
from edge_agent.pipeline.timing import StageTimer
from shared.clock import Clock
from shared.commands import SnapshotCommand, TestConnectionCommand
from shared.errors import ConfigurationError, TransientError
from shared.heartbeat import CameraHealth

logger = logging.getLogger(__name__)

STOP_S = 10.0
PROBED_SCHEMES = frozenset({"rtsp", "rtsps", "http", "https", "file", "synthetic"})
"""Source schemes that can be opened while the camera is running. A USB camera cannot."""


FIRST_FRAME_WAIT_S = 30.0
"""Time after the start of a camera during which a snapshot command waits for its first frame."""


@dataclass(frozen=True, slots=True)
class OpenStays:
    """Records open tracks and motion episodes, so that they can be closed after a crash."""

    update_last_seen: Callable[[str, Sequence[str], bool], None]
    """Called for each frame with the camera's id, the uids of its detected tracks, and whether there is motion."""
    close: Callable[[str], None]
    """Closes the tracks and episodes that a camera's last pipeline left open. Called before a new pipeline starts."""


class Cameras:
    """Owns the camera workers. Thread-safe: commands arrive on other threads."""

    def __init__(
        self,
        *,
        device: DeviceContext,
        places: ModelPlaces,
        clock: Clock,
        open_source: OpenSource = open_source,
        open_stays: OpenStays | None = None,
    ) -> None:
        self._open_source = open_source
        self._open_stays = open_stays
        self._device = device
        self._places = places
        self._clock = clock
        self._applying = threading.Lock()
        """Held while cameras stop, which may take seconds, so that ``_lock`` is free for commands meanwhile."""
        self._lock = threading.Lock()
        self._workers: dict[str, CameraWorker] = {}
        self._started_s: dict[str, float] = {}
        self._timestamps: dict[str, UniqueTimestamps] = {}
        self._counters: dict[str, CameraCounters] = {}

    def apply(self, cameras: Sequence[CameraSettings]) -> list[str]:
        """Run exactly these cameras: start new, stop removed and restart changed ones. Return the affected ids."""
        enabled = {camera.id: camera for camera in cameras if camera.enabled}
        with self._applying:
            with self._lock:
                removed = [worker for name, worker in self._workers.items() if enabled.get(name) != worker.camera]
            self._stop(removed)
            return self._replace(removed, enabled)

    def _replace(self, removed: Sequence[CameraWorker], enabled: Mapping[str, CameraSettings]) -> list[str]:
        """Start the cameras that are new, or whose workers were stopped. Return the affected ids."""
        with self._lock:
            for worker in removed:
                del self._workers[worker.camera.id]
            new = [camera for name, camera in enabled.items() if name not in self._workers]
            for camera in new:
                worker = self._worker(camera)
                self._started_s[camera.id] = self._clock.monotonic()
                worker.start()  # raises where the system allows no more threads; such a worker could never be stopped
                self._workers[camera.id] = worker
        return sorted({worker.camera.id for worker in removed} | {camera.id for camera in new})

    def stop(self) -> None:
        """Stop all cameras; open tracks end with ``left``."""
        with self._applying:
            with self._lock:
                workers = list(self._workers.values())
            self._stop(workers)
            with self._lock:
                self._workers.clear()

    def health(self) -> list[CameraHealth]:
        """Return the health of the cameras for the heartbeat."""
        with self._lock:
            return [worker.health() for worker in self._workers.values()]

    def counters(self) -> dict[str, CameraCounters]:
        """Return what the frame loops of the running cameras have counted since the start of this process, by id."""
        with self._lock:
            return {name: self._counters[name] for name in self._workers}

    def progress(self) -> dict[str, CameraProgress]:
        """Return how far each running camera has come since its start, by id."""
        with self._lock:
            return {name: worker.progress() for name, worker in self._workers.items()}

    def take_snapshot(self, command: SnapshotCommand) -> BuiltEvent:
        """Return the latest frame as a ``snapshot`` event, which the caller delivers.

        Without a frame, publish an event with the reason and raise TransientError. Raises NotReadyError where the
        camera has just been started and its first frame is still expected.
        """
        worker = self._find_worker(command.camera_id)
        snapshot_id = command.snapshot_id or command.command_id
        # Read before the frame, which may arrive between the two.
        is_new = worker.awaits_first_frame and self._age_s(command.camera_id) < FIRST_FRAME_WAIT_S
        is_awaited = is_new or worker.is_stopping
        keeps_pictures = self._device.keep_pictures
        frame = worker.latest_frame if keeps_pictures else None
        if frame is None:
            reason = worker.health().error or "no frame received yet"
            if not keeps_pictures:
                reason = "its device keeps no pictures (ENABLE_SNAPSHOTS)"
            elif is_awaited:
                raise NotReadyError(f"camera {command.camera_id} has no picture yet: {reason}")
            at = self._clock.now()
            failed = worker.builder.snapshot_failed(
                reason, at=at, snapshot_id=snapshot_id, command_id=command.command_id
            )
            self._device.publish(failed)
            raise TransientError(f"camera {command.camera_id} has no picture: {reason}")
        return worker.builder.snapshot_taken(
            frame, snapshot_id=snapshot_id, command_id=command.command_id, thumbnail=command.thumbnail
        )

    def test_connection(self, command: TestConnectionCommand) -> ReplyFields:
        """Open the camera a second time and read a frame, or return the health of the running one.

        Raises CommandFailedError with the cause, and ConfigurationError for a camera that this device does not have.
        """
        return self.test_camera(self._find_worker(command.camera_id).camera, command)

    def test_camera(self, camera: CameraSettings, command: TestConnectionCommand) -> ReplyFields:
        """Test a camera with these settings, which need not be the ones that run."""
        source = source_text(camera)
        if scheme_of(source) not in PROBED_SCHEMES:
            health = self._find_worker(camera.id).health()
            if health.status == "offline":
                raise CommandFailedError(
                    f"camera {command.camera_id}: {health.error or 'offline'}", fields={"cause": "failed"}
                )
            return {"resolution": health.resolution, "codec": health.codec, "fps": health.fps_actual}
        result = check_connection(
            source,
            camera.stream,
            timeout_s=command.timeout_s,
            check_credentials=command.check_credentials,
        )
        if result.error is not None:
            raise CommandFailedError(f"camera {command.camera_id}: {result.error}", fields={"cause": result.cause})
        return {
            "latency_ms": result.latency_ms,
            "resolution": result.resolution,
            "codec": result.codec,
            "fps": result.fps or result.fps_measured,
        }

    def failure_of(self, camera: CameraSettings) -> str | None:
        """Return why a camera, which need not run, gives no picture: the cause of the failed connection.

        None if it gives one, or where only running it shows that.
        """
        source = source_text(camera)
        if scheme_of(source) not in PROBED_SCHEMES:
            return None
        result = check_connection(source, camera.stream)
        return None if result.error is None else result.cause or "failed"

    def _age_s(self, camera_id: str) -> float:
        """Return the time since the camera was started."""
        return self._clock.monotonic() - self._started_s.get(camera_id, 0.0)

    def _find_worker(self, camera_id: str) -> CameraWorker:
        with self._lock:
            worker = self._workers.get(camera_id)
            known = ", ".join(self._workers) or "none"
        if worker is None:
            raise ConfigurationError(f"this device has no camera {camera_id}; it has {known}")
        return worker

    def _worker(self, camera: CameraSettings) -> CameraWorker:
        counters = self._counters.setdefault(camera.id, CameraCounters())
        context = CameraContext(
            device=self._device,
            counters=counters,
            timer=StageTimer(counters=counters),
            timestamps=self._timestamps.setdefault(camera.id, UniqueTimestamps()),
            update_last_seen=self._update_last_seen(camera.id),
            live=True,
        )
        return CameraWorker(
            camera=camera,
            context=context,
            build_pipeline=lambda: self._pipeline(camera, context),
            clock=self._clock,
            open_source=self._open_source,
        )

    def _pipeline(self, camera: CameraSettings, context: CameraContext) -> CameraPipeline:
        if self._open_stays is not None:
            self._open_stays.close(camera.id)
        return build_pipeline(
            camera,
            context=context,
            model=find_camera_model(camera, source=source_text(camera), places=self._places),
            run_id=f"{self._device.new_id().int & 0xFFFF_FFFF:08x}",
        )

    def _update_last_seen(self, camera_id: str) -> UpdateLastSeen | None:
        if self._open_stays is None:
            return None
        update = self._open_stays.update_last_seen
        return lambda track_uids, has_motion: update(camera_id, track_uids, has_motion)

    def _stop(self, workers: Sequence[CameraWorker]) -> None:
        for worker in workers:
            worker.request_stop()
        deadline_s = time.monotonic() + STOP_S
        for worker in workers:
            if not worker.join(max(deadline_s - time.monotonic(), 0.1)):
                logger.warning("camera %s did not stop within %g s", worker.camera.id, STOP_S)
