"""Validates event messages: the contract, the owner of the topic, and the timestamp."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Final, NamedTuple

from pydantic_core import to_json

from cloud_functions.db.events.insert import EventRow
from cloud_functions.db.events.json_size import check_stored_size
from cloud_functions.db.events.record import FlatEvent
from cloud_functions.ingest.plate_dicts import event_from_plate_dict, is_plate_dict
from cloud_functions.ingest.sources.messages import Message
from cloud_functions.plates.normal_form import with_normal_form
from cloud_functions.plates.site_key import is_token
from shared.clock import format_utc
from shared.errors import ContractError
from shared.event_dicts import EventDict, parse_event_dict
from shared.plates import MAX_PLATE_LENGTH
from shared.topics import ROOT, TopicAddress, parse_topic
from shared.untyped_data import UntypedData

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Earliest acceptable timestamp: a device without a clock battery starts here."""

_OWNERSHIP: Final = ("site_id", "device_id", "camera_id", "event_type")
_owner: Final = itemgetter(*_OWNERSHIP)
_MAX_COUNTED_NAMES: Final = 256
"""Maximum names of each kind under which one event is counted."""
_SUPERSEDED: Final = "superseded_timestamps"
_MAX_SUPERSEDED: Final = 32
"""Only the last 32 earlier times of an event are used. The device sets the field, and its length is not limited."""


class ValidatedEvent(NamedTuple):
    """An event that satisfies the contract, ready for the database."""

    message: Message
    row: EventRow
    class_names: Sequence[str]
    license_plate: str | None
    """The plate in normal form. Subscribers filter by it and by ``class_names``."""
    plate_token: str | None = None
    """The token of a protected plate. The row is then sealed, and the plate is not published."""
    labels: frozenset[tuple[str, str]] = frozenset()
    """The class and zone names under which the event is counted, as (kind, name)."""
    superseded: tuple[str, ...] = ()
    """Earlier times of the event, from before its device's clock was set."""
    rule: str | None = None
    """The rule of a rule event. Subscribers filter by it."""
    is_update: bool = False
    """Whether it is a ``tracking`` event that an object is still there."""

    @property
    def private_plate(self) -> str | None:
        """The plate if it is protected and must not be published."""
        return self.license_plate if self.plate_token else None


def validate_event(message: Message, *, latest: datetime) -> ValidatedEvent:
    """Return the event in ``message``; raise ContractError if it must not be stored.

    A plate read under the column names of ALPR storage services becomes an ``anpr`` event (see ``plate_dicts``).
    ``latest``: the latest acceptable capture time. Reasons are those of ``shared.events.parse_event``, and
    ``topic_mismatch``, ``timestamp_out_of_range``.
    """
    event = _parsed(message)
    site_id, device_id, camera_id, event_type = _owner(event)
    if message.topic is not None and message.topic != f"{ROOT}/{site_id}/{device_id}/events/{camera_id}/{event_type}":
        raise ContractError(_mismatch(parse_topic(message.topic), event), reason="topic_mismatch")
    timestamp, snapshot, data = event["timestamp"], event["snapshot"], event["event_data"]
    check_time(timestamp, latest)
    if event_type == "anpr":
        data = _with_normal_form(data)
    data_json, snapshot_json = _json(data), _json(snapshot) if snapshot else None
    check_stored_size(data_json, snapshot_json)
    row = EventRow(
        str(event["event_id"]),
        site_id,
        device_id,
        camera_id,
        event_type,
        format_utc(timestamp),
        event["frame_number"],
        event["sequence"],
        event["sequence_epoch"],
        snapshot["key"] if snapshot else None,
        snapshot_json,
        data_json,
    )
    # The result does not reference the parsed event: thousands of live dicts would slow garbage collection.
    plate = data["plate_normalized"] if event_type == "anpr" else None
    class_names = _class_names(event_type, data)
    labels = _labels(event_type, class_names, data)
    rule = data["rule"] if event_type == "rule" else None
    return ValidatedEvent(
        message,
        row,
        class_names,
        plate,
        labels=labels,
        superseded=_superseded_times(event),
        rule=rule,
        is_update=event_type == "tracking" and data["tracking_action"] == "updated",
    )


def _parsed(message: Message) -> EventDict:
    payload = message.payload
    try:
        return parse_event_dict(payload)
    except ContractError as error:
        if error.reason != "unknown_event_type" or not is_plate_dict(payload):
            raise
    address = None if message.topic is None else parse_topic(message.topic)
    return parse_event_dict(event_from_plate_dict(payload, address))


def _with_normal_form(data: EventDict) -> EventDict:
    """Return the data of a plate read with the plate in the current normal form, which older agents do not send."""
    changed = with_normal_form(data)
    if changed is None:
        return data
    length = len(changed["plate_normalized"])
    if length > MAX_PLATE_LENGTH:
        raise ContractError(
            f"the plate has {length} letters and digits; the limit is {MAX_PLATE_LENGTH}", reason="invalid"
        )
    return changed


def _json(value: EventDict) -> str:
    # An unknown field may contain NaN, which Python's JSON parser accepts and PostgreSQL rejects.
    return to_json(value, inf_nan_mode="null").decode()


def _class_names(event_type: str, data: EventDict) -> Sequence[str]:
    if event_type == "tracking" or (event_type == "rule" and data["class_name"] is not None):
        return (data["class_name"],)
    if event_type == "detection":
        return tuple(dict.fromkeys(detection["class_name"] for detection in data["detections"]))
    return ()


def _labels(event_type: str, class_names: Sequence[str], data: EventDict) -> frozenset[tuple[str, str]]:
    """Return the names under which the database counts the event (generated columns ``class_names``, ``zones``)."""
    if event_type == "tracking":
        zones: list[str] = data["zones"]
        return frozenset((("class", class_names[0]), *(("zone", zone) for zone in zones[:_MAX_COUNTED_NAMES])))
    zone = data["zone"] if event_type == "rule" else None
    names = frozenset(("class", name) for name in class_names[:_MAX_COUNTED_NAMES])
    return names if zone is None else names | {("zone", zone)}


def _superseded_times(event: EventDict) -> tuple[str, ...]:
    """Return the earlier times of an event whose device's clock was set; entries that are not times are ignored."""
    value = event.get(_SUPERSEDED)
    if not isinstance(value, list):
        return ()
    times: list[str] = []
    for text in value[-_MAX_SUPERSEDED:]:
        try:
            times.append(format_utc(datetime.fromisoformat(text)))
        except (TypeError, ValueError, OverflowError):
            continue
    return tuple(times)


def with_stored_content(event: ValidatedEvent, stored: FlatEvent) -> ValidatedEvent:
    """Return a repeated event with the stored content, so that its documents agree with the database.

    The first message with an event_id is stored. A later one with other content changes nothing.
    """
    if stored.device_id != event.row.device_id:
        return event  # refused
    data = UntypedData.from_json(stored.event_data_json)
    names = {
        "tracking": [data.text("class_name")],
        "detection": [detection.text("class_name") for detection in data.parts("detections")],
    }.get(stored.event_type, [])
    row = event.row._replace(
        event_type=stored.event_type,
        camera_id=stored.camera_id,
        site_id=stored.site_id,
        snapshot_path=stored.snapshot_path,
    )
    classes = tuple(dict.fromkeys(name for name in names if name is not None))
    event = event._replace(row=row, class_names=classes)
    plate = data.text("plate_normalized") if stored.event_type == "anpr" else None
    if plate is None:
        return event._replace(license_plate=None, plate_token=None)
    if not is_token(plate):
        return event if event.plate_token is not None else event._replace(license_plate=plate)
    # The stored plate is sealed. It is known only if this message carries the same plate.
    same = plate == event.plate_token
    return event if same else event._replace(license_plate=None, plate_token=None)


def check_time(timestamp: datetime, latest: datetime) -> None:
    """Raise ContractError if the capture time is before 1970 or after ``latest``."""
    # Compare before conversion: the ends of the calendar have no UTC representation.
    if timestamp > latest:
        ahead = timestamp - latest
        raise ContractError(
            f"timestamp is {ahead / timedelta(days=1):.1f} days later than the limit",
            reason="timestamp_out_of_range",
        )
    if timestamp < EARLIEST:
        raise ContractError("timestamp is before 1970", reason="timestamp_out_of_range")


def _mismatch(address: TopicAddress, event: EventDict) -> str:
    if address.kind != "events":
        return "an event on a topic of another kind"
    bound = (address.site_id, address.device_id, *address.rest)
    wrong = [name for name, other in zip(_OWNERSHIP, bound, strict=True) if event[name] != other]
    return f"the event and its topic differ in {', '.join(wrong)}"
