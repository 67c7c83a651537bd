"""``edge-agent run``: the device service, and the composition root of the agent.

SIGTERM and SIGINT stop it: open tracks end, and the outbox is drained for a few seconds. SIGHUP reloads the cameras.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from edge_agent.config import AgentConfig, CameraSettings, keeps_pictures, load_config, model_places
from edge_agent.config.managed import ManagedCameraRules
from edge_agent.device.canary import CanarySchedule
from edge_agent.device.commands import (
    CommandDispatcher,
    CommandHandlers,
    ReplyFields,
    ResendHandler,
    refuse_configuration,
)
from edge_agent.device.configuration_store import ConfigurationStore
from edge_agent.device.device_key import DeviceKey
from edge_agent.device.health import HeartbeatLoop
from edge_agent.device.metrics import AgentMetrics
from edge_agent.device.snapshots import SnapshotHandler
from edge_agent.events.builder import BuiltEvent
from edge_agent.outbox import Outbox, OutboxFullError
from edge_agent.outbox.open_stays import motion_stay_key
from edge_agent.pipeline.context import DeviceContext
from edge_agent.pipeline.managed_cameras import ManagedCameras
from edge_agent.pipeline.supervisor import Cameras, OpenStays
from edge_agent.transport.delivery_counters import DeliveryCounters
from edge_agent.transport.mqtt import MqttPublisher
from edge_agent.transport.s3 import S3Store
from edge_agent.transport.sender import Sender
from shared import __version__
from shared.clock import Clock, StepAwareClock, SystemClock
from shared.commands import ReloadCommand
from shared.errors import ConfigurationError, ContractError, TransientError
from shared.heartbeat import CameraHealth, Canary
from shared.ids import Uuid7Generator
from shared.metrics.exposition import Counter
from shared.topics import DeviceTopics

if TYPE_CHECKING:
    from shared.metrics.server import MetricsServer

logger = logging.getLogger(__name__)

DRAIN_S = 5.0


class Agent:
    """The device service. Raises ConfigurationError for a configuration that is not valid."""

    def __init__(self, config_path: Path, *, clock: Clock | None = None) -> None:
        self._config_path = config_path
        self._config = config = load_config(config_path)
        keep_pictures = keeps_pictures()
        self._clock = clock = clock or SystemClock()
        topics = DeviceTopics(config.site_id, config.device_id)
        self._step_aware_clock = StepAwareClock(clock)
        """Clock of the cameras, so that their timestamps can be corrected after the wall clock is set."""
        self._new_id = Uuid7Generator()
        self._device_key: DeviceKey | None = None
        self._outbox = Outbox(config.state_dir / "outbox.db", settings=config.outbox, clock=clock)
        self._cameras = Cameras(
            device=DeviceContext(
                site_id=config.site_id,
                device_id=config.device_id,
                publish=self._publish,
                new_id=self._new_id,
                keep_pictures=keep_pictures,
            ),
            places=model_places(config.models_location),
            clock=self._step_aware_clock,
            open_stays=OpenStays(update_last_seen=self._update_last_seen, close=self._close_open_stays),
        )
        self._managed = self._managed_cameras(config) if config.is_managed else None
        store = None if config.s3 is None else S3Store(settings=config.s3, device_id=config.device_id)
        handlers = CommandHandlers(
            snapshot=SnapshotHandler(
                take=self._cameras.take_snapshot, store=store, outbox=self._outbox, clock=self._step_aware_clock
            ),
            test_connection=(self._cameras if self._managed is None else self._managed).test_connection,
            reload=self._on_reload,
            resend=ResendHandler(outbox=self._outbox),
            configure=refuse_configuration if self._managed is None else self._managed.configure,
        )
        self._dispatcher = CommandDispatcher(topics=topics, handlers=handlers, clock=clock)
        self._publisher = MqttPublisher(
            settings=config.mqtt, topics=topics, on_command=self._dispatcher.receive, clock=clock
        )
        self._lost_events = Counter()
        delivery = DeliveryCounters(clock)
        self._sender = Sender(
            outbox=self._outbox,
            publisher=self._publisher,
            store=store,
            settings=config.sender,
            counters=delivery if config.metrics.listen else None,
        )
        self._metrics = self._metrics_server(config, delivery)
        self._heartbeat = HeartbeatLoop(
            topics=topics,
            publisher=self._publisher,
            outbox=self._outbox,
            cameras=self._camera_health,
            connection=self._publisher.health,
            configuration=None if self._managed is None else self._managed.health,
            canary=self._canary_schedule(config),
            public_key=None if self._device_key is None else self._device_key.public_key,
            interval_s=config.heartbeat_s,
            clock=clock,
        )

    def start(self) -> None:
        """Start all parts; returns at once, even where cameras or the broker are not reachable.

        The connection is started last: queued commands arrive as soon as it is up, and need the cameras.
        """
        if closed := self._outbox.close_open_stays(self._new_id):
            logger.info("closed %d tracks and motion episodes that were open when the agent last stopped", closed)
        if self._managed is None:
            self._cameras.apply(self._effective(self._config.cameras))
        else:
            self._managed.start(self._config.cameras)
        self._dispatcher.start(self._publisher)
        self._sender.start()
        self._heartbeat.start()
        self._publisher.start()
        if self._metrics is not None:
            self._metrics.start()

    def reload(self) -> list[str]:
        """Reload the configuration and apply changed cameras; return their ids.

        Raises ConfigurationError and changes nothing where the file is not valid, or other settings have changed too.
        """
        config = load_config(self._config_path)
        old, new = (
            item.model_dump(exclude={"cameras"}) | {"managed": item.is_managed} for item in (self._config, config)
        )
        if changed := sorted(name for name in new if new[name] != old[name]):
            raise ConfigurationError(f"{', '.join(changed)} changed too; restart the agent to apply it")
        self._config = config
        if self._managed is not None:
            return self._managed.replace_pinned(config.cameras)
        return self._cameras.apply(self._effective(config.cameras))

    def stop(self) -> None:
        """End open tracks, send events for ``DRAIN_S`` and stop all parts. Unsent events stay on disk."""
        if self._metrics is not None:
            self._metrics.close()
        if self._managed is not None:
            self._managed.close()
        self._cameras.stop()
        self._heartbeat.close()
        self._dispatcher.close()
        self._sender.close(DRAIN_S)
        self._publisher.close()
        self._outbox.close()

    def _managed_cameras(self, config: AgentConfig) -> ManagedCameras:
        """Return the owner of the cameras of a device that the API configures."""
        self._device_key = key = DeviceKey.load(config.state_dir)
        rules = ManagedCameraRules(
            open_password=lambda sealed, camera_id: key.open(sealed, camera_id=camera_id), timezone=config.timezone
        )
        return ManagedCameras(
            cameras=self._cameras,
            rules=rules,
            store=ConfigurationStore(config.state_dir),
            clock=self._step_aware_clock,
            effective=self._effective,
            on_change=self._request_heartbeat,
        )

    def _canary_schedule(self, config: AgentConfig) -> Callable[[], Canary] | None:
        if not config.canary_minutes:
            return None
        return CanarySchedule(every_s=60.0 * config.canary_minutes, new_id=self._new_id, clock=self._clock).current

    def _metrics_server(self, config: AgentConfig, delivery: DeliveryCounters) -> MetricsServer | None:
        """Return the server of the metrics; None where the configuration has none, which then cost nothing."""
        address = config.metrics.address
        if address is None:
            return None
        from shared.metrics.server import MetricsServer

        metrics = AgentMetrics(
            outbox=self._outbox,
            delivery=delivery,
            lost_events=self._lost_events,
            connected=lambda: self._publisher.connected,
            connection=self._publisher.health,
            cameras=self._cameras.health,
            counters=self._cameras.counters,
            started_at_s=self._clock.now().timestamp(),
        )
        return MetricsServer(address=address, collect=metrics.text)

    def _request_heartbeat(self) -> None:
        """Report a change of the configuration at once."""
        self._heartbeat.request()

    def _on_reload(self, _: ReloadCommand) -> ReplyFields:
        return {"cameras": self.reload()}

    def _effective(self, cameras: Sequence[CameraSettings]) -> list[CameraSettings]:
        """Return the cameras; without a bucket their snapshots are disabled, because they would fill the outbox."""
        if self._config.s3 is not None:
            return list(cameras)
        return [
            camera.model_copy(update={"snapshots": camera.snapshots.model_copy(update={"enabled": False})})
            for camera in cameras
        ]

    def _update_last_seen(self, camera_id: str, track_uids: Sequence[str], has_motion: bool) -> None:
        """Record in the outbox which tracks, and whether the motion episode, of a camera continue."""
        motion = (motion_stay_key(camera_id),) if has_motion else ()
        self._outbox.update_last_seen((*track_uids, *motion))

    def _close_open_stays(self, camera_id: str) -> None:
        """Close the tracks and motion episodes that a failed pipeline left open."""
        if closed := self._outbox.close_open_stays(self._new_id, camera_id=camera_id):
            logger.info(
                "camera %s: closed %d tracks and motion episodes that were open when its pipeline failed",
                camera_id,
                closed,
            )

    def _camera_health(self) -> list[CameraHealth]:
        """Return the cameras' health, with times corrected to the wall clock."""
        return [
            health.model_copy(update={"last_frame_at": self._step_aware_clock.corrected(health.last_frame_at)})
            if health.last_frame_at is not None
            else health
            for health in self._cameras.health()
        ]

    def _publish(self, built: BuiltEvent) -> None:
        """Store an event in the outbox. Where that fails, the event is logged as lost and the camera continues."""
        try:
            self._outbox.put(
                built.event,
                snapshot=built.snapshot,
                thumbnail=built.thumbnail,
                timestamp_clock=self._step_aware_clock,
            )
        except (OutboxFullError, ContractError, TransientError) as error:
            self._lost_events.add()
            logger.error("camera %s: lost a %s event: %s", built.event.camera_id, built.event.event_type, error)  # noqa: TRY400


def run_agent(config_path: Path) -> int:
    """Run the agent until SIGTERM or SIGINT; return the exit status."""
    logging.getLogger("edge_agent").setLevel(logging.INFO)
    agent = Agent(config_path)
    stopping, reloading = threading.Event(), threading.Event()

    def on_signal(number: int, _: FrameType | None) -> None:
        (reloading if number == signal.SIGHUP else stopping).set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    logger.info("starting edge-agent %s with %s", __version__, config_path)
    agent.start()
    while not stopping.wait(0.5):
        if reloading.is_set():
            reloading.clear()
            _reload(agent)
    logger.info("stopping")
    agent.stop()
    return 0


def _reload(agent: Agent) -> None:
    try:
        changed = agent.reload()
        logger.info("configuration reloaded; changed cameras: %s", ", ".join(changed) or "none")
    except ConfigurationError as error:
        logger.error("the configuration was not reloaded: %s", error)  # noqa: TRY400 - a mistake in the file needs no traceback
    except Exception:
        logger.exception("reloading failed unexpectedly; the agent continues with the previous configuration")
