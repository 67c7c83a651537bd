"""The synthetic gate is deterministic, and its ground truth is exact."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import check_source
from edge_agent.camera.synthetic import SyntheticGate, SyntheticSource, open_synthetic
from edge_agent.camera.synthetic.plates import STYLES, draw_plate, plate_text
from edge_agent.camera.synthetic.schedule import ROUND_S, STOP_LINE_M, TIMETABLE, make_schedule
from shared.clock import ManualClock
from shared.errors import ConfigurationError
from shared.plates import normalize_plate


@cache
def whole_round() -> SyntheticGate:
    return SyntheticGate()


@cache
def small() -> SyntheticGate:
    return SyntheticGate(seed=3, vehicles=2, size=(320, 180), fps=10)


def source(text: str = "synthetic:gate", **settings: object) -> SyntheticSource:
    return open_synthetic(text, settings=SourceSettings.model_validate(settings), clock=ManualClock())


def test_same_seed_gives_identical_pixels() -> None:
    """Two scenes with one seed are bit-identical, including noise; another seed differs."""
    again = SyntheticGate(seed=3, vehicles=2, size=(320, 180), fps=10)
    other = SyntheticGate(seed=4, vehicles=2, size=(320, 180), fps=10)
    assert np.array_equal(small().render(50), again.render(50))
    assert not np.array_equal(small().render(50), other.render(50))
    assert small().trips != other.trips


def test_frame_depends_on_its_index_only() -> None:
    """Frames may be rendered in any order."""
    first = small().render(40)
    small().render(7)
    assert np.array_equal(small().render(40), first)


def test_default_round_has_eight_trips_in_a_minute() -> None:
    """The round has several vehicle types, idle periods, and two vehicles side by side."""
    gate = whole_round()
    assert (gate.duration_s, gate.frame_count, len(gate.trips)) == (ROUND_S, 1500, 8)
    present = [len(gate.truth(index)) for index in range(gate.frame_count)]
    assert max(present) == 2
    assert present.count(0) > 300
    assert {truth.class_name for index in range(0, 1500, 10) for truth in gate.truth(index)} == {
        "car",
        "truck",
        "motorcycle",
    }
    assert len({trip.plate for trip in gate.trips}) == 8


def test_every_plate_is_legible_at_some_time() -> None:
    """Each plate is completely visible at some time with characters at least 20 pixels high."""
    tallest: dict[int, float] = defaultdict(float)
    for index in range(whole_round().frame_count):
        for truth in whole_round().truth(index):
            if truth.plate_quad is not None:
                tallest[truth.track] = max(tallest[truth.track], truth.glyph_height_px)
    assert sorted(tallest) == list(range(1, 9))
    assert min(tallest.values()) >= 20


def test_plate_in_the_image_matches_the_ground_truth() -> None:
    """The image rectified by the plate's quad matches the drawing of that plate and of no other one."""
    gate = whole_round()
    styles = {trip.track: STYLES[trip.style] for trip in gate.trips}
    drawings = {p.track: cv2.cvtColor(draw_plate(p.plate, styles[p.track]), cv2.COLOR_BGR2GRAY) for p in gate.trips}
    checked: set[int] = set()
    for index in range(0, gate.frame_count, 2):
        for truth in gate.truth(index):
            if truth.plate_quad is None or truth.glyph_height_px < 17 or truth.track in checked:
                continue
            checked.add(truth.track)
            scores = {
                track: _match(gate.render(index), truth.plate_quad, drawing) for track, drawing in drawings.items()
            }
            assert max(scores, key=lambda track: scores[track]) == truth.track
            assert scores[truth.track] > 0.85
    assert checked == set(range(1, 9))


def _match(image: np.ndarray, quad: np.ndarray, drawing: np.ndarray) -> float:
    height, width = drawing.shape
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    seen = cv2.warpPerspective(image, cv2.getPerspectiveTransform(quad, flat), (width, height))
    pair = [cv2.GaussianBlur(plane, (0, 0), 3) for plane in (cv2.cvtColor(seen, cv2.COLOR_BGR2GRAY), drawing)]
    return float(np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1])


@pytest.mark.parametrize("second", [5.5, 6.3, 12.0, 25.0, 34.0, 51.0, 57.0])
def test_boxes_fit_the_drawn_vehicles(second: float) -> None:
    """Compared with the empty drive, changed pixels start at the upper edge and the sides of the box."""
    gate = whole_round()
    index = round(second * gate.fps)
    (truth,) = gate.truth(index)
    changed = cv2.absdiff(gate.render(index), gate.render(0)).max(axis=2) > 30
    rows, columns = np.nonzero(cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))
    left, top, right, bottom = truth.xyxy
    on_drive = (columns > left - 40) & (columns < right + 60) & (rows > top - 40)  # leaves the signal out
    assert rows[on_drive].min() == pytest.approx(top, abs=4)
    assert columns[on_drive & (rows < bottom - 10)].min() == pytest.approx(left, abs=8)
    roof = on_drive & (rows < top + (bottom - top) / 4)  # no shadow falls to the right of it
    assert columns[roof].max() <= right + 3
    assert truth.visible_ratio > 0.6


def test_vehicle_boxes_move_smoothly() -> None:
    """Boxes have no jumps, so that the ground truth can be used for tracking."""
    heights: dict[int, list[float]] = defaultdict(list)
    for index in range(450):
        for truth in whole_round().truth(index):
            if truth.visible_ratio > 0.99:
                heights[truth.track].append(float(truth.xyxy[3] - truth.xyxy[1]))
    assert all(step > 0 for step in np.diff(heights[1]))
    assert all(step < 0 for step in np.diff(heights[2]))


def test_one_vehicle_stops_at_the_line_and_continues() -> None:
    """The third vehicle stands for its waiting time and then leaves."""
    trip = whole_round().trips[2]
    places = [trip.distance_m(index / 25) for index in range(1500)]
    standing = [place for place in places if place is not None and abs(place - STOP_LINE_M) < 1e-6]
    assert len(standing) == pytest.approx(trip.wait_s * 25, abs=2)
    driven = [place for place in places if place is not None]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(driven))
    assert driven[-1] < 2.0


def test_signal_is_red_while_a_vehicle_waits() -> None:
    """The visible lamp agrees with the waiting time of the vehicle."""
    trip = whole_round().trips[2]
    green_at_s = trip.waits_until_s()
    assert green_at_s is not None
    before, after = (whole_round().render(round((green_at_s + offset) * 25)) for offset in (-1, 1))
    y, x = np.unravel_index(np.argmax(cv2.absdiff(before, after)[:400, :200].max(axis=2)), (400, 200))
    lamp_before, lamp_after = before[y, x].astype(int), after[y, x].astype(int)
    assert abs(lamp_before - lamp_after).max() > 60


def test_idle_frames_differ_by_noise_and_light_only() -> None:
    """Two frames of the empty drive differ by the sensor noise only."""
    gate = whole_round()
    first, later = (cv2.GaussianBlur(gate.render(index), (0, 0), 4).astype(int) for index in (10, 1495))
    assert gate.truth(10) == gate.truth(1495) == []
    assert abs(first - later).max() < 12
    assert not np.array_equal(gate.render(10), gate.render(11))


def test_loop_repeats_and_a_single_round_ends() -> None:
    """A loop repeats the traffic with new noise; without it, an index after the round raises IndexError."""
    endless = SyntheticGate(seed=3, vehicles=1, size=(160, 90), fps=5, loop=True)
    count = endless.frame_count
    assert [t.track for t in endless.truth(20 + count)] == [t.track for t in endless.truth(20)]
    assert not np.array_equal(endless.render(20), endless.render(20 + count))
    with pytest.raises(IndexError):
        small().render(small().frame_count)


@given(seed=st.integers(0, 10_000), vehicles=st.integers(0, 20))
def test_schedules_are_valid_for_any_number_of_vehicles(seed: int, vehicles: int) -> None:
    """Trips are numbered in order, inside the round, with legible texts and alternating colours."""
    trips, duration_s = make_schedule(seed=seed, vehicles=vehicles)
    assert [trip.track for trip in trips] == list(range(1, vehicles + 1))
    assert all(trip.end_s < duration_s for trip in trips)
    assert all(normalize_plate(p.plate) and not set("IOQ0") & set(p.plate) for p in trips)
    assert all(a.paint != b.paint for a, b in pairwise(trips))
    assert len(trips) <= len(TIMETABLE) or duration_s > ROUND_S


@pytest.mark.parametrize("name", sorted(STYLES))
def test_plate_texts_stay_inside_the_margins(name: str) -> None:
    """No character touches the border for any text."""
    style = STYLES[name]
    plate = draw_plate(plate_text(style, np.random.default_rng(0)), style)
    assert plate.shape == (style.height, style.width, 3)
    inner = cv2.cvtColor(plate, cv2.COLOR_BGR2GRAY)[36 : style.height - 8, 50 : style.width - 8]
    assert inner.min() < 90 < 150 < inner.max()


def test_replay_delivers_every_frame_once_and_ends() -> None:
    """Without pacing, times are deterministic from a fixed start."""
    scene = source("synthetic:gate?vehicles=1&size=160x90&fps=5")
    frames = []
    while (frame := scene.read(0.0)) is not None:
        frames.append(frame)
    assert not scene.live
    assert [frame.number for frame in frames] == list(range(1, scene.gate.frame_count + 1))
    assert frames[5].timestamp - frames[0].timestamp == timedelta(seconds=1)
    assert frames[5].time_s == pytest.approx(1.0)
    assert scene.ended
    assert scene.status().state == "offline"
    again = source("synthetic:gate?vehicles=1&size=160x90&fps=5").read(0.0)
    assert again is not None
    assert again.timestamp == frames[0].timestamp


def test_start_time_is_applied() -> None:
    """``--start-time`` sets the time of the first frame."""
    start = datetime(2026, 3, 4, tzinfo=UTC)
    scene = open_synthetic(
        "synthetic:gate?size=160x90", settings=SourceSettings(), clock=ManualClock(), start_time=start
    )
    frame = scene.read(0.0)
    assert frame is not None
    assert frame.timestamp == start


def test_live_scene_follows_the_clock() -> None:
    """Frames are delivered when due; a slow reader gets the current frame, not the missed ones."""
    clock = ManualClock()
    scene = open_synthetic(
        "synthetic:gate?size=160x90&fps=10", settings=SourceSettings(pace=True), clock=clock, wait=clock.advance
    )
    numbers = []
    for _ in range(3):
        frame = scene.read(1.0)
        assert frame is not None
        numbers.append((frame.number, round(clock.monotonic(), 3)))
    assert numbers == [(1, 0.0), (2, 0.1), (3, 0.2)]
    clock.advance(1.0)
    frame = scene.read(1.0)
    assert frame is not None
    assert frame.number == 13
    assert frame.timestamp == clock.now()
    assert scene.read(0.01) is None
    assert scene.live
    assert not scene.ended
    scene.close()
    assert scene.ended
    assert scene.read(1.0) is None


def test_info_describes_the_scene() -> None:
    """Size, frame rate and frame count are given as for a file."""
    info = source("synthetic:gate?size=320x180&fps=10&vehicles=2").info()
    assert (info.width, info.height, info.fps, info.codec) == (320, 180, 10.0, "synthetic")
    assert info.frame_count == small().frame_count
    assert source("synthetic:gate?size=160x90&live=1").info().frame_count is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("synthetic:garden", "synthetic:gate"),
        ("synthetic:gate?speed=2", "'speed'.*options are seed"),
        ("synthetic:gate?size=huge", "'size'"),
        ("synthetic:gate?fps=0", "'fps'"),
        ("synthetic:gate?vehicles=-1", "'vehicles'"),
        ("synthetic:gate?seed=", "'seed'"),
    ],
)
def test_invalid_options_are_rejected(text: str, message: str) -> None:
    """The error names the option and the valid ones."""
    with pytest.raises(ConfigurationError, match=message):
        source(text)
    with pytest.raises(ConfigurationError, match=message):
        check_source(text, settings=SourceSettings(), clock=ManualClock())


def test_a_check_renders_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of a configuration must not take as long as opening its scenes."""
    monkeypatch.setattr(SyntheticGate, "__init__", None)
    check_source("synthetic:gate?seed=2", settings=SourceSettings(), clock=ManualClock())
