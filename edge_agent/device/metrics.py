"""The agent's metrics for Prometheus, read at a scrape from counters that the parts keep anyway."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from edge_agent.device.camera_counters import CameraCounters
from edge_agent.outbox import Outbox
from edge_agent.transport.delivery_counters import DeliveryCounters
from shared.heartbeat import CameraHealth, CameraState, ConnectionHealth
from shared.metrics.exposition import Counter, Sample, render
from shared.metrics.process import process_samples
from shared.metrics.table import AGENT, by_name

STATES: Final[tuple[str, ...]] = get_args(CameraState)
_TABLE: Final = by_name(AGENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMetrics:
    """Collects the metrics of the agent's parts."""

    outbox: Outbox
    delivery: DeliveryCounters
    lost_events: Counter
    connected: Callable[[], bool]
    connection: Callable[[], ConnectionHealth]
    cameras: Callable[[], Sequence[CameraHealth]]
    counters: Callable[[], Mapping[str, CameraCounters]]
    """By camera id."""
    started_at_s: float
    """Start of the process, as Unix time."""

    def text(self) -> str:
        """Return all metrics in the Prometheus text format."""
        return render(_TABLE, self._samples())

    def _samples(self) -> Iterator[Sample]:
        yield from process_samples(self.started_at_s, threading.active_count())
        for health in self.cameras():
            yield from _camera_samples(health)
        for camera_id, counters in self.counters().items():
            yield from _loop_samples(camera_id, counters)
        yield from self._outbox_samples()
        yield from self._delivery_samples()

    def _outbox_samples(self) -> Iterator[Sample]:
        usage = self.outbox.usage()
        for kind, queue in (("event", usage.events), ("image", usage.images)):
            labels = {"type": kind}
            yield Sample("vedette_outbox_rows", queue.rows, labels)
            yield Sample("vedette_outbox_bytes", queue.bytes, labels)
            yield Sample("vedette_outbox_dropped_total", queue.dropped, labels)
            yield Sample("vedette_outbox_oldest_seconds", queue.oldest_s, labels)
        yield Sample("vedette_outbox_limit_bytes", usage.limit_bytes)
        yield Sample("vedette_events_lost_total", self.lost_events.value)

    def _delivery_samples(self) -> Iterator[Sample]:
        yield Sample("vedette_mqtt_connected", int(self.connected()))
        yield Sample("vedette_mqtt_reconnects_total", self.connection().reconnects)
        yield Sample("vedette_events_acknowledged_total", self.delivery.acknowledged.value)
        yield Sample("vedette_capture_to_ack_seconds", self.delivery.capture_to_ack.state())
        for result, counter in self.delivery.uploads.items():
            yield Sample("vedette_s3_uploads_total", counter.value, {"result": result})


def _camera_samples(health: CameraHealth) -> Iterator[Sample]:
    labels = {"camera": health.camera_id}
    yield Sample("vedette_camera_up", int(health.status == "online"), labels)
    for state in STATES:
        yield Sample("vedette_camera_state", int(health.status == state), labels | {"state": state})
    if health.fps_actual is not None:
        yield Sample("vedette_camera_fps", health.fps_actual, labels)


def _loop_samples(camera_id: str, counters: CameraCounters) -> Iterator[Sample]:
    labels = {"camera": camera_id}
    yield Sample("vedette_frames_total", counters.frames, labels)
    yield Sample("vedette_frames_dropped_total", counters.frames_dropped, labels)
    yield Sample("vedette_motion_frames_total", counters.motion_frames, labels)
    yield Sample("vedette_motion_area_ratio", counters.motion_area_ratio, labels)
    yield Sample("vedette_detections_total", counters.detections, labels)
    yield Sample("vedette_inference_seconds", counters.inference.state(), labels)
    for stage, seconds in dict(counters.stage_seconds).items():
        yield Sample("vedette_stage_seconds_total", seconds, labels | {"stage": stage})
