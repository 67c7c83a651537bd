"""Open plate tracks: creation, take-over by vehicles, merging and removal."""

from __future__ import annotations

import numpy as np

from edge_agent.anpr.aggregation.open_tracks import OpenPlateTracks
from edge_agent.anpr.aggregation.plate_track import PlateTrack
from edge_agent.anpr.settings import AnprSettings
from edge_agent.anpr.types import PlateReading
from edge_agent.events.occurrences import TrackedObject
from edge_agent.types import ArrayPicture, Frame
from tests.support.edge.builders import START

PLATE = (100.0, 100.0, 140.0, 110.0)


def frame(time_s: float = 0.0) -> Frame:
    return Frame(number=1, timestamp=START, time_s=time_s, picture=ArrayPicture(np.zeros((360, 640, 3), np.uint8)))


def car(track_id: int) -> TrackedObject:
    return TrackedObject(track_id, f"c-r-{track_id}", "car", (50.0, 20.0, 250.0, 150.0), 0.9)


def open_tracks() -> OpenPlateTracks:
    return OpenPlateTracks(settings=AnprSettings(lost_s=2.0), uid_prefix="c-r")


def plate_track(tracks: OpenPlateTracks, plate_id: int) -> PlateTrack:
    track = tracks.for_plate(frame(), PLATE, plate_id)
    assert track is not None
    return track


def test_a_plate_without_a_track_id_has_no_track() -> None:
    """Its first detection is not confirmed."""
    tracks = open_tracks()
    assert tracks.for_plate(frame(), PLATE, None) is None
    assert tracks.all() == []


def test_the_track_of_a_plate_is_kept_and_named_after_it() -> None:
    """The same id returns the same track."""
    tracks = open_tracks()
    track = plate_track(tracks, 3)
    assert plate_track(tracks, 3) is track
    assert track.track_uid == "c-r-plate-3"


def test_a_vehicle_takes_over_the_track_of_its_plate() -> None:
    """The track then has the vehicle's id and uid, and exists once."""
    tracks = open_tracks()
    track = plate_track(tracks, 3)
    assert tracks.for_vehicle(frame(), PLATE, car(7), 3, {7}) is track
    assert (track.vehicle_id, track.track_uid) == (7, "c-r-7")
    assert tracks.all() == [track]


def test_a_vehicle_with_a_new_id_continues_the_track_of_its_plate() -> None:
    """The object tracker lost the vehicle and assigned another id; a vehicle that is still present keeps its track."""
    tracks = open_tracks()
    track = tracks.for_vehicle(frame(), PLATE, car(7), 3, {7})
    assert tracks.for_vehicle(frame(), PLATE, car(8), 3, {7, 8}) is not track
    tracks = open_tracks()
    track = tracks.for_vehicle(frame(), PLATE, car(7), 3, {7})
    assert tracks.for_vehicle(frame(), PLATE, car(8), 3, {8}) is track
    assert tracks.all() == [track]


def test_two_tracks_of_one_plate_are_merged() -> None:
    """The readings of both count, and one track remains."""
    tracks = open_tracks()
    alone = plate_track(tracks, 3)
    alone.vote.add(PlateReading("AB123CD", 0.9))
    track = tracks.for_vehicle(frame(1.0), PLATE, car(7), 4, {7})
    assert tracks.for_vehicle(frame(2.0), PLATE, car(7), 3, {7}) is track
    assert (track.vote.reads, track.first_seen_s) == (1, 0.0)
    assert tracks.all() == [track]


def test_a_track_is_over_when_its_vehicle_left_or_its_plate_was_lost() -> None:
    """A plate without a vehicle is lost after ``lost_s``."""
    tracks = open_tracks()
    of_plate, of_car = plate_track(tracks, 3), tracks.for_vehicle(frame(), PLATE, car(7), 4, {7})
    assert [tracks.is_over(of_plate, now_s, ()) for now_s in (2.0, 2.1)] == [False, True]
    assert [tracks.is_over(of_car, 0.0, present) for present in ({7}, {8})] == [False, True]
    tracks.remove(of_car)
    assert tracks.all() == [of_plate]
