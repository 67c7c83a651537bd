"""One tidy line for each event that reaches Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

_STYLES = {
    "tracking": "cyan",
    "motion": "yellow",
    "anpr": "magenta",
    "plate_match": "bold red",
    "detection": "cyan",
    "camera_status": "bold",
}
_WHAT_WIDTH = 40


def event_line(event: Mapping[str, Any], *, api_url: str) -> Text:
    """Return time, camera, what happened, and where its picture is."""
    event_type = str(event.get("event_type", ""))
    describe = _DESCRIBE.get(event_type, _other)
    data: Mapping[str, Any] = event.get("event_data") or {}
    line = Text(no_wrap=True, overflow="ignore")
    line.append(_clock(str(event.get("timestamp", ""))), style="dim")
    line.append(f"  {event.get('camera_id', ''):<10}  ")
    line.append(f"{describe(data) or event_type:<{_WHAT_WIDTH}}", style=_STYLES.get(event_type, ""))
    if event.get("snapshot_path"):
        line.append(f"  {api_url}/api/events/{event.get('id')}/snapshot", style="blue")
    return line


def _clock(timestamp: str) -> str:
    try:
        return datetime.fromisoformat(timestamp).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except ValueError:
        return timestamp


def _tracking(data: Mapping[str, Any]) -> str:
    text = f"{data.get('class_name')} {data.get('track_id')} {data.get('tracking_action')}"
    if data.get("tracking_action") == "left" and data.get("dwell_time_seconds") is not None:
        return f"{text} after {data['dwell_time_seconds']:.1f} s"
    return f"{text}, {_percent(data.get('confidence'))}"


def _motion(data: Mapping[str, Any]) -> str:
    if data.get("duration_seconds") is not None:
        return f"motion ended after {data['duration_seconds']:.1f} s"
    return f"motion began, {data.get('affected_area_percentage', 0):.1f} % of the picture"


def _anpr(data: Mapping[str, Any]) -> str:
    result: Mapping[str, Any] = data.get("anpr_result") or {}
    going = f", {data['direction']}" if data.get("direction") else ""
    return f"plate {result.get('license_plate')}, {_percent(result.get('confidence'))}{going}"


def _plate_match(data: Mapping[str, Any]) -> str:
    lists = sorted({str(match.get("watchlist")) for match in data.get("watchlist_matches") or ()})
    return f"{_anpr(data).partition(',')[0]} is on {', '.join(lists) or 'a watch-list'}"


def _detection(data: Mapping[str, Any]) -> str:
    return ", ".join(f"{found.get('class_name')} {_percent(found.get('confidence'))}" for found in data["detections"])


def _camera_status(data: Mapping[str, Any]) -> str:
    return f"camera {data.get('status')}" + (f": {data['error']}" if data.get("error") else "")


def _other(_: Mapping[str, Any]) -> str:
    return ""


def _percent(ratio: object) -> str:
    return f"{ratio:.0%}" if isinstance(ratio, int | float) else "?"


_DESCRIBE: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "tracking": _tracking,
    "motion": _motion,
    "anpr": _anpr,
    "plate_match": _plate_match,
    "detection": _detection,
    "camera_status": _camera_status,
}
