"""Makes lists fit into one answer: the largest items are shortened, so that no item hides its neighbours.

Numbers that the database wrote out are written short first, which changes no value. Where that is not enough, the
largest events come without their data, and say so: ``{"truncated": true, "event_data_bytes": …, "href": …}``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cloud_functions.api.dependencies import Limits
from cloud_functions.db.events.json_size import short_numbers
from cloud_functions.db.events.record import FlatEvent, truncated_data

_AROUND_BYTES = 4096
"""Kept free for what stands around the items, and for headers."""
_LONGEST_TEXT = 200


def event_texts(events: Sequence[FlatEvent], limits: Limits) -> list[str]:
    """Return events as JSON texts that fit into one answer together."""
    short = [shortened(event) for event in events]
    return fit([event.to_json() for event in short], lambda index: without_data(short[index]).to_json(), limits)


def plate_texts(plates: Sequence[dict[str, Any]], limits: Limits) -> list[str]:
    """Return plate reads as JSON texts that fit into one answer together."""
    texts = [json.dumps(plate, ensure_ascii=False, separators=(",", ":")) for plate in plates]
    return fit(texts, lambda index: json.dumps(_cut(plates[index]), ensure_ascii=False), limits)


def shortened(event: FlatEvent) -> FlatEvent:
    """Return the event with long numbers written short."""
    text = short_numbers(event.event_data_json)
    return event if text is event.event_data_json else replace(event, event_data_json=text)


def without_data(event: FlatEvent) -> FlatEvent:
    """Return the event with a note in the place of its data: how large it is, and where to get it."""
    return replace(event, event_data_json=json.dumps(truncated_data(event.event_data_json, event.id)))


def fit(texts: list[str], smaller: Callable[[int], str], limits: Limits) -> list[str]:
    """Return the texts, the largest replaced by what ``smaller`` gives for their index until all fit together."""
    if limits.surely_fits(sum(map(len, texts)) + len(texts)):
        return texts
    sizes = [limits.sent_bytes(text) for text in texts]
    excess = sum(sizes) + len(texts) + _AROUND_BYTES - limits.answer_bytes
    fitted = list(texts)
    for index in sorted(range(len(texts)), key=sizes.__getitem__, reverse=True):
        if excess <= 0:
            break
        fitted[index] = smaller(index)
        excess -= sizes[index] - limits.sent_bytes(fitted[index])
    return fitted


def _cut(plate: dict[str, Any]) -> dict[str, Any]:
    """Return a read without what a device added of its own: long texts end after a while, its box is four numbers."""
    cut = {name: f"{value[:_LONGEST_TEXT]}…" if _is_long(value) else value for name, value in plate.items()}
    box = cut.get("plate_box")
    if isinstance(box, dict):
        cut["plate_box"] = {name: box.get(name) for name in ("x", "y", "width", "height")}
    return cut | {"truncated": True}


def _is_long(value: object) -> bool:
    return isinstance(value, str) and len(value) > _LONGEST_TEXT
