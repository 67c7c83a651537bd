"""Annotations on images, checked pixel by pixel."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.images.annotate import (
    GREEN,
    RED,
    BoxLabel,
    PlateLabel,
    class_color,
    draw_boxes,
    draw_motion,
    draw_plates,
)

GREY = 90
NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)


def grey(width: int = 1280, height: int = 720) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def is_color(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return (image == np.array(color, np.uint8)).all(axis=2)


def changed(image: np.ndarray) -> np.ndarray:
    return (image != GREY).any(axis=2)


def extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def test_label_has_the_documented_format() -> None:
    """The label is ``class_name: confidence (ID:track_id)``, without the id if there is none."""
    assert BoxLabel((0, 0, 1, 1), "person", 0.873, 12).text == "person: 0.87 (ID:12)"
    assert BoxLabel((0, 0, 1, 1), "car", 1.0).text == "car: 1.00"


def test_box_is_drawn_in_its_class_color_with_a_tag_above() -> None:
    """The line is inside the box, the middle is unchanged, and the tag is on the upper edge."""
    image = draw_boxes(grey(), [BoxLabel((400, 300, 800, 600), "person", 0.9, 3)])
    color = class_color("person")
    assert is_color(image, color)[300:302, 400:800].all()
    assert is_color(image, color)[300:600, 400].all()
    assert not changed(image)[320:580, 420:780].any()
    left, top, right, bottom = extent(changed(image))
    assert (left, right, bottom) == (400, 800, 600)
    assert 250 < top < 280


def test_text_contrasts_with_its_tag() -> None:
    """Text is black on bright tags and white on dark ones."""
    for name in ("person", "car", "truck", "bus", "dog", "chair", "laptop", "boat", "bird", "object"):
        color = class_color(name)
        image = draw_boxes(grey(), [BoxLabel((400, 300, 800, 600), name, 0.9)])
        tag = image[272:298, 404:430].reshape(-1, 3)
        brightness = tag @ np.array([0.0722, 0.7152, 0.2126])
        fill = float(np.array(color) @ np.array([0.0722, 0.7152, 0.2126]))
        assert max(brightness.max() - fill, fill - brightness.min()) > 90


def test_colors_are_stable_and_differ_between_classes() -> None:
    """A name always has the same colour, in any letter case; common classes differ clearly."""
    assert class_color("Person") == class_color("person")
    assert class_color("zebra") == class_color("zebra")
    usual = [class_color(name) for name in ("person", "car", "truck", "bus", "motorcycle", "bicycle", "object")]
    for i, one in enumerate(usual):
        for other in usual[i + 1 :]:
            assert np.linalg.norm(np.subtract(one, other)) > 70


def test_input_image_is_not_modified() -> None:
    """Other readers use the same decoded image."""
    image = grey()
    image.flags.writeable = False
    mask = np.full((180, 320), 255, np.uint8)
    mask.flags.writeable = False
    for drawn in (
        draw_boxes(image, [BoxLabel((10, 10, 200, 200), "car", 0.5, 1)]),
        draw_motion(image, mask, timestamp=NOON),
        draw_plates(image, [PlateLabel((10, 60, 200, 90), "B 123 XYZ", 0.9)]),
    ):
        assert drawn is not image
        assert changed(drawn).any()
        assert not changed(image).any()


def test_without_boxes_a_copy_is_returned() -> None:
    """The result is equal to the input but does not share its memory."""
    image = grey()
    drawn = draw_boxes(image, [])
    assert np.array_equal(drawn, image)
    assert not np.shares_memory(drawn, image)


@pytest.mark.parametrize(
    "box",
    [(-50, -20, 60, 40), (1200, -5, 1400, 30), (1100, 690, 1279, 719), (0, 0, 1280, 720), (600, 0, 640, 10)],
    ids=["top left", "top right", "bottom right", "all", "small at the top"],
)
def test_tags_are_complete_at_the_edges(box: tuple[int, int, int, int]) -> None:
    """The whole tag is inside the image at any position: as much text is drawn as in the middle."""
    label = BoxLabel(box, "person", 0.5, 12)
    middle = BoxLabel((500, 400, 900, 700), "person", 0.5, 12)
    ink = [int(is_color(draw_boxes(grey(), [one]), (0, 0, 0)).sum()) for one in (label, middle)]
    assert ink[0] == ink[1] > 100


def test_tags_of_two_objects_do_not_overlap() -> None:
    """The text of two boxes with the same corner is legible."""
    one, two = BoxLabel((400, 300, 800, 600), "person", 0.5, 1), BoxLabel((400, 300, 700, 650), "person", 0.5, 2)
    ink = [int(is_color(draw_boxes(grey(), labels), (0, 0, 0)).sum()) for labels in ([one], [two], [one, two])]
    assert ink[2] == ink[0] + ink[1]


def test_tag_does_not_hide_a_small_plate_at_the_top() -> None:
    """Without space above, the tag is drawn below."""
    image = draw_plates(grey(), [PlateLabel((600, 2, 700, 30), "CJ 09", 0.5)])
    assert not changed(image)[10:22, 615:685].any()
    assert is_color(image, GREEN)[40:50, 600:605].any()


def test_lines_and_text_scale_with_the_image() -> None:
    """An image four times as large has tags about four times as large and thicker lines."""
    heights, widths = [], []
    for scale in (1, 4):
        image = draw_boxes(
            grey(640 * scale, 360 * scale), [BoxLabel((100 * scale, 150 * scale, 300 * scale, 300 * scale), "x", 0.5)]
        )
        left, top, _, _ = extent(changed(image))
        heights.append(150 * scale - top)
        row = changed(image)[250 * scale, left : left + 40]
        widths.append(int(np.argmin(row)))
    assert heights[1] >= 3 * heights[0]
    assert widths[1] > widths[0]


@pytest.mark.parametrize("name", ["Füßgänger", "汽车", "👩‍🚀", "", "a\nb\x00c", "\ud800", "x" * 500, "%s{}"])
def test_any_class_name_can_be_drawn(name: str) -> None:
    """Any script, an empty name, control characters and very long names cause no error."""
    image = draw_boxes(grey(320, 180), [BoxLabel((50, 60, 150, 150), name, 0.5, 7)])
    assert is_color(image, class_color(name)).sum() > 100


numbers = st.floats(allow_nan=True, allow_infinity=True, width=32) | st.integers(-100, 400)


@given(box=st.tuples(numbers, numbers, numbers, numbers), size=st.tuples(st.integers(1, 300), st.integers(1, 300)))
@settings(max_examples=80, deadline=None)
def test_any_box_on_any_image_is_accepted(box: tuple[float, float, float, float], size: tuple[int, int]) -> None:
    """Boxes that are outside, inverted, empty or not finite cause no error."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    for drawn in (
        draw_boxes(image, [BoxLabel(box, "person", 0.5, 1)]),
        draw_plates(image, [PlateLabel(box, "AB 12 CDE", 0.5)]),
        draw_motion(image, None, timestamp=NOON),
    ):
        assert drawn.shape == image.shape


def test_motion_is_tinted_red() -> None:
    """The moving half is tinted by 30 % red; the other half is unchanged."""
    mask = np.zeros((180, 320), np.uint8)
    mask[:, 160:] = 255
    image = draw_motion(grey(), mask, timestamp=NOON)
    assert image[500, 1000].tolist() == [63, 63, 140]
    assert (image[100:, 650:] == (63, 63, 140)).all()
    assert not changed(image)[100:, :630].any()


def test_time_is_drawn_in_red_at_the_top_left() -> None:
    """The time is drawn even without motion; different times give different images."""
    image = draw_motion(grey(), None, timestamp=NOON)
    left, top, right, bottom = extent(is_color(image, RED))
    assert left < 20
    assert top < 20
    assert right < 640
    assert bottom < 60
    later = draw_motion(grey(), None, timestamp=NOON.replace(second=1))
    assert not np.array_equal(image, later)


def test_time_without_a_zone_is_rejected() -> None:
    """The time would be ambiguous."""
    with pytest.raises(ValueError, match="zone"):
        draw_motion(grey(), None, timestamp=NOON.replace(tzinfo=None))


def test_plate_has_a_thick_green_box_and_tag() -> None:
    """The line is twice as wide as that of an object's box."""
    image = draw_plates(grey(), [PlateLabel((500, 400, 700, 450), "B 123 XYZ", 0.94)])
    green = is_color(image, GREEN)
    assert green[400:450, 500:504].all()
    assert not changed(image)[410:440, 510:690].any()
    left, top, _, bottom = extent(changed(image))
    assert (left, bottom) == (500, 450)
    assert 355 < top < 380
    assert green[top, left : left + 100].all()


def test_plate_text_and_confidence_are_drawn() -> None:
    """Different texts and confidences give different images."""
    pictures = [
        draw_plates(grey(), [PlateLabel((500, 400, 700, 450), text, confidence)]).tobytes()
        for text, confidence in (("B 123 XYZ", 0.94), ("B 124 XYZ", 0.94), ("B 123 XYZ", 0.95))
    ]
    assert len(set(pictures)) == 3
