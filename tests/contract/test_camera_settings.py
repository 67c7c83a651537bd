"""What the API edits is what the agent obeys: each setting of ``CameraConfig`` is one of the agent's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge_agent.camera.source import SCHEMES
from edge_agent.config import CameraSettings
from shared.cameras import CameraConfig
from shared.stream_address import MANAGED_SCHEMES

Schema = dict[str, Any]
_BOUNDS = ("type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
STRICTER = {"maxItems", "minLength", "maxLength", "pattern"}
"""What the API may bound where the agent does not: the size of texts and lists."""


def _resolved(schema: Schema, root: Schema) -> Schema:
    """Return the schema that is meant: of a reference, or of the variant that is not null."""
    if "$ref" in schema:
        return _resolved(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root)
    variants = [variant for variant in schema.get("anyOf", ()) if variant != {"type": "null"}]
    return _resolved(variants[0], root) if len(variants) == 1 else schema


def _differences(ours: Schema, theirs: Schema, roots: tuple[Schema, Schema], place: str) -> Iterator[str]:
    ours, theirs = _resolved(ours, roots[0]), _resolved(theirs, roots[1])
    for name, part in ours.get("properties", {}).items():
        if name not in theirs.get("properties", {}):
            yield f"{place}.{name}: the agent has no such setting"
        else:
            yield from _differences(part, theirs["properties"][name], roots, f"{place}.{name}")
    for bound in _BOUNDS:
        if ours.get(bound) != theirs.get(bound):
            yield f"{place}: {bound} is {ours.get(bound)}, of the agent {theirs.get(bound)}"
    if isinstance(ours.get("items"), dict) and isinstance(theirs.get("items"), dict):
        yield from _differences(ours["items"], theirs["items"], roots, f"{place}[]")


def test_each_setting_has_the_name_and_the_bounds_of_the_agents() -> None:
    """A setting that is renamed, or whose bounds change, on one side only is found."""
    ours, theirs = CameraConfig.model_json_schema(), CameraSettings.model_json_schema()
    assert list(_differences(ours, theirs, (ours, theirs), "cameras")) == []
    assert len(ours["properties"]) > 5


def test_the_agent_accepts_what_the_api_stores() -> None:
    """A document with every setting is a valid part of the agent's file."""
    polygon = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]
    schedule = [{"days": ["mon"], "start": "22:00", "end": "24:00"}]
    config = CameraConfig.model_validate(
        {
            "mode": "tracking",
            "motion_events": False,
            "stream": {"rtsp_transport": "udp"},
            "motion": {"threshold": 10, "min_area_ratio": 0.001, "ignore": [polygon]},
            "model": {"name": "none"},
            "detect": {"min_score": 0.3, "classes": ["car"], "slicing": {"enabled": True, "max_crops": 3}},
            "events": {
                "confirm_s": 0.5,
                "min_median_confidence": 0.4,
                "update_interval_s": 2,
                "zones": [
                    {
                        "name": "yard",
                        "polygon": polygon,
                        "loitering": {"after_s": 30},
                        "occupancy": {"over": 3},
                        "schedule": schedule,
                    }
                ],
                "required_zones": ["yard"],
                "lines": [{"name": "gate", "points": [[0, 0.5], [1, 0.5]], "direction": "left"}],
            },
            "snapshots": {
                "enabled": True,
                "image_format": "webp",
                "quality": 70,
                "max_width_px": 640,
                "thumbnail_width_px": 160,
            },
            "anpr": {
                "enabled": True,
                "search": "frame",
                "min_confidence": 0.7,
                "rules": {"regions": ["de"], "only_these_regions": True, "ignore": ["TAXI"]},
            },
        }
    )
    document = config.document()
    agent = CameraSettings.model_validate({"id": "camera-1", "source": "synthetic:gate", **document})
    assert agent.events.zones[0].schedule[0].start.hour == 22
    assert agent.anpr.rules.regions == ["de"]
    assert CameraConfig.model_validate(document).document() == document


def test_the_agent_opens_each_kind_of_source_that_the_api_accepts() -> None:
    """All of the agent's but pipelines, which run programs on the device."""
    assert set(MANAGED_SCHEMES) == set(SCHEMES) - {"gst"}
