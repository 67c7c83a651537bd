"""Line counters of other projects: geometries and positions from their tests, with the counts that they expect.

Each test names the project that its data is from. docs/design/rules.md gives the reasons for intended differences.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.edge.other_engines import PLAIN_LINE, Adapter, Frame, Picture, Pixels

WIDE = Picture(100, 100, left=-50, top=-50)
FINE = Picture(1000, 1000, left=-500, top=-500)
UP, DOWN = ((0, 0), (10, 0)), ((10, 0), (0, 0))
"""A horizontal line from left to right, so that its left side is above, and its reverse."""
Shape = tuple[tuple[float, float], tuple[float, float]]

BELOW: Pixels = (4, 4, 6, 6)
ABOVE: Pixels = (4, -6, 6, -4)
LEFTWARD: Pixels = (-6, 4, -4, 6)


def _crossings(adapter: Adapter, sequence: list[Frame]) -> str:
    """Return one letter per frame for a single track: l, r, - for no crossing, 2 for more than one."""
    found = [[each.direction or "?" for each in happened] for happened in adapter.frames(sequence)]
    return "".join("-" if not directions else directions[0][0] if len(directions) == 1 else "2" for directions in found)


def _one(boxes: list[Pixels]) -> list[Frame]:
    return [{1: box} for box in boxes]


HYSTERESIS = pytest.mark.parametrize(("picture", "fields"), [(WIDE, {}), (WIDE, PLAIN_LINE), (FINE, PLAIN_LINE)])
STEP = pytest.mark.parametrize("step_s", [1 / 30, 0.2, 1.0, 5.0])
ANCHOR = pytest.mark.parametrize("anchor", ["bottom", "center"])


@HYSTERESIS
@STEP
@ANCHOR
@pytest.mark.parametrize(
    ("line", "boxes", "expected"),
    [
        (((0, 0), (0, 10)), [BELOW, LEFTWARD] * 2, "-rlr"),
        (((0, 10), (0, 0)), [BELOW, LEFTWARD] * 2, "-lrl"),
        (UP, [BELOW, ABOVE] * 2, "-lrl"),
        (DOWN, [BELOW, ABOVE] * 2, "-rlr"),
        (UP, [(20, 4, 24, 6), (20, -6, 24, -4)] * 2, "----"),  # beside its right end
        (UP, [(-24, 4, -20, 6), (-24, -6, -20, -4)] * 2, "----"),  # beside its left end
        (UP, [(4, 1e32, 6, 1e32 + 2), (4, -1e32, 6, -1e32 + 2)] * 2, "-lrl"),  # from very far away
        (UP, [(-4, 4, -2, 6), (16, 4, 18, 6)] * 2, "----"),  # along it, below
        (UP, [(-4, -6, -2, -4), (16, -6, 18, -4)] * 2, "----"),  # along it, above
        (UP, [BELOW, (9, 4, 11, 6)] * 2, "----"),
    ],
)
def test_supervision_default_cases(
    picture: Picture,
    fields: dict[str, Any],
    step_s: float,
    anchor: Any,
    line: Shape,
    boxes: list[Pixels],
    expected: str,
) -> None:
    """roboflow/supervision, LineZone with default anchors: its ``in`` is our left, and its ``out`` is our right."""
    adapter = Adapter(picture, lines=[picture.line(*line, anchor=anchor, **fields)], step_s=step_s)
    assert _crossings(adapter, _one(boxes)) == expected
    assert adapter.end() == []


@STEP
def test_supervision_oblique_line(step_s: float) -> None:
    """A line at 45 degrees and the centre anchor, which is outside the dead band on both sides."""
    for fields in ({}, PLAIN_LINE):
        line = WIDE.line((5, 0), (0, 5), anchor="center", **fields)
        adapter = Adapter(WIDE, lines=[line], step_s=step_s)
        assert _crossings(adapter, _one([(0, 0, 2, 2), (10, 10, 12, 12)] * 2)) == "-lrl"


@HYSTERESIS
@ANCHOR
@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([(-3, 6, -1, 8), (4, -6, 6, -4), (11, 6, 13, 8)], "-lr"),
        ([(4, 1, 6, 3), (11, -19, 13, -17)], "-l"),
        ([(11, 21, 13, 23), (4, -5, 6, -3)], "-l"),
    ],
)
def test_supervision_steps_from_or_to_a_position_beside_the_line(
    picture: Picture, fields: dict[str, Any], anchor: Any, boxes: list[Pixels], expected: str
) -> None:
    """Differs: supervision does not support these steps; our rules test the segment between positions."""
    adapter = Adapter(picture, lines=[picture.line(*UP, anchor=anchor, **fields)])
    assert _crossings(adapter, _one(boxes)) == expected


def _right_edge(box: Pixels) -> Pixels:
    return box[2], box[1], box[2], box[3]


def _left_edge(box: Pixels) -> Pixels:
    return box[0], box[1], box[0], box[3]


@HYSTERESIS
@ANCHOR
def test_supervision_boxes_at_an_end_of_the_line_with_selected_anchors(
    picture: Picture, fields: dict[str, Any], anchor: Any
) -> None:
    """The box edge within the line and the centre at its end count; the box edge beside the line does not."""
    for left, inner, outer in ((-2.0, _right_edge, _left_edge), (8.0, _left_edge, _right_edge)):
        boxes: list[Pixels] = [(left, 4, left + 4, 6), (left, -6, left + 4, -4)] * 2
        for edge, expected in ((inner, "-lrl"), (outer, "----"), (lambda box: box, "-lrl")):
            adapter = Adapter(picture, lines=[picture.line(*UP, anchor=anchor, **fields)])
            assert _crossings(adapter, _one([edge(box) for box in boxes])) == expected


@HYSTERESIS
@STEP
def test_supervision_several_tracks(picture: Picture, fields: dict[str, Any], step_s: float) -> None:
    """One stays while another crosses, two cross in the same frame, and one is no longer detected."""
    adapter = Adapter(picture, lines=[picture.line(*UP, **fields)], step_s=step_s)
    stays = [{0: BELOW, 1: BELOW}, {0: BELOW, 1: ABOVE}] * 2
    directions = [[(each.track_id, each.direction) for each in one] for one in adapter.frames(stays)]
    assert directions == [[], [(1, "left")], [(1, "right")], [(1, "left")]]
    both = Adapter(picture, lines=[picture.line(*UP, **fields)], step_s=step_s)
    pairs = [{0: BELOW, 1: BELOW}, {0: ABOVE, 1: ABOVE}, {1: BELOW}, {1: ABOVE}]
    directions = [[(each.track_id, each.direction) for each in one] for one in both.frames(pairs)]
    assert directions == [[], [(0, "left"), (1, "left")], [(1, "right")], [(1, "left")]]


def _top_left(y: float) -> Pixels:
    return 2, y, 2, y


@pytest.mark.parametrize("step_s", [1 / 30, 0.5, 1.0])
@pytest.mark.parametrize(
    ("sides", "frames", "expected"),
    [
        ("+-+--", 1, "-lrl-"),
        ("+-+--", 2, "----l"),
        ("+-+-+-+-+-+--", 2, "------------l"),
        ("+-+++----", 4, "--------l"),
    ],
)
def test_supervision_minimum_crossing_threshold(sides: str, frames: int, expected: str, step_s: float) -> None:
    """A threshold of n frames is a ``settle_s`` of n - 1 frames; a position that alternates does not count earlier."""
    settle_s = (frames - 1) * step_s + (0.2 if frames > 1 else 0.0)
    line = WIDE.line(*UP, band_ratio=0.1, settle_s=settle_s)
    adapter = Adapter(WIDE, lines=[line], step_s=step_s)
    boxes = [_top_left(4 if side == "+" else -6) for side in sides]
    assert _crossings(adapter, _one(boxes)) == expected


def test_supervision_a_track_that_ends_right_after_crossing() -> None:
    """Differs for a threshold of two frames: our rules count a crossing when the track ends beyond the line."""
    adapter = Adapter(WIDE, lines=[WIDE.line(*UP, settle_s=1.2)])
    assert _crossings(adapter, _one([BELOW, BELOW, ABOVE])) == "---"
    assert [each.direction for each in adapter.end()] == ["left"]


@HYSTERESIS
def test_supervision_class_that_changes(picture: Picture, fields: dict[str, Any]) -> None:
    """The class in the crossing frame counts; a change of class neither adds nor removes a crossing."""
    adapter = Adapter(picture, lines=[picture.line(*UP, **fields)])
    happened = [
        adapter.frame({0: box}, classes={0: name})
        for box, name in ((BELOW, "car"), (ABOVE, "bus"), (ABOVE, "bus"), (BELOW, "bus"))
    ]
    assert [[each.direction for each in one] for one in happened] == [[], ["left"], [], ["right"]]
    only_cars = Adapter(picture, lines=[picture.line(*UP, classes=frozenset({"car"}), **fields)])
    reused = [only_cars.frame({0: box}, classes={0: name}) for name in ("car", "bus") for box in (BELOW, ABOVE, BELOW)]
    assert [[each.direction for each in one] for one in reused] == [[], ["left"], ["right"], [], [], []]


@pytest.mark.parametrize("fields", [{}, PLAIN_LINE])
def test_inference_line_counter(fields: dict[str, Any]) -> None:
    """roboflow/inference, line counter block: one crossing per direction, a distant object, and one with one frame."""
    picture = Picture(168, 192)

    def top_left(x: float, y: float) -> Pixels:
        return x, y, x, y

    adapter = Adapter(picture, lines=[picture.line((15, 0), (15, 192), **fields)])
    first = {1: top_left(10, 10), 2: top_left(20, 20), 3: top_left(100, 100), 4: top_left(200, 200)}
    second = {1: top_left(20, 10), 2: top_left(10, 20), 3: top_left(90, 90), 5: top_left(5, 5)}
    assert adapter.frame(first) == []
    assert [(each.track_id, each.direction) for each in adapter.frame(second)] == [(1, "left"), (2, "right")]


VERTICAL = ((300.0, 0.0), (300.0, 500.0))


def _foot(x: float, y: float, *, half: float = 20, height: float = 50) -> Pixels:
    return x - half, y - height, x + half, y


@STEP
@pytest.mark.parametrize(
    ("line", "feet", "expected"),
    [
        (VERTICAL, [(200, 200), (400, 200)], "-l"),  # visionqueue: entry
        (VERTICAL, [(400, 200), (200, 200)], "-r"),  # exit
        (VERTICAL, [(100, 200), (200, 200)], "--"),  # the same side
        (VERTICAL, [(200, 100), (200, 400)], "--"),  # along it
        (VERTICAL, [(200, 700), (400, 700)], "--"),  # beyond its end point
        (VERTICAL, [(200, 200), (350, 200), (350, 200), (350, 200)], "-l--"),  # stays after crossing
        (VERTICAL, [(200, 200), (400, 200), (200, 200)], "-lr"),  # there and back
        (((0.0, 300.0), (500.0, 300.0)), [(250, 400), (250, 200)], "-l"),
        (((0.0, 300.0), (500.0, 300.0)), [(250, 200), (250, 400)], "-r"),
        (((100.0, 300.0), (500.0, 300.0)), [(300, 280), (300, 330)], "-r"),  # zonefence: a tripwire
        (((128.0, 144.0), (512.0, 192.0)), [(350, 130), (400, 280)], "-r"),  # traffic monitor: an oblique line
        (((320.0, 48.0), (320.0, 432.0)), [(250, 300), (400, 300)], "-l"),
        (
            ((0.0, 240.0), (640.0, 240.0)),
            [(100, 100 + 10 * k) for k in range(20)],
            "-" * 15 + "r----",
        ),  # a car that drives down the picture
    ],
)
def test_smaller_counters(line: Shape, feet: list[tuple[float, float]], expected: str, step_s: float) -> None:
    """visionqueue, zonefence, traffic-monitor and others: single crossings at any frame rate in 640 x 800 pixels."""
    picture = Picture(640, 800)
    adapter = Adapter(picture, lines=[picture.line(*line)], step_s=step_s)
    found = _crossings(adapter, _one([_foot(*foot) for foot in feet]))
    assert found.replace("-", "") == expected.replace("-", "")
    plain = Adapter(picture, lines=[picture.line(*line, **PLAIN_LINE)], step_s=step_s)
    assert _crossings(plain, _one([_foot(*foot) for foot in feet])) == expected
    assert adapter.end() + plain.end() == []


@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        ([(425, 575)], ["left"]),
        ([(575, 425)], ["right"]),
        ([(425, 500, 545)], ["left"]),  # a pause on the line itself
        ([(425, 575), (445, 585), (605, 445)], ["left", "left", "right"]),
        ([(425, 575, 425, 575)], ["left", "right", "left"]),  # differs: others count a track once per direction
    ],
)
def test_counters_with_hysteresis_in_pixels(ways: list[tuple[float, ...]], expected: list[str]) -> None:
    """A line at x = 500 with a dead band: tracks that cross one after another, and one that goes back and forth."""
    picture = Picture(1000, 600)
    adapter = Adapter(picture, lines=[picture.line((500, 0), (500, 600))], step_s=0.1)
    found = [
        each.direction
        for track_id, way in enumerate(ways)
        for x in way
        for each in adapter.frame({track_id: (x - 25, 100, x + 25, 200)})
    ]
    assert found == expected


def test_a_crossing_there_and_back_within_the_cooldown_of_others() -> None:
    """Differs: a cooldown of ten frames suppresses the way back; our rules use hysteresis, so both count."""
    picture = Picture(100, 100)
    line = picture.line((0, 50), (100, 50), anchor="center")
    adapter = Adapter(picture, lines=[line], step_s=0.1)
    frames = [{7: (40.0, y, 60.0, y + 20)} for y in (20.0, 60.0, 60.0, 20.0)]
    assert _crossings(adapter, frames) == "-r-l"


def test_gocv_blob_line() -> None:
    """LdDl/gocv-blob: the centre of a box that moves down crosses a horizontal line once in three frames."""
    picture = Picture(80, 60)
    adapter = Adapter(picture, lines=[picture.line((4, 35), (73, 35), anchor="center", **PLAIN_LINE)])
    assert _crossings(adapter, _one([(26, 8, 44, 18), (26, 20, 44, 30), (26, 32, 44, 42)])) == "--r"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (((1, 1), (1, 1)), "two consecutive points are the same"),
        (((0, 0),), "at least 2 are needed"),
        (((0, 0), (float("nan"), 1)), "fractions of the picture"),
        (((0, 0), (1000, 300)), "divide pixels by its size"),
    ],
)
def test_lines_that_others_reject_are_rejected(line: tuple[tuple[float, float], ...], said: str) -> None:
    """supervision and visionqueue reject a line without length; inference rejects one with too few points."""
    with pytest.raises(ValueError, match=said):
        Picture(1, 1).line(*line)
    with pytest.raises(ValueError, match="anchor must be one of bottom, center"):
        Picture(1, 1).line((0, 0), (1, 1), anchor="top")
