"""Formats each event from Redis as one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from shared.log_lines import in_one_line
from shared.untyped_data import UntypedData

STYLES = {
    "tracking": "cyan",
    "motion": "yellow",
    "anpr": "magenta",
    "plate_match": "bold red",
    "detection": "cyan",
    "camera_status": "bold",
    "rule": "green",
    "snapshot": "",
}
_WHAT_WIDTH = 40


def event_line(event: Mapping[str, Any], *, api_url: str) -> Text:
    """Return a line with time, camera, description and the address of the snapshot."""
    event_type = str(event.get("event_type", ""))
    describe = DESCRIPTIONS.get(event_type, _other)
    data = UntypedData(event.get("event_data"))
    line = Text(no_wrap=True, overflow="ignore")
    line.append(in_one_line(_clock(str(event.get("timestamp", "")))), style="dim")
    line.append(in_one_line(f"  {event.get('camera_id', ''):<10}  "))
    what = in_one_line(describe(data) or event_type)  # a device chose these words, and a terminal obeys escapes
    line.append(f"{what:<{_WHAT_WIDTH}}", style=STYLES.get(event_type, ""))
    if event.get("snapshot_path"):
        line.append(f"  {api_url}/api/events/{event.get('id')}/snapshot", style="blue")
    return line


def _clock(timestamp: str) -> str:
    try:
        return datetime.fromisoformat(timestamp).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError):
        return timestamp


def _tracking(data: UntypedData) -> str:
    text = f"{data.text('class_name')} {_whole(data.number('track_id'))} {data.text('tracking_action')}"
    dwell_s = data.number("dwell_time_seconds")
    if data.text("tracking_action") == "left" and dwell_s is not None:
        return f"{text} after {dwell_s:.1f} s"
    return f"{text}, {_percent(data.number('confidence'))}"


def _motion(data: UntypedData) -> str:
    duration_s = data.number("duration_seconds")
    if duration_s is not None:
        return f"motion ended after {duration_s:.1f} s"
    return f"motion began, {data.number('affected_area_percentage') or 0:.1f} % of the picture"


def _anpr(data: UntypedData) -> str:
    result, direction = data.part("anpr_result"), data.text("direction")
    going = f", {direction}" if direction else ""
    return f"plate {result.text('license_plate')}, {_percent(result.number('confidence'))}{going}"


def _plate_match(data: UntypedData) -> str:
    lists = sorted({str(match.text("watchlist")) for match in data.parts("watchlist_matches")})
    return f"{_anpr(data).partition(',')[0]} is on {', '.join(lists) or 'a watch-list'}"


def _detection(data: UntypedData) -> str:
    found = [f"{one.text('class_name')} {_percent(one.number('confidence'))}" for one in data.parts("detections")]
    return ", ".join(found)


def _camera_status(data: UntypedData) -> str:
    error = data.text("error")
    return f"camera {data.text('status')}" + (f": {error}" if error else "")


def _rule(data: UntypedData) -> str:
    class_name, name, count, dwell_s = (
        data.text("class_name"),
        data.text("name"),
        data.number("count"),
        data.number("dwell_s"),
    )
    subject = f"{class_name} {_whole(data.number('track_id'))} " if class_name else ""
    match data.text("rule"):
        case "line_crossed":
            number = f" (number {_whole(count)})" if count else ""
            return f"{subject}crossed {name} to the {data.text('direction')}{number}"
        case "zone_entered":
            return f"{subject}entered zone {name}"
        case "zone_left":
            return f"{subject}left zone {name}" + ("" if dwell_s is None else f" after {dwell_s:.1f} s")
        case "loitering":
            return f"{subject}loiters in {name}" + ("" if dwell_s is None else f", {dwell_s:.0f} s")
        case "occupancy":
            return f"{_whole(count)} in zone {name}, {data.text('direction')} the limit"
        case rule:
            return f"{subject}{rule} {name}"


def _snapshot(data: UntypedData) -> str:
    error = data.text("error")
    return f"no snapshot: {error}" if error else "snapshot"


def _other(_: UntypedData) -> str:
    return ""


def _whole(number: float | None) -> str:
    return "?" if number is None else f"{number:.0f}"


def _percent(ratio: float | None) -> str:
    return "?" if ratio is None else f"{ratio:.0%}"


DESCRIPTIONS: dict[str, Callable[[UntypedData], str]] = {
    "tracking": _tracking,
    "motion": _motion,
    "anpr": _anpr,
    "plate_match": _plate_match,
    "detection": _detection,
    "camera_status": _camera_status,
    "rule": _rule,
    "snapshot": _snapshot,
}
