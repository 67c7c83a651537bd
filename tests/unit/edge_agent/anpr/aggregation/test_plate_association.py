"""Association of detected plates with vehicles and open plate tracks."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.anpr.aggregation.open_tracks import OpenPlateTracks
from edge_agent.anpr.aggregation.plate_association import UNCONFIRMED_S, PlateAssociation
from edge_agent.anpr.settings import AnprSettings
from edge_agent.anpr.types import FrameTracks, PlateBox
from edge_agent.events.occurrences import TrackedObject
from edge_agent.types import ArrayPicture, Frame
from tests.support.edge.builders import START

PLATE = PlateBox(130.0, 130.0, 180.0, 145.0, 0.9)
CAR = TrackedObject(7, "c-r-7", "car", (50.0, 20.0, 250.0, 160.0), 0.8)


def frame(number: int) -> Frame:
    image = np.zeros((360, 640, 3), np.uint8)
    return Frame(number=number, timestamp=START, time_s=number / 10, picture=ArrayPicture(image))


def association() -> PlateAssociation:
    settings = AnprSettings()
    return PlateAssociation(settings=settings, open_tracks=OpenPlateTracks(settings=settings, uid_prefix="c-r"))


def test_a_plate_on_a_vehicle_has_a_track_at_once() -> None:
    """The track is the vehicle's, and knows its class."""
    (observed,) = association().associate(frame(1), [PLATE], FrameTracks([CAR], {7}))
    assert (observed.vehicle, observed.track.vehicle_id, observed.track.vehicle_class) == (CAR, 7, "car")


def test_objects_without_a_vehicle_class_own_no_plates() -> None:
    """A person in front of a plate is not its vehicle."""
    person = TrackedObject(7, "c-r-7", "person", CAR.xyxy, 0.8)
    assert association().associate(frame(1), [PLATE], FrameTracks([person], {7})) == []


def test_a_plate_on_no_vehicle_has_a_track_from_its_second_detection() -> None:
    """Until then, searches of the whole frame are requested for ``UNCONFIRMED_S``."""
    parts = association()
    assert not parts.needs_frame_search(0.1)
    assert parts.associate(frame(1), [PLATE], FrameTracks()) == []
    assert parts.needs_frame_search(0.1 + UNCONFIRMED_S)
    assert not parts.needs_frame_search(0.2 + UNCONFIRMED_S)
    (observed,) = parts.associate(frame(2), [PLATE], FrameTracks())
    assert (observed.vehicle, observed.track.plate) == (None, pytest.approx(PLATE.xyxy))


def test_a_plate_that_is_too_small_to_read_needs_no_search() -> None:
    """Its characters are lower than ``min_glyph_px``."""
    parts = association()
    parts.associate(frame(1), [PlateBox(130.0, 130.0, 150.0, 135.0, 0.9)], FrameTracks())
    assert not parts.needs_frame_search(0.1)
