"""Which events are asked for, and how that reads in SQL."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import LiteralString

from psycopg import sql

from cloud_functions.db.time_split import TimeSpan

Parameters = dict[str, object]


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

    @property
    def is_empty(self) -> bool:
        """Whether it asks nothing at all, so that every event matches."""
        return all(getattr(self, field.name) is None for field in fields(self))

    @property
    def is_counted(self) -> bool:
        """Whether the kept counts tell how many events match: they know camera, type, site, time and one label."""
        return self.min_confidence is None and self.plate is None and (self.class_name is None or self.zone is None)

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
    "plate": "license_plate = %(plate)s",
}
_WITHOUT_LABEL_INDEX: dict[str, LiteralString] = {
    "class_name": "(class_names ? %(class_name)s) IS TRUE",
    "zone": "(zones ? %(zone)s) IS TRUE",
}
# A detection event shows many objects: the class and the score must be of the same one.
_SAME_OBJECT: LiteralString = """(event_type <> 'detection' OR jsonb_path_exists(
    event_data, '$.detections[*] ? (@.class_name == $name && @.confidence >= $least)',
    jsonb_build_object('name', %(class_name)s::text, 'least', %(min_confidence)s::float8)))"""


def event_conditions(wanted: EventFilter, *, by_label_index: bool = True) -> tuple[list[sql.Composable], Parameters]:
    """Return the conditions on ``events``, time apart, and their parameters.

    Without ``by_label_index`` the GIN indexes of the labels are hidden from the planner, which takes reading tens of
    thousands of their entries for free.
    """
    conditions, parameters = _chosen(wanted, _ON_EVENTS if by_label_index else _ON_EVENTS | _WITHOUT_LABEL_INDEX)
    if wanted.class_name is not None and wanted.min_confidence is not None:
        conditions.append(sql.SQL(_SAME_OBJECT))
    return conditions, parameters


def count_conditions(wanted: EventFilter) -> tuple[list[sql.Composable], Parameters]:
    """Return the conditions on the tables of counts, time apart, and their parameters."""
    conditions, parameters = _chosen(wanted, _NAMES)
    if wanted.label is not None:
        conditions.append(sql.SQL("kind = %(kind)s AND label = %(label)s"))
        parameters |= {"kind": wanted.label[0], "label": wanted.label[1]}
    return conditions, parameters


def _chosen(wanted: EventFilter, known: dict[str, LiteralString]) -> tuple[list[sql.Composable], Parameters]:
    names = [name for name in known if getattr(wanted, name) is not None]
    return [sql.SQL(known[name]) for name in names], {name: getattr(wanted, name) for name in names}


def all_of(conditions: list[sql.Composable]) -> sql.Composable:
    """Join conditions with AND; none at all is true."""
    return sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true")
