"""Zones, loitering, lines."""

from __future__ import annotations

from edge_agent.events.areas import Areas, Footing, Step
from edge_agent.events.settings import EventSettings, LineSettings, ZoneSettings
from shared.geometry import Point

LEFT_HALF = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]


def _walk(settings: EventSettings, places: list[tuple[float, float]], class_name: str = "person") -> list[Step]:
    areas, footing = Areas(settings), Footing()
    return [
        areas.step(footing, Point(*place), class_name=class_name, time_s=float(second))
        for second, place in enumerate(places)
    ]


def test_zones_are_told_by_where_the_feet_are() -> None:
    """In the zone on the left, then out of it."""
    steps = _walk(EventSettings(zones=[ZoneSettings(name="drive", polygon=LEFT_HALF)]), [(0.2, 0.5), (0.7, 0.5)])
    assert [step.zones for step in steps] == [("drive",), ()]


def test_a_zone_may_be_for_some_classes_only() -> None:
    """A dog is not counted where only people are."""
    settings = EventSettings(zones=[ZoneSettings(name="drive", polygon=LEFT_HALF, classes=["person"])])
    assert _walk(settings, [(0.2, 0.5)], "dog")[0].zones == ()


def test_loitering_is_told_once_and_again_after_leaving() -> None:
    """Three seconds inside are too many; going out and coming back starts the count afresh."""
    settings = EventSettings(zones=[ZoneSettings(name="drive", polygon=LEFT_HALF, loitering_s=3)])
    places = [(0.2, 0.5)] * 6 + [(0.8, 0.5)] + [(0.2, 0.5)] * 5
    assert [number for number, step in enumerate(_walk(settings, places)) if step.loitering_began] == [3, 10]


def test_a_line_is_crossed_once_and_its_direction_counts() -> None:
    """`right` is to the right of the line as seen from its start."""
    gate = {"name": "gate", "start": (0.5, 1.0), "end": (0.5, 0.0)}
    there_and_back = [(0.3, 0.5), (0.4, 0.5), (0.6, 0.5), (0.7, 0.5), (0.3, 0.5)]

    def crossings(direction: str) -> list[int]:
        settings = EventSettings(lines=[LineSettings.model_validate(gate | {"direction": direction})])
        return [number for number, step in enumerate(_walk(settings, there_and_back)) if step.line_crossed == "gate"]

    assert crossings("any") == [2, 4]
    assert crossings("right") == [2]
    assert crossings("left") == [4]


def test_an_object_qualifies_once_it_was_in_a_required_zone() -> None:
    """Having been there is enough; without required zones everybody qualifies."""
    zone = ZoneSettings(name="drive", polygon=LEFT_HALF)
    areas, footing = Areas(EventSettings(zones=[zone], required_zones=["drive"])), Footing()
    qualified = []
    for x in (0.8, 0.2, 0.8):
        areas.step(footing, Point(x, 0.5), class_name="person", time_s=0.0)
        qualified.append(footing.was_in_required)
    assert qualified == [False, True, True]
