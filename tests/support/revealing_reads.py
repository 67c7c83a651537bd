"""Reads that contain their plate in every possible field, and a check that a text contains none of it."""

from __future__ import annotations

from typing import Any

from shared.plates import normalize_plate
from tests.support.plate_reads import plate_read

PLATE = "GQ-777 ZX"
TEXT = "GQ777ZX"
OTHER_READING = "6Q777ZX"
REVEALING = (PLATE, TEXT, OTHER_READING, "GQ777", "777ZX")


def revealing_read(plate: str = PLATE, **fields: Any) -> dict[str, Any]:
    """Return a read that contains its plate in every possible field: candidates, unknown fields, other texts."""
    text = normalize_plate(plate)
    return plate_read(
        plate,
        candidates=[{"text": text, "confidence": 0.9}, {"text": OTHER_READING, "confidence": 0.1}],
        newer={"agents": [f"say {plate}"]},
        host=f"host-{text}",
        roi=f"lane {plate}",
        track_uid="camera-1-77",
        vehicle={"type": "car", "make": f"make of {text}", "model": None, "color": "blue", "owner": text},
        **fields,
    )


def assert_no_plate_revealed(text: str) -> None:
    for revealing in REVEALING:
        assert revealing not in text
        assert revealing.lower() not in text.lower()
