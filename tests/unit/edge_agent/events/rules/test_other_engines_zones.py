"""Zones, stays and occupancy of other projects: areas, positions and times from their tests, with their results.

Each test names the project that its data is from. docs/design/rules.md gives the reasons for intended differences.
"""

from __future__ import annotations

from typing import Any

import pytest

from edge_agent.events.rules.loitering import Loitering
from edge_agent.events.rules.occupancy import Occupancy
from tests.support.edge.other_engines import PLAIN_ZONE, Adapter, Happened, Picture, Pixels

HUNDRED = Picture(100, 100)
VGA = Picture(640, 480)
HD = Picture(1280, 720)


def _foot(x: float, y: float, *, half: float = 5, height: float = 20) -> Pixels:
    return x - half, y - height, x + half, y


def _rules(happened: list[Happened]) -> list[str]:
    return [each.rule for each in happened]


@pytest.mark.parametrize(
    ("anchor", "shift", "inside"),
    [
        ("bottom", 0, {2, 3, 4, 5}),
        ("center", 0, {2, 3, 4, 5, 6}),
        ("center", 1, {3, 4, 5, 6}),
        ("center", -1, {2, 3, 4, 5}),
    ],
)
def test_supervision_boxes_along_a_diagonal(anchor: Any, shift: int, inside: set[int]) -> None:
    """roboflow/supervision, PolygonZone: nine boxes on a diagonal; anchors on the edge and on a corner are inside.

    The anchor is the lower edge as in supervision, the centre, or a point one pixel left or right of the centre.
    """
    picture = Picture(300, 300)
    zone = picture.zone((100, 100), (200, 100), (200, 200), (100, 200), anchor=anchor, **PLAIN_ZONE)
    adapter = Adapter(picture, zones=[zone])
    adapter.frame({k: (35 + 25 * k - shift, 35 + 25 * k, 65 + 25 * k - shift, 65 + 25 * k) for k in range(9)})
    assert adapter.inside() == inside


def test_supervision_an_anchor_between_zones_is_in_at_most_one_zone() -> None:
    """A tall box overlaps three zones with narrow gaps between them, but its anchor is in at most one."""
    picture = Picture(1100, 800)
    zones = [
        picture.zone((0, 167), (422, 79), (457, 427), (102, 547), name="a", **PLAIN_ZONE),
        picture.zone((458, 67), (1011, 75), (997, 309), (515, 609), name="b", **PLAIN_ZONE),
        picture.zone((0, 683), (457, 474), (474, 639), (219, 720), name="c", **PLAIN_ZONE),
    ]
    adapter = Adapter(picture, zones=zones)
    adapter.frame({3: (441.5, 258.5, 718.4, 712.7)})
    assert len(adapter.rules.zones_of(3)) <= 1


TINY = ((10, 10), (10, 20), (20, 20), (20, 10))


def _dwell(zone_fields: dict[str, Any], frames: list[dict[int, tuple[float, float]]]) -> list[dict[int, float]]:
    """Return, for each frame, how long each detected track has been in the zone so far."""
    adapter = Adapter(HD, zones=[HD.zone(*TINY, **PLAIN_ZONE, **zone_fields)])
    since: dict[int, float] = {}
    dwell: list[dict[int, float]] = []
    for number, places in enumerate(frames):
        for each in adapter.frame({track_id: (x, y, x, y) for track_id, (x, y) in places.items()}):
            if each.rule == "zone_entered":
                since[each.track_id] = each.transition.since_s or 0.0
        inside = adapter.inside()
        dwell.append({one: number - since[one] if one in inside else 0.0 for one in places})
    return dwell


def test_inference_time_in_zone() -> None:
    """roboflow/inference: a zone of 10 x 10 pixels, 1 frame per second, and anchors on its edge."""
    frames: list[dict[int, tuple[float, float]]] = [
        {1: (9, 15), 2: (10, 15), 3: (11, 15), 4: (15, 15)},
        {1: (10, 15), 2: (11, 15), 3: (12, 15), 5: (16, 16)},
        {1: (11, 15), 2: (20, 15), 3: (21, 15)},
    ]
    assert _dwell({}, frames) == [
        {1: 0, 2: 0, 3: 0, 4: 0},
        {1: 0, 2: 1, 3: 1, 5: 0},
        {1: pytest.approx(1), 2: 2, 3: 0},
    ]


def test_inference_time_starts_again_after_leaving() -> None:
    """One frame outside ends the stay, and the next stay starts at the re-entry."""
    frames: list[dict[int, tuple[float, float]]] = [{1: (8, 8), 2: (11, 11), 3: (14, 14)}] * 2
    frames += [{1: (8, 8), 2: (1, 1), 3: (14, 14)}, {1: (8, 8), 2: (11, 11), 3: (14, 14)}]
    *_, third, fourth = _dwell({}, frames)
    assert third == {1: 0, 2: 0, 3: 2}
    assert fourth == {1: 0, 2: pytest.approx(0, abs=0.11), 3: 3}


def test_frigate_inertia() -> None:
    """blakeblackshear/frigate: the zone is the right half, with an inertia of two frames at 1 frame per second."""
    picture = Picture(320, 240)
    zone = picture.zone((160, 0), (320, 0), (320, 240), (160, 240), enter_s=1.0)
    adapter = Adapter(picture, zones=[zone])
    out, inside = (20, 20, 80, 100), (200, 20, 260, 100)
    states = []
    for box in (out, out, inside, inside, out):
        adapter.frame({100: box})
        states.append(bool(adapter.inside()))
    assert states == [False, False, False, True, False]


def test_retailsense_inertia_and_flicker() -> None:
    """Two frames in and out at 4 frames per second: one frame outside is tolerated, one frame inside is no entry."""
    aisle = VGA.zone(
        (130, 70), (430, 70), (430, 200), (130, 200), enter_s=0.25, exit_s=0.25, exit_ratio=10, anchor="center"
    )
    adapter = Adapter(VGA, zones=[aisle], step_s=0.25)
    inside, outside = (190, 110, 210, 130), (190, 240, 210, 260)
    states = []
    for box in (inside, inside, outside, inside, outside, outside):
        adapter.frame({1: box})
        states.append(bool(adapter.inside()))
    assert states == [False, True, True, True, True, False]
    adapter.end()
    adapter.frame({2: inside})
    assert _rules(adapter.frame({2: outside}) + adapter.end()) == []


def test_retailsense_dwell() -> None:
    """The dwell time is the time inside, whether the track leaves the zone or is lost in it."""
    aisle = VGA.zone((130, 70), (430, 70), (430, 200), (130, 200), anchor="center")
    adapter = Adapter(VGA, zones=[aisle], step_s=0.25)
    happened = [each for _ in range(12) for each in adapter.frame({1: (190, 110, 210, 130)})]
    happened += [each for _ in range(3) for each in adapter.frame({1: (190, 240, 210, 260)})]
    assert _rules(happened) == ["zone_entered", "zone_left"]
    assert happened[1].transition.dwell_s == pytest.approx(3.0, abs=0.25)
    lost = [each for _ in range(9) for each in adapter.frame({5: (190, 110, 210, 130)})] + adapter.end(5)
    assert _rules(lost) == ["zone_entered", "zone_left"]
    assert lost[1].transition.dwell_s == pytest.approx(2.0)


def test_cctv_intrusion_has_one_start_and_one_end() -> None:
    """At 2 frames per second, the object is outside, inside, inside, outside."""
    zone = HUNDRED.zone((40, 40), (80, 40), (80, 80), (40, 80))
    adapter = Adapter(HUNDRED, zones=[zone], step_s=0.5)
    happened = adapter.frames([{1: _foot(x, 60)} for x in (20, 50, 55, 90)])
    assert [_rules(one) for one in happened] == [[], [], ["zone_entered"], ["zone_left"]]


@pytest.mark.parametrize("fps", [5.0, 25.0])
def test_an_intrusion_is_reported_once_while_the_object_stays(fps: float) -> None:
    """Engines with cooldowns: each of three objects that stay for 30 s, with a gap of 0.5 s, enters once."""
    picture = Picture(1000, 1000)
    zone = picture.zone((0, 0), (500, 0), (500, 500), (0, 500))
    adapter = Adapter(picture, zones=[zone], step_s=1 / fps)
    boxes: dict[int, Pixels] = {1: (50, 50, 150, 150), 2: (200, 200, 300, 300), 3: (350, 350, 450, 450)}
    happened = [each for _ in range(round(20 * fps)) for each in adapter.frame(boxes)]
    for _ in range(round(fps / 2)):
        happened += adapter.frame({})
    happened += [each for _ in range(round(10 * fps)) for each in adapter.frame(boxes)]
    assert sorted((each.track_id, each.rule) for each in happened) == [(one, "zone_entered") for one in (1, 2, 3)]
    assert _rules(adapter.frame({1: (750, 700, 850, 900)})) == []  # a box of another shape does not leave at once
    assert _rules(adapter.frame({2: (750, 700, 850, 800)})) == ["zone_left"]


@pytest.mark.parametrize(
    ("after_s", "times", "reported_s"),
    [
        (2.0, [0, 1, 2, 3], [2]),
        (5.0, [k / 25 for k in range(130)], [5]),
        (30.0, [0, 31, 36], [31]),
        (60.0, [0, 30, 60, 90], [60]),
        (30.0, [float(k) for k in range(40)], [30]),
        (30.0, [1, 5, 10, 31], [31]),
        (10.0, [0, 15, 15.1, 15.2], [15]),
    ],
)
def test_loitering_is_reported_once_when_it_is_due(after_s: float, times: list[float], reported_s: list[float]) -> None:
    """cctv, contextguard and others: it is reported in the first frame after the time has elapsed."""
    zone = HUNDRED.zone((10, 10), (90, 10), (90, 90), (10, 90), loitering=Loitering(after_s))
    adapter = Adapter(HUNDRED, zones=[zone])
    found = [
        each.transition.time_s
        for time_s in times
        for each in adapter.frame({1: _foot(50, 50)}, time_s=time_s)
        if each.rule == "loitering"
    ]
    assert found == pytest.approx(reported_s)
    assert not [each for each in adapter.end() if each.rule == "loitering"]


@pytest.mark.parametrize(
    ("away", "seen_outside", "reports"),
    [
        (3, False, 1),  # not detected for some frames, within every project's tolerance
        (10, False, 1),
        (1, True, 1),  # detected outside briefly
        (6, True, 2),  # absent for longer: a new stay
    ],
)
def test_a_short_absence_does_not_start_a_second_stay(away: int, seen_outside: bool, reports: int) -> None:
    """Others drop a track that is not detected for a while; here it continues until it ends."""
    zone = HUNDRED.zone((10, 10), (90, 10), (90, 60), (10, 60), loitering=Loitering(5.0))
    adapter = Adapter(HUNDRED, zones=[zone])
    frames: list[dict[int, Pixels]] = [{1: _foot(50, 50)}] * 8
    frames += [{1: _foot(50, 95)} if seen_outside else {}] * away
    frames += [{1: _foot(50, 50)}] * 8
    found = [each for one in adapter.frames(frames) for each in one if each.rule == "loitering"]
    assert len(found) == reports


def test_loitering_is_repeated_after_its_interval() -> None:
    """At 1 frame per second, it is reported after 60 s and then every 120 s."""
    zone = HUNDRED.zone((10, 10), (90, 10), (90, 90), (10, 90), loitering=Loitering(60, again_after_s=120))
    adapter = Adapter(HUNDRED, zones=[zone])
    happened = [each for _ in range(320) for each in adapter.frame({7: _foot(50, 50)})]
    assert [each.transition.time_s for each in happened if each.rule == "loitering"] == [60, 180, 300]


def test_a_moving_object_in_a_zone_loiters() -> None:
    """Differs: some engines require an object that hardly moves; our rules use only the time in the zone."""
    picture = Picture(1000, 1000)
    zone = picture.zone((0, 0), (500, 0), (500, 500), (0, 500), loitering=Loitering(5.0))
    adapter = Adapter(picture, zones=[zone], step_s=1 / 25)
    happened = [
        each
        for k in range(200)
        for each in adapter.frame({1: (50 + k % 300, 50, 150 + k % 300, 250)})
        if each.rule == "loitering"
    ]
    assert len(happened) == 1


def test_alternating_positions_are_no_entry_with_inertia() -> None:
    """sanjay: with three frames of inertia there is no entry; without inertia each position inside is an entry."""
    corners = ((0, 0), (100, 0), (100, 50), (0, 50))
    way = [{1: _foot(50, 30 if k % 2 == 0 else 90)} for k in range(8)]
    for enter_s, entries in ((2.0, 0), (0.0, 4)):
        adapter = Adapter(HUNDRED, zones=[HUNDRED.zone(*corners, enter_s=enter_s)])
        happened = [each for one in adapter.frames(way) for each in one]
        assert _rules(happened).count("zone_entered") == entries


def test_visionqueue_occupancy_from_frame_to_frame() -> None:
    """One of two objects is inside; the other enters; the first leaves; the other is lost."""
    zone = VGA.zone((100, 100), (300, 100), (300, 300), (100, 300), **PLAIN_ZONE)
    adapter = Adapter(VGA, zones=[zone])
    frames: list[dict[int, Pixels]] = [
        {1: (50, 50, 80, 80), 2: (150, 150, 250, 250)},
        {1: (120, 120, 180, 180), 2: (160, 160, 240, 240)},
        {1: (120, 120, 180, 180), 2: (400, 400, 450, 450)},
    ]
    found = []
    for boxes in frames:
        adapter.frame(boxes)
        found.append(adapter.inside())
    assert found == [{2}, {1, 2}, {1}]
    adapter.end(1)
    assert adapter.inside() == set()


def test_adjacent_and_overlapping_zones_are_independent() -> None:
    """Two zones share an edge and a third overlaps both: an object on the shared edge is in all three."""
    picture = Picture(500, 600)
    zones = [
        picture.zone((0, 0), (200, 0), (200, 200), (0, 200), name="a", **PLAIN_ZONE),
        picture.zone((200, 0), (400, 0), (400, 200), (200, 200), name="b", **PLAIN_ZONE),
        picture.zone((50, 50), (350, 50), (350, 150), (50, 150), name="over", **PLAIN_ZONE),
    ]
    adapter = Adapter(picture, zones=zones)
    adapter.frame({1: _foot(100, 100), 2: _foot(300, 180), 3: _foot(200, 100), 4: _foot(480, 500)})
    assert [adapter.inside(name) for name in ("a", "b", "over")] == [{1, 3}, {2, 3}, {1, 3}]


@pytest.mark.parametrize(
    ("place", "inside"), [((20, 80), True), ((80, 80), True), ((50, 40), False), ((50, 80), True), ((50, 60), True)]
)
def test_a_concave_zone(place: tuple[float, float], inside: bool) -> None:
    """A U-shaped zone contains its arms, its base and its inner edge, but not the notch."""
    zone = HUNDRED.zone((10, 10), (30, 10), (30, 60), (70, 60), (70, 10), (90, 10), (90, 90), (10, 90), **PLAIN_ZONE)
    adapter = Adapter(HUNDRED, zones=[zone])
    adapter.frame({1: _foot(*place)})
    assert bool(adapter.inside()) is inside


@pytest.mark.parametrize(
    ("occupancy", "counts", "reported"),
    [
        (Occupancy(over=2, debounce_s=1.0), [1, 2, 3, 3, 3, 3], [(3, "over")]),
        (Occupancy(under=1, debounce_s=20.0), [0] * 40, [(20, "under")]),
        (Occupancy(over=0, debounce_s=0.0, cooldown_s=0.0), [0, 1, 0, 1], [(1, "over"), (3, "over")]),
        (Occupancy(over=2, debounce_s=2.0), [3, 2, 3, 2, 3], []),
    ],
)
def test_occupancy_levels(occupancy: Occupancy, counts: list[int], reported: list[tuple[int, str]]) -> None:
    """sanjay: three or more objects, and 20 s without objects, are each reported once; brief changes are not."""
    zone = HUNDRED.zone((0, 0), (100, 0), (100, 100), (0, 100), occupancy=occupancy, **PLAIN_ZONE)
    adapter = Adapter(HUNDRED, zones=[zone])
    found = []
    for second, count in enumerate(counts):
        adapter.end(*range(count, 5))
        happened = adapter.frame({track_id: _foot(50, 50) for track_id in range(count)})
        found += [(second, each.direction) for each in happened if each.rule == "occupancy"]
    assert found == reported


def test_the_same_track_twice_in_a_frame_counts_once() -> None:
    """visionqueue: two boxes in one frame have the same track id."""
    zone = VGA.zone((100, 100), (300, 100), (300, 300), (100, 300), loitering=Loitering(1.0), **PLAIN_ZONE)
    line = VGA.line((0, 400), (640, 400))
    adapter = Adapter(VGA, zones=[zone], lines=[line])
    happened: list[Happened] = []
    for second in range(3):
        for box in ((120, 120, 180, 220), (140, 140, 200, 240)):
            happened += adapter.frame({7: box}, time_s=second)
    assert sorted(_rules(happened)) == ["loitering", "zone_entered"]


def test_a_stay_with_one_detection_is_no_entry() -> None:
    """Differs from contextguard: at one frame per 5 s, a single detection is a stay of 0 s."""
    zone = HUNDRED.zone((50, 0), (100, 0), (100, 100), (50, 100))
    adapter = Adapter(HUNDRED, zones=[zone], step_s=5.0)
    happened = adapter.frames([{2: _foot(x, 50)} for x in (25, 75, 25, 75, 75)])
    assert [_rules(one) for one in happened] == [[], [], [], [], ["zone_entered"]]


@pytest.mark.parametrize("corners", [((0, 0), (1, 0)), ((100, 100), (200, 100), (200, 200), (100, 200))])
def test_invalid_zones_are_rejected(corners: tuple[tuple[float, float], ...]) -> None:
    """A zone needs at least three corners, in fractions of the picture rather than in pixels."""
    with pytest.raises(ValueError, match=r"at least 3 are needed|divide pixels"):
        Picture(1, 1).zone(*corners)


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_argus_one_zone_is_left_before_the_next_is_entered(names: str) -> None:
    """Two zones share an edge; the order of the transitions does not depend on the order of the zones."""
    corners = {"a": ((0, 0), (50, 0), (50, 100), (0, 100)), "b": ((50, 0), (100, 0), (100, 100), (50, 100))}
    zones = [HUNDRED.zone(*corners[name], name=name, anchor="center", **PLAIN_ZONE) for name in names]
    adapter = Adapter(HUNDRED, zones=zones)
    assert [(each.rule, each.transition.name) for each in adapter.frame({7: (10, 20, 30, 40)})] == [
        ("zone_entered", "a")
    ]
    crossed = adapter.frame({7: (60, 20, 80, 40)})
    assert [(each.rule, each.transition.name) for each in crossed] == [("zone_left", "a"), ("zone_entered", "b")]


THOUSAND = Picture(1000, 1000)
BAY = ((200, 200), (800, 200), (800, 800), (200, 800))


def _way(spots: str) -> list[dict[int, Pixels]]:
    places = {"o": (100, 100), "i": (500, 500)}
    return [{1: _foot(*places[spot], half=20, height=100)} for spot in spots]


@pytest.mark.parametrize(
    ("frames", "spots", "expected"),
    [
        (2, "ooiioo", "+-"),
        (2, "ooiiooiioo", "+-+-"),
        (2, "oo" + "i" * 20, "+"),
        (3, "oooiii", "+"),
        (3, "oooiooo", ""),
        (3, "oooiiioiiii", "+"),
        (2, "ooooo", ""),
        (2, "iiiooo", "+-"),  # differs: perimeter reports only the exit of an object that first appears inside
    ],
)
def test_perimeter_boundary_states(frames: int, spots: str, expected: str) -> None:
    """A state change after n frames at 1 frame per second is n - 1 seconds here, at any distance outside."""
    seconds = frames - 1
    bay = THOUSAND.zone(*BAY, enter_s=seconds, exit_s=seconds, exit_ratio=10)
    adapter = Adapter(THOUSAND, zones=[bay])
    happened = [each for one in adapter.frames(_way(spots)) for each in one]
    assert "".join("+" if rule == "zone_entered" else "-" for rule in _rules(happened)) == expected


def test_occupancy_follows_lost_tracks_and_changed_ids() -> None:
    """Of five objects, two leave at once; another continues under a new id and still counts once."""
    lobby = THOUSAND.zone((0, 0), (500, 0), (500, 500), (0, 500), **PLAIN_ZONE)
    adapter = Adapter(THOUSAND, zones=[lobby], step_s=1 / 30)
    boxes: dict[int, Pixels] = {k: (k * 50, 100, k * 50 + 30, 130) for k in range(1, 6)}
    adapter.frame(boxes)
    assert adapter.inside() == {1, 2, 3, 4, 5}
    adapter.end(4, 5)
    adapter.frame({k: boxes[k] for k in (1, 2)} | {6: boxes[3]})
    adapter.end(3)
    assert adapter.inside() == {1, 2, 6}
