"""Which events are asked for, and how that reads in SQL."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import LiteralString

from psycopg import sql

from cloud_functions.db.events.time_buckets import TimeSpan

Parameters = dict[str, object]

CONFIDENCE_STEPS = 20
"""The counts know how many events are at least so sure in steps of 1/20 (see the migrations)."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Every condition given must hold; None asks nothing.

    ``start`` is included and ``end`` excluded, both aware. ``class_name`` and ``min_confidence`` together mean one
    object that has both. ``plate`` is in normal form (``shared.plates``), and matches whole plates.
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
    """The protected plates that are meant by ``plate`` as well."""
    plate_event_ids: tuple[str, ...] | None = None
    """Events of ``plate`` that are stored under another token (see ``plates.normal_form.legacy_normal_forms``)."""

    @property
    def is_empty(self) -> bool:
        """Whether it asks nothing at all, so that every event matches."""
        return all(getattr(self, field.name) is None for field in fields(self))

    @property
    def has_rollup(self) -> bool:
        """Whether the kept counts tell how many events match.

        They know camera, type, site, time, one label, and the confidence in whole steps.
        """
        one_label = self.class_name is None or self.zone is None
        return one_label and self.plate is None and (self.min_confidence is None or self.confidence_step is not None)

    @property
    def confidence_step(self) -> int | None:
        """``min_confidence`` as a number of whole steps, or None where it lies between two (or is not asked)."""
        if self.min_confidence is None:
            return None
        step = round(self.min_confidence * CONFIDENCE_STEPS)
        return step if step / CONFIDENCE_STEPS == self.min_confidence else None

    @property
    def label(self) -> tuple[str, str] | None:
        """Kind and name of the label by which counts are kept, or None where the filter names none."""
        if self.class_name is not None:
            return ("class", self.class_name)
        return None if self.zone is None else ("zone", self.zone)

    @property
    def span(self) -> TimeSpan:
        """The time asked for."""
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
# A rule event has its class and its zone in event_data alone (see the migration 0012).
_OF_RULES: dict[str, LiteralString] = {
    "class_name": "event_type = 'rule' AND event_data ->> 'class_name' = %(class_name)s",
    "zone": "event_type = 'rule' AND event_data ->> 'zone' = %(zone)s",
}
# A detection event shows many objects: the class and the score must be of the same one.
# CASE, not OR: only then is it sure that an extra field ``detections`` of another type is never looked into.
_SAME_OBJECT: LiteralString = """CASE WHEN event_type = 'detection' THEN EXISTS (
    SELECT FROM jsonb_array_elements(event_data -> 'detections') AS object
    WHERE object ->> 'class_name' = %(class_name)s AND (object -> 'confidence')::float8 >= %(min_confidence)s)
    ELSE true END"""


def event_conditions(wanted: EventFilter, *, by_label_index: bool = True) -> tuple[list[sql.Composable], Parameters]:
    """Return the conditions on ``events``, time apart, and their parameters.

    Without ``by_label_index`` the GIN indexes of the labels are hidden from the planner, which takes reading tens of
    thousands of their entries for free.
    """
    known = _ON_EVENTS if by_label_index else _ON_EVENTS | _WITHOUT_LABEL_INDEX
    if wanted.event_type == "rule":
        known = known | _OF_RULES
    elif wanted.event_type is None:
        either: dict[str, LiteralString] = {name: _either(known[name], rule) for name, rule in _OF_RULES.items()}
        known = known | either
    conditions, parameters = _chosen(wanted, known)
    if wanted.plate is not None:
        several = _ANY_PLATE_OR_LISTED if wanted.plate_event_ids else _ANY_PLATE
        conditions.append(sql.SQL(several if wanted.plate_tokens or wanted.plate_event_ids else _PLATE))
        parameters["plate_event_ids"] = list(wanted.plate_event_ids or ())
        parameters["any_plate"] = [wanted.plate, *(wanted.plate_tokens or ())]
        parameters["plate"] = wanted.plate
    if wanted.class_name is not None and wanted.min_confidence is not None:
        conditions.append(sql.SQL(_SAME_OBJECT))
    return conditions, parameters


def _either(first: LiteralString, second: LiteralString) -> LiteralString:
    return "(" + first + " OR (" + second + "))"


def name_conditions(wanted: EventFilter) -> tuple[list[sql.Composable], Parameters]:
    """Return the conditions on camera, site and type alone, which events and counts have alike."""
    return _chosen(wanted, _NAMES)


def _chosen(wanted: EventFilter, known: dict[str, LiteralString]) -> tuple[list[sql.Composable], Parameters]:
    names = [name for name in known if getattr(wanted, name) is not None]
    return [sql.SQL(known[name]) for name in names], {name: getattr(wanted, name) for name in names}


def all_of(conditions: list[sql.Composable]) -> sql.Composable:
    """Join conditions with AND; none at all is true."""
    return sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true")
