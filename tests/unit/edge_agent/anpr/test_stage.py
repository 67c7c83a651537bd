"""The plate stage with plates and vehicles at given positions: which events it emits, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import cv2
import numpy as np
import pytest

from edge_agent.anpr.aggregation.formats import PlateRules
from edge_agent.anpr.aggregation.plate_association import plate_tracking
from edge_agent.anpr.aggregation.plate_track import choose_text
from edge_agent.anpr.aggregation.vote import Candidate, VoteResult
from edge_agent.anpr.settings import AnprSettings
from edge_agent.anpr.stage import PlateStage
from edge_agent.anpr.types import FrameTracks, PlateReading
from edge_agent.boxes import Box, box_iou
from edge_agent.events.occurrences import AnprOccurrence, TrackedObject
from edge_agent.track.tracker import ByteTracker
from edge_agent.types import ArrayPicture, Detections, Frame, Image, ViewChange
from tests.support.anpr.gate_harness import CodedPlates, NoisyReader, make_stage, paint_code
from tests.support.edge.builders import START


@dataclass
class Scene:
    """Plates and vehicles at given positions, in 640x360 frames at ten per second."""

    stage: PlateStage
    reads: list[int] = field(default_factory=list)
    emitted: list[AnprOccurrence] = field(default_factory=list)
    number: int = 0

    def show(
        self,
        plates: Sequence[tuple[int, Box]],
        vehicles: Sequence[tuple[int, Box]] = (),
        *,
        present: set[int] | None = None,
        waiting: Sequence[int] = (),
        class_name: str = "car",
    ) -> list[AnprOccurrence]:
        """Process one frame: plates as (code, box), vehicles as (track id, box). ``waiting``: ids of lost vehicles."""
        image: Image = np.full((360, 640, 3), 90, np.uint8)
        for code, (left, top, right, bottom) in plates:
            paint_code(image, np.array([(left, top), (right, top), (right, bottom), (left, bottom)]), code)
        time_s = self.number / 10
        self.number += 1
        now = Frame(number=self.number, timestamp=START, time_s=time_s, picture=ArrayPicture(image))
        seen = [TrackedObject(track, f"c-r-{track}", class_name, box, 0.9) for track, box in vehicles]
        present_ids = {each.track_id for each in seen} if present is None else present
        occurrences = self.stage.observe(now, FrameTracks(seen, present_ids, frozenset(waiting)), moving=True)
        self.emitted += occurrences
        return occurrences


class FixedReader:
    """A ``PlateReader`` that returns a fixed text for each code."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.reads = 0

    def read(self, crop: Image) -> PlateReading:
        self.reads += 1
        marked = crop[(crop[..., 0] > 240) & (crop[..., 1] < 70)]
        text = self.texts[round(float(np.median(marked[:, 2])) / 20) - 1]
        return PlateReading(text, 0.95 ** len(text), (0.95,) * len(text), "eu")


def scene(reader: FixedReader, *, detects_vehicles: bool = True, **settings: object) -> Scene:
    return Scene(make_stage(CodedPlates(), reader, detects_vehicles=detects_vehicles, **settings))


def plate_at(x: float, y: float, width: float = 80.0) -> Box:
    return x, y, x + width, y + width / 4


def car_at(x: float, y: float) -> Box:
    """A car whose plate is at ``plate_at(x + 60, y + 110)``."""
    return x, y, x + 200, y + 160


def test_a_stationary_sign_is_not_emitted() -> None:
    """A readable, plausible sign is not emitted, neither alone nor behind a vehicle that drives past."""
    reader = FixedReader("AB123CD")
    still = scene(reader, detects_vehicles=False)
    for _ in range(40):
        still.show([(1, plate_at(300, 200))])
    past = scene(reader)
    for step in range(30):
        past.show([(1, plate_at(300, 200))], [(7, car_at(140 + 6 * step, 90))])
    past.show([])
    assert still.emitted == past.emitted == []
    assert reader.reads >= 6


def test_a_plate_is_read_from_its_second_detection() -> None:
    """This includes low detection scores: a motorcycle that drives away is legible for half a second."""
    tracker = ByteTracker(plate_tracking(AnprSettings()), labels=("plate",))
    ids = []
    for number, left in enumerate((100.0, 80.0, 64.0)):
        box = np.array([[left, 50.0, left + 60.0, 80.0]], np.float32)
        seen = Detections(xyxy=box, score=np.array([0.56], np.float32), class_id=np.zeros(1, np.int32))
        ids.append(tracker.update(seen, time_s=0.12 * number).track_id.tolist())
    assert ids == [[], [1], [1]]


def test_an_unreadable_plate_is_not_read_again_until_it_moves() -> None:
    """A sticker that looks like a plate is read three times; after it moved it is read again."""
    detector, reader = CodedPlates(score=0.58), NoisyReader({1: ""}, noise=0.0)
    stage = make_stage(detector, reader, detects_vehicles=False, search="frame", min_sharpness=0.0)

    def process(number: int, x: float) -> None:
        image = np.full((720, 1280, 3), 90, np.uint8)
        quad = np.array([(x, 300), (x + 130, 300), (x + 130, 330), (x, 330)], np.float32)
        paint_code(image, quad, 1)
        time_s = number / 10
        frame = Frame(
            number=number, timestamp=START + timedelta(seconds=time_s), time_s=time_s, picture=ArrayPicture(image)
        )
        assert stage.observe(frame, FrameTracks(), moving=True) == []

    for number in range(30):
        process(number, 500.0)
    assert reader.reads == 3
    for number in range(30, 36):
        process(number, 500.0 + 25 * (number - 29))
    assert reader.reads > 3


def test_badges_are_not_emitted() -> None:
    """The model name of a car is read repeatedly and not emitted."""
    badge = scene(FixedReader("PASSAT"))
    for step in range(20):
        badge.show([(1, plate_at(160 + 5 * step, 210))], [(7, car_at(100 + 5 * step, 100))])
    assert badge.emitted + badge.stage.finish() == []


def test_a_vehicle_parked_from_the_start_is_emitted_once() -> None:
    """It is not read again while it is present, nor emitted again when it is detected anew."""
    reader = FixedReader("AB123CD")
    parked = scene(reader)
    for _ in range(60):
        parked.show([(1, plate_at(160, 210))], [(7, car_at(100, 100))])
    assert [found.candidates[0].text for found in parked.emitted] == ["AB123CD"]
    assert parked.emitted[0].region == "eu"
    reads = reader.reads
    assert reads <= 20
    for _ in range(30):
        parked.show([], waiting=[7])
    for _ in range(60):
        parked.show([(1, plate_at(160, 210))], [(7, car_at(100, 100))])
    assert reader.reads == reads
    for _ in range(400):
        parked.show([])
    for _ in range(60):
        parked.show([(1, plate_at(160, 210))], [(8, car_at(100, 100))])
    assert len(parked.emitted) == 1
    assert reader.reads > reads


def test_a_vehicle_with_a_new_id_is_one_plate_track() -> None:
    """The tracker loses the vehicle and assigns another id: one event with all readings."""
    broken = scene(FixedReader("AB123CD"), settle_reads=8)
    for step in range(24):
        broken.show([(1, plate_at(160 + 4 * step, 210))], [(7 if step < 6 else 9, car_at(100 + 4 * step, 100))])
    emitted = broken.emitted + broken.stage.finish()
    assert [(found.candidates[0].text, found.track_id) for found in emitted] == [("AB123CD", 9)]
    assert emitted[0].reads >= 8


def test_a_plate_gets_its_vehicle_when_it_is_detected() -> None:
    """The plate is tracked alone at first; the event has the vehicle's id."""
    late = scene(FixedReader("AB123CD"), settle_reads=6, frame_interval_s=0.1)
    for step in range(20):
        vehicles = [(7, car_at(100 + 8 * step, 100))] if step >= 4 else []
        late.show([(1, plate_at(160 + 8 * step, 210))], vehicles)
    assert [(found.track_id, found.track_uid, found.vehicle_type) for found in late.emitted] == [(7, "c-r-7", "car")]


def test_two_tracks_of_one_plate_are_merged() -> None:
    """The vehicle is lost and its plate jumps; the readings of both tracks count together."""
    split = scene(FixedReader("AB123CD"), settle_reads=12, frame_interval_s=0.1)
    for step in range(5):
        split.show([(1, plate_at(80 + 6 * step, 210))], [(7, car_at(20 + 6 * step, 100))])
    for step in range(5):
        split.show([(1, plate_at(480 + 6 * step, 210))], present={7})
    for step in range(4):
        split.show([(1, plate_at(510 + 6 * step, 210))], [(7, car_at(430 + 2 * step, 100))])
    emitted = split.emitted + split.stage.finish()
    assert [(found.candidates[0].text, found.track_id) for found in emitted] == [("AB123CD", 7)]
    assert emitted[0].reads >= 11


def test_a_vehicle_with_too_few_readings_is_not_emitted() -> None:
    """One reading is not enough, and a vehicle without a plate emits nothing."""
    brief = scene(FixedReader("AB123CD"))
    for step in range(12):
        brief.show([(1, plate_at(160 + 9 * step, 210))] if step == 5 else [], [(7, car_at(100 + 9 * step, 100))])
    brief.show([])
    assert brief.emitted + brief.stage.finish() == []


def test_an_unsettled_vehicle_is_emitted_when_it_leaves() -> None:
    """Two readings do not settle the vote, but are enough when the track ends."""
    short = scene(FixedReader("AB123CD"), settle_reads=5)
    for step in range(3):
        short.show([(1, plate_at(160 + 25 * step, 210))], [(7, car_at(100 + 25 * step, 100))])
    assert short.emitted == []
    assert [found.reads for found in short.show([])] == [3]


def test_a_lost_vehicle_that_may_return_keeps_its_track() -> None:
    """Readings before and after an occlusion count together."""
    hidden = scene(FixedReader("AB123CD"), settle_reads=4)
    hidden.show([(1, plate_at(160, 210))], [(7, car_at(100, 100))])
    for _ in range(10):
        hidden.show([], waiting=[7])
    for step in range(1, 18):
        hidden.show([(1, plate_at(160 + 15 * step, 210))], [(7, car_at(100 + 15 * step, 100))])
    assert [found.track_id for found in hidden.emitted] == [7]
    assert hidden.emitted[0].reads >= 4


def test_two_vehicles_side_by_side_keep_their_own_plates() -> None:
    """Their boxes overlap; the texts are not mixed."""
    pair = scene(FixedReader("AB123CD", "XY987ZW"))
    for step in range(16):
        x = 40.0 + 9 * step
        pair.show(
            [(1, plate_at(x + 60, 150)), (2, plate_at(x + 160, 200))],
            [(7, car_at(x, 40)), (8, car_at(x + 100, 90))],
        )
    assert {found.track_id: found.candidates[0].text for found in pair.emitted} == {7: "AB123CD", 8: "XY987ZW"}


def test_a_moving_object_without_a_class_is_searched_until_its_plate_is_read() -> None:
    """The event of a vehicle that the model missed has no track id and no vehicle type."""
    reader = FixedReader("AB123CD")
    blob = scene(reader, frame_interval_s=60.0)
    for step in range(30):
        box = [(5, car_at(100 + 6 * step, 100))]
        blob.show([(1, plate_at(160 + 6 * step, 210))], box, class_name="object")
    assert [(found.candidates[0].text, found.track_id, found.vehicle_type) for found in blob.emitted] == [
        ("AB123CD", None, None)
    ]
    assert reader.reads < 20


def test_expected_regions_decide_between_equal_candidates() -> None:
    """The candidate with a format of the configured region wins."""

    class Doubtful(FixedReader):
        def read(self, crop: Image) -> PlateReading:
            self.reads += 1
            text = "B12OABC" if self.reads % 2 else "B120ABC"
            return PlateReading(text, 0.5, (0.95, 0.95, 0.95, 0.6, 0.95, 0.95, 0.95))

    doubtful = scene(Doubtful(), rules={"regions": ["ro"]}, min_confidence=0.2)
    for step in range(8):
        doubtful.show([(1, plate_at(160 + 25 * step, 210))], [(7, car_at(100 + 25 * step, 100))])
    emitted = doubtful.emitted + doubtful.stage.finish()
    assert [found.candidates[0].text for found in emitted] == ["B120ABC"]
    assert emitted[0].region == "ro"


def test_the_region_that_a_plate_looks_like_decides_between_candidates() -> None:
    """A Brazilian plate begins with three letters, so the second best candidate, which does, is chosen.

    Its confidence does not exceed the sum of both.
    """
    rules = PlateRules()
    result = VoteResult("YQ05157", 0.5, (), (Candidate("YQ05157", 0.5), Candidate("YQO5157", 0.4)), 9, 5.0)
    best = choose_text(result, rules, appearance="br")
    assert best is not None
    assert best.text == "YQO5157"
    assert best.confidence == pytest.approx(0.9 * 1.6 / 2.1)
    assert choose_text(result, rules, appearance=None) == Candidate("YQ05157", pytest.approx(0.5))
    nothing = VoteResult("II", 0.9, (), (Candidate("II", 0.9),), 3, 2.0)
    assert choose_text(nothing, rules, appearance="br") is None


def test_on_a_live_camera_the_time_budget_is_kept() -> None:
    """No work is started after the budget is exhausted; the first search and the first reading always run."""
    ticks = iter(range(10_000))
    detector, reader = CodedPlates(), FixedReader("AB123CD", "XY987ZW")
    stage = PlateStage(
        settings=AnprSettings(enabled=True, search="vehicles", budget_ms=1.0, max_searches=4, max_reads=4),
        detector=detector,
        reader=reader,
        uid_prefix="c-r",
        detects_vehicles=True,
        clock=lambda: float(next(ticks)),
    )
    slow = Scene(stage)
    slow.show([(1, plate_at(70, 210)), (2, plate_at(400, 210))], [(7, car_at(10, 100)), (8, car_at(340, 100))])
    assert (len(detector.searched), reader.reads) == (1, 1)


def test_close_releases_the_models() -> None:
    """Models that have ``close`` are closed."""

    class Closing(CodedPlates):
        closed = False

        def close(self) -> None:
            self.closed = True

    detector = Closing()
    make_stage(detector, NoisyReader({})).close()
    assert detector.closed


def test_the_fakes_detect_and_read_the_painted_code() -> None:
    """Otherwise the tests above would pass without any detection."""
    image: Image = np.full((120, 200, 3), 90, np.uint8)
    paint_code(image, np.array([(20, 20), (120, 24), (120, 49), (20, 45)]), 3)
    found = CodedPlates().find(image)
    assert len(found) == 1
    assert box_iou((20, 20, 120, 49), (found[0].left, found[0].top, found[0].right, found[0].bottom)) > 0.9
    crop = np.asarray(cv2.resize(image[20:49, 20:120], (200, 58)), np.uint8)
    assert NoisyReader({3: "AB123"}, noise=0.0).read(crop).text == "AB123"


@pytest.mark.parametrize("informed", [False, True])
def test_edge_20_a_plate_keeps_its_track_when_the_view_moves(informed: bool) -> None:
    """A stationary plate is one track while the camera pans; without ``move_view`` there would be two."""
    stage = scene(FixedReader("AB12CDE"), detects_vehicles=False)
    for _ in range(12):
        stage.show([(1, plate_at(40, 50))])
    if informed:
        stage.stage.move_view(ViewChange(shift_x_px=480.0, shift_y_px=220.0))
    for _ in range(12):
        stage.show([(1, plate_at(520, 270))])
    assert len(stage.stage.open_tracks) == (1 if informed else 2)
