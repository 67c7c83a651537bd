"""The metrics that Prometheus can scrape. Code, documentation, dashboard and alert rules follow from this table.

Names follow https://prometheus.io/docs/practices/naming/: base units, ``_total`` for counters. Labels have few values:
ids of cameras and devices, names of parts, tasks and targets. Addresses, users, plates and event ids are never labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]

_SHORT_S: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_DELIVERY_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name, kind, help text and label names."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    """Base unit: ``seconds``, ``bytes``, ``ratio``; empty for plain numbers."""
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, ascending, without infinity."""

    def series(self) -> Iterator[str]:
        """Yield the names of the time series that Prometheus stores."""
        if self.kind == "histogram":
            yield from (f"{self.name}{suffix}" for suffix in ("_bucket", "_sum", "_count"))
        else:
            yield self.name


PROCESS: Final = (
    Metric("process_cpu_seconds_total", "counter", "CPU time of the process, user and system.", unit="seconds"),
    Metric("process_resident_memory_bytes", "gauge", "Memory of the process in RAM.", unit="bytes"),
    Metric("process_start_time_seconds", "gauge", "Start of the process, as Unix time.", unit="seconds"),
    Metric("process_threads", "gauge", "Threads of the process."),
    Metric("vedette_build_info", "gauge", "Always 1; the labels say what runs.", ("version", "python_version")),
)

AGENT: Final = (
    *PROCESS,
    Metric(
        "vedette_camera_up", "gauge", "1 while the camera delivers usable pictures (state online), else 0.", ("camera",)
    ),
    Metric(
        "vedette_camera_state",
        "gauge",
        "1 for the camera's present state (online, degraded, offline), 0 for the others.",
        ("camera", "state"),
    ),
    Metric("vedette_camera_fps", "gauge", "Frames received per second over the last few seconds.", ("camera",)),
    Metric("vedette_frames_total", "counter", "Frames processed.", ("camera",)),
    Metric(
        "vedette_frames_dropped_total",
        "counter",
        "Frames received and not processed, because a newer frame had arrived or because they were too old.",
        ("camera",),
    ),
    Metric("vedette_motion_frames_total", "counter", "Processed frames with motion.", ("camera",)),
    Metric(
        "vedette_motion_area_ratio",
        "gauge",
        "Fraction of the watched area that moved in the latest frame, 0 to 1.",
        ("camera",),
        "ratio",
    ),
    Metric("vedette_detections_total", "counter", "Detections that passed the detection filter.", ("camera",)),
    Metric(
        "vedette_inference_seconds",
        "histogram",
        "Time of the detector for one frame, with all slices.",
        ("camera",),
        "seconds",
        _SHORT_S,
    ),
    Metric(
        "vedette_stage_seconds_total",
        "counter",
        "Time spent in a stage of the frame loop: motion, detect, track, rules, plates, snapshot, publish.",
        ("camera", "stage"),
        "seconds",
    ),
    Metric("vedette_events_lost_total", "counter", "Events that could not be stored in the outbox."),
    Metric("vedette_outbox_rows", "gauge", "Items in the outbox that wait for delivery: event or image.", ("type",)),
    Metric("vedette_outbox_bytes", "gauge", "Size of the items that wait for delivery.", ("type",), "bytes"),
    Metric("vedette_outbox_limit_bytes", "gauge", "Size from which the outbox drops items.", unit="bytes"),
    Metric(
        "vedette_outbox_dropped_total",
        "counter",
        "Items dropped because of the size or age limit, since the outbox was created.",
        ("type",),
    ),
    Metric(
        "vedette_outbox_oldest_seconds",
        "gauge",
        "Age of the oldest item that waits for delivery; 0 if none waits.",
        ("type",),
        "seconds",
    ),
    Metric("vedette_events_acknowledged_total", "counter", "Events that the broker has acknowledged."),
    Metric(
        "vedette_capture_to_ack_seconds",
        "histogram",
        "Time from the capture of an event to the broker's acknowledgement.",
        (),
        "seconds",
        _DELIVERY_S,
    ),
    Metric("vedette_mqtt_connected", "gauge", "1 while connected to the broker, else 0."),
    Metric("vedette_mqtt_reconnects_total", "counter", "Connections to the broker after the first one."),
    Metric(
        "vedette_s3_uploads_total",
        "counter",
        "Attempts to upload an image, by result: stored, refused (this image) or failed (the store).",
        ("result",),
    ),
)
"""What the agent serves."""


FUNCTIONS: Final = (
    Metric("vedette_events_stored_total", "counter", "Events that ingest has stored."),
    Metric("vedette_events_repeated_total", "counter", "Events that were delivered again and stored before."),
    Metric(
        "vedette_events_suppressed_total", "counter", "Events that were stored, and not published because of a limit."
    ),
    Metric("vedette_plate_matches_total", "counter", "Matches of plates with watch-lists."),
    Metric("vedette_messages_rejected_total", "counter", "Messages that ingest has moved to the dead letters."),
    Metric("vedette_messages_returned_total", "counter", "Messages that ingest could not process yet."),
    Metric("vedette_resends_requested_total", "counter", "Requests to devices to send missing events again."),
    Metric("vedette_configurations_sent_total", "counter", "Configurations sent to devices."),
    Metric(
        "vedette_ingest_batch_seconds", "histogram", "Time of ingest for one batch.", (), "seconds", (*_SHORT_S, 10.0)
    ),
    Metric("vedette_events_delivered_total", "counter", "Events that a fan-out function has delivered.", ("target",)),
    Metric("vedette_deliveries_returned_total", "counter", "Deliveries that failed and will be repeated.", ("target",)),
    Metric("vedette_maintenance_changes_total", "counter", "Changes that a maintenance task has made.", ("task",)),
    Metric("vedette_maintenance_failures_total", "counter", "Steps of maintenance tasks that failed."),
    Metric(
        "vedette_canaries_late_seconds",
        "gauge",
        "By how much the most overdue canary of any device is late, seen each minute; 0 if all are in time.",
        unit="seconds",
    ),
    Metric(
        "vedette_maintenance_last_success_timestamp_seconds",
        "gauge",
        "When all steps of a task last succeeded, as Unix time. Missing until the first success since the start.",
        ("task",),
        "seconds",
    ),
)
"""What the functions count: on AWS in the embedded metric format, on the one-machine stack for Prometheus."""

STACK: Final = (
    *PROCESS,
    Metric("vedette_part_up", "gauge", "1 while a part of the stack runs, else 0.", ("part",)),
    Metric("vedette_part_cpu_seconds_total", "counter", "CPU time of a part.", ("part",), "seconds"),
    Metric("vedette_part_resident_memory_bytes", "gauge", "Memory of a part in RAM.", ("part",), "bytes"),
    Metric(
        "vedette_api_request_seconds",
        "histogram",
        "Duration of requests to the API by route template and class of the status.",
        ("method", "route", "status"),
        "seconds",
        (0.005, 0.025, 0.1, 0.5, 2.5, 10.0),
    ),
    *FUNCTIONS,
    Metric("vedette_queue_messages", "gauge", "Messages on a queue; dead letters end in -dead.", ("queue",)),
    Metric(
        "vedette_queue_oldest_seconds",
        "gauge",
        "Age of the oldest message on a queue; 0 if it is empty.",
        ("queue",),
        "seconds",
    ),
    Metric("vedette_database_up", "gauge", "1 if the database answered this scrape, else 0."),
    Metric("vedette_database_size_bytes", "gauge", "Size of the database.", unit="bytes"),
    Metric("vedette_event_partitions", "gauge", "Monthly partitions of the events."),
    Metric("vedette_devices", "gauge", "Devices by state: online or offline.", ("state",)),
    Metric("vedette_cameras", "gauge", "Cameras by status: idle, live, degraded or offline.", ("status",)),
    Metric("vedette_missing_events", "gauge", "Events whose numbers are known and that were not received."),
    Metric(
        "vedette_canary_age_seconds",
        "gauge",
        "Time since a subscriber last received a canary of the device; grows while any part of the way is broken.",
        ("device",),
        "seconds",
    ),
    Metric("vedette_webhook_pending", "gauge", "Deliveries to webhooks that are due or will be repeated."),
    Metric(
        "vedette_webhook_pending_oldest_seconds",
        "gauge",
        "Age of the oldest pending delivery to a webhook; 0 if there is none.",
        unit="seconds",
    ),
)
"""What the one-machine stack serves."""


def by_name(*tables: tuple[Metric, ...]) -> Mapping[str, Metric]:
    """Return the metrics of the tables by their names."""
    return {metric.name: metric for table in tables for metric in table}
