"""Emission of plate tracks: thresholds, repetitions and the occurrence's fields."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.anpr.aggregation.direction import DirectionEstimator
from edge_agent.anpr.aggregation.emission import PlateEmission
from edge_agent.anpr.aggregation.formats import PlateRules
from edge_agent.anpr.aggregation.plate_track import PlateSnapshot, PlateTrack
from edge_agent.anpr.settings import AnprSettings
from edge_agent.anpr.types import PlateReading
from edge_agent.events.occurrences import Box
from edge_agent.types import ArrayPicture, Frame
from tests.support.edge.builders import START

PLATE: Box = (130.0, 130.0, 180.0, 145.0)


def frame(time_s: float) -> Frame:
    image = np.full((360, 640, 3), 90, np.uint8)
    return Frame(number=1, timestamp=START, time_s=time_s, picture=ArrayPicture(image))


def track(text: str = "AB123CD", *, reads: int = 4, step_px: float = 30.0, start_s: float = 0.0) -> PlateTrack:
    """Return a track that moves by ``step_px`` between its readings."""
    settings = AnprSettings()
    plate_track = PlateTrack("c-r-plate-1", DirectionEstimator(settings.direction), start_s, start_s, PLATE)
    for number in range(reads):
        box = (PLATE[0] + number * step_px, PLATE[1], PLATE[2] + number * step_px, PLATE[3])
        now = frame(start_s + number / 10)
        plate_track.observe(now, box, None)
        plate_track.add_reading(PlateReading(text, 0.9, (0.97,) * len(text), "eu"), PlateSnapshot(now, box, None, 0.9))
    return plate_track


def emission(**settings: object) -> PlateEmission:
    return PlateEmission(settings=AnprSettings.model_validate(settings), rules=PlateRules())


def test_a_track_is_emitted_once_with_its_vote() -> None:
    """Text, number of readings, latency and snapshot are those of the track; its frames are released afterwards."""
    stage, plate_track = emission(), track()
    (found,) = stage.emit(plate_track, 1.0)
    assert (found.candidates[0].text, found.reads, found.track_uid) == ("AB123CD", 4, "c-r-plate-1")
    assert found.latency_s == pytest.approx(1.0 - found.frame.time_s)
    assert stage.emit(plate_track, 2.0) == []
    assert plate_track.snapshots == {}


@pytest.mark.parametrize(
    ("plate_track", "settings"),
    [
        (track(reads=1), {}),
        (track(), {"min_confidence": 1.0}),
        (track("II"), {}),
        (track(step_px=0.0), {}),
        (track(), {"min_reads": 5}),
    ],
    ids=["one reading", "low confidence", "implausible text", "stationary without a vehicle", "too few readings"],
)
def test_an_uncertain_track_is_not_emitted(plate_track: PlateTrack, settings: dict[str, object]) -> None:
    """It stays open, so that further readings are added to it."""
    assert emission(**settings).emit(plate_track, 1.0) == []
    assert plate_track.emitted is None


@pytest.mark.parametrize(("start_s", "emitted"), [(10.0, 0), (60.0, 1)])
def test_a_repetition_is_closed_without_an_occurrence(start_s: float, emitted: int) -> None:
    """The same text within ``repeat_s`` of its last detection is the same plate."""
    stage = emission(repeat_s=30.0)
    assert len(stage.emit(track(), 1.0)) == 1
    again = track(start_s=start_s)
    assert len(stage.emit(again, start_s + 1.0)) == emitted
    assert again.emitted is not None
