"""Zones, lines and counts on an image."""

from __future__ import annotations

import numpy as np

from edge_agent.images.overlay import LINE_COLOR, OFF_COLOR, LineOverlay, ZoneOverlay, draw_corners, draw_overlay

SQUARE = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))


def _grey() -> np.ndarray:
    return np.full((360, 640, 3), 90, np.uint8)


def test_input_image_is_not_modified() -> None:
    """Only a copy is changed, and only at the drawn shapes."""
    image = _grey()
    drawn = draw_overlay(image, zones=[ZoneOverlay("yard", SQUARE)], lines=[], caption="")
    assert np.array_equal(image, _grey())
    assert np.array_equal(drawn[:60], image[:60])
    assert not np.array_equal(drawn[180, 320], image[180, 320])


def test_occupied_zone_has_another_color() -> None:
    """An object in the zone changes its colour."""
    empty, occupied = (
        draw_overlay(_grey(), zones=[ZoneOverlay("yard", SQUARE, occupancy=count)], lines=[], caption="")
        for count in (0, 2)
    )
    assert not np.array_equal(empty[200, 320], occupied[200, 320])


def test_line_arrow_points_to_its_right_side() -> None:
    """The arrow of a line from bottom to top points to the right of the image, as `direction` defines."""
    upwards = draw_overlay(_grey(), zones=[], lines=[LineOverlay("door", ((0.5, 0.9), (0.5, 0.1)), {})], caption="")
    colored = np.argwhere((upwards == np.array(LINE_COLOR)).all(axis=2))
    middle_rows = colored[abs(colored[:, 0] - 180) <= 1]
    assert middle_rows[:, 1].max() - 320 > 4
    assert 320 - middle_rows[:, 1].min() <= 3


def test_shapes_at_the_edges_and_on_tiny_images_are_drawn() -> None:
    """Shapes at the edge and tiny images cause no error."""
    zones = [ZoneOverlay("all", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)), occupancy=1)]
    lines = [LineOverlay("edge", ((0.0, 0.0), (0.0, 1.0), (1.0, 1.0)), {"left": 3, "right": 12})]
    for size in ((16, 16, 3), (36, 64, 3), (1080, 1920, 3)):
        assert draw_overlay(np.zeros(size, np.uint8), zones=zones, lines=lines, caption="12.3 s").shape == size


def test_uncertain_object_is_drawn_as_corners() -> None:
    """The middle of each side is not drawn."""
    drawn = draw_corners(_grey(), [((100.0, 100.0, 300.0, 200.0), (0, 0, 255))])
    changed = (drawn != _grey()).any(axis=2)
    assert all(changed[y, x] for x, y in ((100, 100), (300, 200), (120, 100), (300, 180)))
    assert not changed[95:105, 180:220].any()
    assert not changed[140:160, 295:305].any()


def test_shapes_outside_of_their_schedule_are_drawn_differently() -> None:
    """An inactive zone has no tint, and an inactive line is grey."""
    zones = [ZoneOverlay("yard", SQUARE, active=False)]
    lines = [LineOverlay("door", ((0.1, 0.9), (0.1, 0.1)), {}, active=False)]
    drawn = draw_overlay(_grey(), zones=zones, lines=lines, caption="")
    assert np.array_equal(drawn[120, 200:300], _grey()[120, 200:300])
    assert not (drawn == np.array(LINE_COLOR)).all(axis=2).any()
    assert (drawn == np.array(OFF_COLOR)).all(axis=2).any()
