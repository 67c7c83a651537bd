"""The search schedule, the association with vehicles, and recent plates."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.anpr.aggregation.recent_plates import RecentPlates
from edge_agent.anpr.detection.search_schedule import SearchSchedule
from edge_agent.anpr.detection.vehicle_association import associate_plates, association_cost
from edge_agent.anpr.settings import AnprSettings
from edge_agent.boxes import Box
from edge_agent.events.occurrences import TrackedObject
from tests.support.edge.builders import frame

WHOLE: Box = (0.0, 0.0, 640.0, 360.0)
CAR: Box = (100.0, 100.0, 300.0, 250.0)


def seen(track_id: int, box: Box = CAR, class_name: str = "car") -> TrackedObject:
    return TrackedObject(track_id=track_id, track_uid=f"c-r-{track_id}", class_name=class_name, xyxy=box, score=0.9)


def shifted(box: Box, by: float) -> Box:
    return box[0] + by, box[1], box[2] + by, box[3]


class ScheduleHarness:
    """A schedule and a camera with ten frames per second."""

    def __init__(self, *, detects_vehicles: bool = True, **settings: object) -> None:
        self.schedule = SearchSchedule(AnprSettings.model_validate(settings), detects_vehicles=detects_vehicles)

    def at(
        self,
        number: int,
        *objects: TrackedObject,
        done: set[int] | None = None,
        moving: bool = True,
        tracking_plates: bool = False,
    ) -> list[Box]:
        now = frame(number, width=640, height=360)
        return self.schedule.regions(now, objects, done=done or set(), moving=moving, tracking_plates=tracking_plates)


def test_a_vehicle_is_searched_with_a_margin() -> None:
    """Plates are near the bottom of a box that is never exact."""
    region = ScheduleHarness(search="vehicles").at(1, seen(1))[0]
    assert region[0] < CAR[0]
    assert region[1] < CAR[1]
    assert region[2] > CAR[2]
    assert region[3] > CAR[3] + 10


def test_regions_are_clipped_to_the_frame() -> None:
    """A vehicle that fills the frame is searched as the whole frame."""
    schedule = ScheduleHarness(search="vehicles")
    assert schedule.at(1, seen(1, (-5, 200, 200, 365)))[0] == pytest.approx((0, 196.7, 216.4, 360), abs=1)
    assert schedule.at(2, seen(2, (20, 10, 630, 355))) == [WHOLE]


def test_the_most_urgent_region_is_searched_first() -> None:
    """With three vehicles and one search per frame, each is searched once before any is searched again."""
    schedule = ScheduleHarness(search="vehicles", max_searches=1)
    boxes = [(x, 100.0, x + 100.0, 200.0) for x in (10.0, 150.0, 400.0)]
    regions = []
    for number in range(1, 7):
        vehicles = [seen(track, shifted(box, 12.0 * number)) for track, box in enumerate(boxes, 1)]
        regions += [round((region[0] + region[2]) / 2 - 12 * number) for region in schedule.at(number, *vehicles)]
    assert sorted(regions[:3]) == sorted(regions[3:]) == [60, 200, 450]


def test_the_search_interval_of_a_stationary_vehicle_grows() -> None:
    """It is searched at most 25 times a minute instead of 600 times, and at once after it moved."""
    schedule = ScheduleHarness(search="vehicles", standing_interval_s=5.0)
    numbers = [number for number in range(1, 601) if schedule.at(number, seen(1))]
    assert 10 <= len(numbers) <= 25
    assert numbers[:3] == [1, 2, 4]
    assert max(after - before for before, after in itertools.pairwise(numbers)) <= 51
    assert schedule.at(602, seen(1, shifted(CAR, 60)))


def test_complete_other_and_small_objects_are_not_searched() -> None:
    """Only vehicles that are large enough and whose plates are not complete are searched."""
    schedule = ScheduleHarness(search="vehicles")
    assert schedule.at(1, seen(1), done={1}) == []
    assert schedule.at(1, seen(2, class_name="person")) == []
    assert schedule.at(1, seen(3, (10, 10, 40, 40))) == []
    assert schedule.at(1, seen(4, class_name="object")) == []


def test_auto_searches_moving_objects_and_at_intervals_the_frame() -> None:
    """A vehicle that the model missed is detected as a moving object, or in the whole frame."""
    schedule = ScheduleHarness(frame_interval_s=0.4)
    assert len(schedule.at(1, seen(4, class_name="object"))) == 2
    whole = [number for number in range(2, 14) if WHOLE in schedule.at(number)]
    assert whole == [5, 9, 13]
    assert [number for number in range(14, 18) if WHOLE in schedule.at(number, tracking_plates=True)] == [
        14,
        15,
        16,
        17,
    ]


def test_the_whole_frame_is_searched_while_something_moves() -> None:
    """It is searched at each interval with `frame`, and with `auto` more often while a plate is tracked."""
    schedule = ScheduleHarness(search="frame")
    assert [schedule.at(number, seen(1)) for number in (1, 2)] == [[WHOLE], [WHOLE]]
    assert schedule.at(3, seen(1), moving=False) == []
    schedule = ScheduleHarness(detects_vehicles=False, frame_interval_s=0.3)
    assert [number for number in range(1, 8) if schedule.at(number, seen(1))] == [1, 4, 7]
    assert [number for number in range(8, 11) if schedule.at(number, seen(1), tracking_plates=True)] == [8, 9, 10]
    assert schedule.at(14, seen(1), moving=False) == []


def test_distant_vehicles_are_not_searched() -> None:
    """Their characters are a few pixels high. A blob of that size may be a part of a nearer vehicle."""
    far: Box = (100.0, 100.0, 170.0, 150.0)
    schedule = ScheduleHarness(min_glyph_px=8.0, frame_interval_s=60.0)
    assert schedule.at(1) == [WHOLE]
    assert schedule.at(2, seen(1, far)) == []
    assert schedule.at(3, seen(2, far, class_name="object"))
    assert schedule.at(4, seen(3, (100.0, 100.0, 190.0, 150.0)))
    assert ScheduleHarness(min_glyph_px=5.0, search="vehicles").at(1, seen(1, far))


def test_the_state_of_removed_objects_is_dropped() -> None:
    """An id that returns is treated as a new object."""
    schedule = ScheduleHarness(search="vehicles", search_interval_s=10.0)
    assert schedule.at(1, seen(1))
    assert not schedule.at(2, seen(1))
    schedule.schedule.retain({2})
    assert schedule.at(3, seen(1))


def test_each_plate_is_associated_with_its_own_vehicle() -> None:
    """A near car is in front of a distant one, and each box nearly contains both plates."""
    near, far = seen(1, (100, 150, 400, 350)), seen(2, (180, 60, 340, 210))
    plates = [(210.0, 300.0, 290.0, 320.0), (240.0, 175.0, 280.0, 186.0)]
    assert associate_plates(plates, [near, far]) == [0, 1]
    assert associate_plates(plates[::-1], [near, far]) == [1, 0]


def test_a_vehicle_has_at_most_one_plate() -> None:
    """The second one is on another vehicle, or is a sticker."""
    assert sorted(map(str, associate_plates([(180, 210, 240, 225), (180, 120, 240, 135)], [seen(1)]))) == ["0", "None"]
    assert associate_plates([(180, 210, 240, 225)], []) == [None]


def test_a_plate_outside_a_vehicle_is_not_associated() -> None:
    """The plate is beside the vehicle, above it, or wider than it."""
    assert association_cost((400, 200, 450, 215), CAR) == math.inf
    assert association_cost((180, 20, 240, 35), CAR) == math.inf
    assert association_cost((90, 200, 310, 240), CAR) == math.inf


@given(st.lists(st.tuples(st.floats(0, 600), st.floats(0, 340)), max_size=6), st.integers(0, 4))
def test_association_is_one_to_one(places: list[tuple[float, float]], vehicles: int) -> None:
    """No vehicle has two plates and no plate two vehicles, at any positions."""
    plates = [(x, y, x + 40.0, y + 10.0) for x, y in places]
    owners = associate_plates(plates, [seen(n, shifted(CAR, 70.0 * n)) for n in range(vehicles)])
    assert len(owners) == len(plates)
    assigned = [owner for owner in owners if owner is not None]
    assert len(set(assigned)) == len(assigned)


def test_the_same_text_is_a_repetition_within_its_interval() -> None:
    """Its position does not matter; after the interval it is a new plate."""
    recent = RecentPlates(repeat_s=30.0)
    entry = recent.add("AB123", (0, 0, 50, 10), seen_s=10.0)
    assert recent.find("AB123", first=(500, 300, 550, 310), first_seen_s=35.0, moved=True) is entry
    assert recent.find("AB123", first=(500, 300, 550, 310), first_seen_s=41.0, moved=True) is None
    entry.seen_s = 40.0
    assert recent.find("AB123", first=(500, 300, 550, 310), first_seen_s=41.0, moved=True) is entry


def test_a_similar_text_is_a_repetition_where_the_track_was_lost() -> None:
    """Two cars of one fleet are two plates; one car that the tracker lost briefly is one."""
    recent = RecentPlates(repeat_s=30.0)
    entry = recent.add("AB123", (100, 100, 150, 110), seen_s=10.0)
    assert recent.find("A8123", first=(120, 105, 170, 115), first_seen_s=11.0, moved=True) is entry
    assert recent.find("A8123", first=(500, 300, 550, 310), first_seen_s=11.0, moved=True) is None
    assert recent.find("A8123", first=(120, 105, 170, 115), first_seen_s=15.0, moved=True) is None
    assert recent.find("XY999", first=(120, 105, 170, 115), first_seen_s=11.0, moved=True) is None


def test_a_parked_car_is_a_repetition_at_the_same_place() -> None:
    """It is a repetition hours later if its plate has not moved; a car that returned is new."""
    recent = RecentPlates(repeat_s=30.0)
    entry = recent.add("AB123", (100, 100, 150, 110), seen_s=10.0)
    assert recent.find("AB123", first=(101, 100, 151, 110), first_seen_s=7200.0, moved=False) is entry
    assert recent.find("AB123", first=(101, 100, 151, 110), first_seen_s=7200.0, moved=True) is None
    assert recent.find("AB123", first=(300, 100, 350, 110), first_seen_s=7200.0, moved=False) is None
