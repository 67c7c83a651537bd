"""The counters of the cloud's functions: their names in CloudWatch, and the metrics that they are for Prometheus.

This is the only list of these names. A test compares it with the code, the template's alarms and the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Service = Literal["ingest", "fanout", "maintenance"]


@dataclass(frozen=True, slots=True)
class FunctionMetric:
    """One name in CloudWatch, in the namespace ``Vedette`` with the dimension ``service``."""

    service: Service
    metric: str
    """Its name for Prometheus, in ``table.FUNCTIONS``."""
    unit: Literal["Count", "Seconds"] = "Count"
    suffix_label: str | None = None
    """A name may be followed by ``_VALUE``, which is the value of this label."""
    on_aws: bool = True
    """Whether it is sent to CloudWatch, where each name costs."""


FUNCTION_METRICS: Final = {
    "EventsStored": FunctionMetric("ingest", "vedette_events_stored_total"),
    "EventsRepeated": FunctionMetric("ingest", "vedette_events_repeated_total"),
    "EventsSuppressed": FunctionMetric("ingest", "vedette_events_suppressed_total"),
    "PlateMatches": FunctionMetric("ingest", "vedette_plate_matches_total"),
    "MessagesRejected": FunctionMetric("ingest", "vedette_messages_rejected_total"),
    "MessagesReturned": FunctionMetric("ingest", "vedette_messages_returned_total"),
    "ResendsRequested": FunctionMetric("ingest", "vedette_resends_requested_total"),
    "ConfigurationsSent": FunctionMetric("ingest", "vedette_configurations_sent_total"),
    "BatchSeconds": FunctionMetric("ingest", "vedette_ingest_batch_seconds", "Seconds"),
    "EventsDelivered": FunctionMetric("fanout", "vedette_events_delivered_total"),
    "DeliveriesReturned": FunctionMetric("fanout", "vedette_deliveries_returned_total"),
    "Maintenance": FunctionMetric("maintenance", "vedette_maintenance_changes_total", suffix_label="task"),
    "MaintenanceFailures": FunctionMetric("maintenance", "vedette_maintenance_failures_total"),
    "CanaryLateSeconds": FunctionMetric("maintenance", "vedette_canaries_late_seconds", "Seconds"),
    "MaintenanceSucceededAt": FunctionMetric(
        "maintenance",
        "vedette_maintenance_last_success_timestamp_seconds",
        "Seconds",
        suffix_label="task",
        on_aws=False,
    ),
}


def find_function_metric(name: str) -> tuple[FunctionMetric, dict[str, str]]:
    """Return the metric of a name, and the labels in its suffix. Raises KeyError for an unknown name."""
    base, separator, suffix = name.partition("_")
    metric = FUNCTION_METRICS[base]
    if bool(separator) != (metric.suffix_label is not None):
        raise KeyError(name)
    return metric, {} if metric.suffix_label is None else {metric.suffix_label: suffix}
