"""The filter of event queries, and its translation to SQL conditions."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import LiteralString

from psycopg import sql

from cloud_functions.db.cameras.scope import CameraScope, camera_id_conditions
from cloud_functions.db.events.time_buckets import TimeSpan

Parameters = dict[str, object]

CONFIDENCE_STEPS = 20
"""Rollups count the events with at least a confidence, in steps of 1/20 (see the migrations)."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Conditions on events, combined with AND; None means no condition.

    ``start`` is inclusive and ``end`` exclusive, both timezone-aware. ``class_name`` and ``min_confidence`` together
    must hold for the same object. ``plate`` is a whole plate in normal form (``shared.plates``).
    """

    camera_id: str | None = None
    site_id: str | None = None
    event_type: str | None = None
    class_name: str | None = None
    min_confidence: float | None = None
    zone: str | None = None
    plate: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    plate_tokens: tuple[str, ...] | None = None
    """Tokens under which ``plate`` is stored where it is protected."""
    plate_event_ids: tuple[str, ...] | None = None
    """Events of ``plate`` that are stored under another token (see ``plates.normal_form.legacy_normal_forms``)."""
    scope: CameraScope | None = None
    """The camera groups that the caller is limited to."""

    @property
    def is_empty(self) -> bool:
        """Whether there is no condition besides the scope, so that every event that the caller can see matches."""
        return all(getattr(self, field.name) is None for field in fields(self) if field.name != "scope")

    @property
    def has_rollup(self) -> bool:
        """Whether rollups can count the matching events.

        Rollups are kept by camera, type, site, time, one label, and the confidence in whole steps.
        """
        one_label = self.class_name is None or self.zone is None
        return one_label and self.plate is None and (self.min_confidence is None or self.confidence_step is not None)

    @property
    def confidence_step(self) -> int | None:
        """``min_confidence`` as a number of whole steps; None if it is between two steps or not set."""
        if self.min_confidence is None:
            return None
        step = round(self.min_confidence * CONFIDENCE_STEPS)
        return step if step / CONFIDENCE_STEPS == self.min_confidence else None

    @property
    def label(self) -> tuple[str, str] | None:
        """Kind and name of the label by which rollups count, or None if the filter has no label."""
        if self.class_name is not None:
            return ("class", self.class_name)
        return None if self.zone is None else ("zone", self.zone)

    @property
    def span(self) -> TimeSpan:
        """The time range of the filter."""
        return TimeSpan(self.start, self.end)


_NAMES: dict[str, LiteralString] = {
    "camera_id": "camera_id = %(camera_id)s",
    "site_id": "site_id = %(site_id)s",
    "event_type": "event_type = %(event_type)s",
}
_ON_EVENTS: dict[str, LiteralString] = {
    **_NAMES,
    "class_name": "class_names ? %(class_name)s",
    "min_confidence": "confidence >= %(min_confidence)s",
    "zone": "zones ? %(zone)s",
}
_PLATE: LiteralString = "license_plate = %(plate)s"
_ANY_PLATE: LiteralString = "license_plate = ANY(%(any_plate)s)"
_ANY_PLATE_OR_LISTED: LiteralString = (
    "(license_plate = ANY(%(any_plate)s) OR event_id = ANY(%(plate_event_ids)s::uuid[]))"
)
_WITHOUT_LABEL_INDEX: dict[str, LiteralString] = {
    "class_name": "(class_names ? %(class_name)s) IS TRUE",
    "zone": "(zones ? %(zone)s) IS TRUE",
}
# A rule event has its class and its zone only in event_data (see migration 0012).
_OF_RULES: dict[str, LiteralString] = {
    "class_name": "event_type = 'rule' AND event_data ->> 'class_name' = %(class_name)s",
    "zone": "event_type = 'rule' AND event_data ->> 'zone' = %(zone)s",
}
# A detection event has many objects: the class and the confidence must belong to the same one.
# CASE guarantees the order of evaluation, so a field ``detections`` of an event of another type is never read.
_SAME_OBJECT: LiteralString = """CASE WHEN event_type = 'detection' THEN EXISTS (
    SELECT FROM jsonb_array_elements(event_data -> 'detections') AS object
    WHERE object ->> 'class_name' = %(class_name)s AND (object -> 'confidence')::float8 >= %(min_confidence)s)
    ELSE true END"""


def event_conditions(
    event_filter: EventFilter, *, by_label_index: bool = True
) -> tuple[list[sql.Composable], Parameters]:
    """Return the conditions on ``events``, except the time range, and their parameters.

    Without ``by_label_index`` the conditions cannot use the GIN indexes of the labels: the planner underestimates the
    cost of reading tens of thousands of their entries.
    """
    known = _ON_EVENTS if by_label_index else _ON_EVENTS | _WITHOUT_LABEL_INDEX
    if event_filter.event_type == "rule":
        known = known | _OF_RULES
    elif event_filter.event_type is None:
        either: dict[str, LiteralString] = {name: _either(known[name], rule) for name, rule in _OF_RULES.items()}
        known = known | either
    conditions, parameters = _chosen(event_filter, known)
    if event_filter.plate is not None:
        several = _ANY_PLATE_OR_LISTED if event_filter.plate_event_ids else _ANY_PLATE
        conditions.append(sql.SQL(several if event_filter.plate_tokens or event_filter.plate_event_ids else _PLATE))
        parameters["plate_event_ids"] = list(event_filter.plate_event_ids or ())
        parameters["any_plate"] = [event_filter.plate, *(event_filter.plate_tokens or ())]
        parameters["plate"] = event_filter.plate
    if event_filter.class_name is not None and event_filter.min_confidence is not None:
        conditions.append(sql.SQL(_SAME_OBJECT))
    return conditions, parameters


def _either(first: LiteralString, second: LiteralString) -> LiteralString:
    return "(" + first + " OR (" + second + "))"


def name_conditions(event_filter: EventFilter) -> tuple[list[sql.Composable], Parameters]:
    """Return the conditions on camera, site, type and scope, whose columns events and rollups share."""
    return _chosen(event_filter, _NAMES)


def _chosen(event_filter: EventFilter, known: dict[str, LiteralString]) -> tuple[list[sql.Composable], Parameters]:
    """Return the conditions that are set, of those in ``known``, and the scope's."""
    names = [name for name in known if getattr(event_filter, name) is not None]
    parameters: Parameters = {name: getattr(event_filter, name) for name in names}
    conditions: list[sql.Composable] = [sql.SQL(known[name]) for name in names]
    return conditions + camera_id_conditions(event_filter.scope, parameters), parameters


def all_of(conditions: list[sql.Composable]) -> sql.Composable:
    """Join conditions with AND; an empty list gives ``true``."""
    return sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true")
