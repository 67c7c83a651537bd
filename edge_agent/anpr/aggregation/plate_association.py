"""Associates the plates detected in a frame with vehicles and with open plate tracks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge_agent.anpr.aggregation.open_tracks import OpenPlateTracks
from edge_agent.anpr.aggregation.plate_track import PlateTrack
from edge_agent.anpr.detection.vehicle_association import associate_plates
from edge_agent.anpr.recognition.quality import glyph_height_px
from edge_agent.anpr.settings import AnprSettings
from edge_agent.anpr.types import FrameTracks, PlateBox
from edge_agent.events.occurrences import TrackedObject
from edge_agent.track.settings import TrackSettings
from edge_agent.track.tracker import ByteTracker
from edge_agent.types import Detections, Frame, ViewChange

UNCONFIRMED_S = 0.5
"""Seconds after the first detection of a plate without a vehicle in which the whole frame is searched again."""


class ObservedPlate(NamedTuple):
    """A plate detected in the current frame, with its track and vehicle."""

    plate: PlateBox
    track: PlateTrack
    vehicle: TrackedObject | None


class PlateAssociation:
    """Tracks plates between frames and assigns each one to an open plate track."""

    def __init__(self, *, settings: AnprSettings, open_tracks: OpenPlateTracks) -> None:
        self._min_glyph_px = settings.min_glyph_px
        self._vehicle_classes = frozenset(settings.vehicle_classes)
        self._open_tracks = open_tracks
        self._tracker = ByteTracker(plate_tracking(settings), labels=("plate",))
        self._unconfirmed_s: float | None = None
        """Time of the latest legible plate that has no track yet."""

    def associate(self, frame: Frame, plates: list[PlateBox], tracks: FrameTracks) -> list[ObservedPlate]:
        """Return the plates that have an open track, creating tracks as necessary.

        A plate without a vehicle that was detected for the first time has no track yet and is not returned.
        """
        vehicles = [each for each in tracks.objects if each.class_name in self._vehicle_classes]
        owners = associate_plates([plate.xyxy for plate in plates], vehicles)
        plate_ids = self._track(plates, frame.time_s)
        observed: list[ObservedPlate] = []
        for plate, owner, plate_id in zip(plates, owners, plate_ids, strict=True):
            vehicle = None if owner is None else vehicles[owner]
            if vehicle is None:
                track = self._open_tracks.for_plate(frame, plate.xyxy, plate_id)
            else:
                track = self._open_tracks.for_vehicle(frame, plate.xyxy, vehicle, plate_id, tracks.present_ids)
            if track is not None:
                track.observe(frame, plate.xyxy, vehicle)
                observed.append(ObservedPlate(plate, track, vehicle))
            elif glyph_height_px(plate) >= self._min_glyph_px:
                self._unconfirmed_s = frame.time_s
        return observed

    def needs_frame_search(self, now_s: float) -> bool:
        """Return whether there are plates on no vehicle that the next search of the whole frame should include."""
        if self._unconfirmed_s is not None and now_s - self._unconfirmed_s <= UNCONFIRMED_S:
            return True
        return self._open_tracks.needs_frame_search(now_s)

    def move_view(self, change: ViewChange) -> None:
        """Transform tracked positions after a change of frame size or camera direction."""
        self._tracker.move_view(change)

    def _track(self, plates: list[PlateBox], time_s: float) -> list[int | None]:
        """Return the track id of each plate, None for a plate without a confirmed track."""
        detections = Detections(
            xyxy=np.array([plate.xyxy for plate in plates], np.float32).reshape(-1, 4),
            score=np.array([plate.score for plate in plates], np.float32),
            class_id=np.zeros(len(plates), np.int32),
        )
        tracks = self._tracker.update(detections, time_s=time_s)
        ids: list[int | None] = [None] * len(plates)
        for track_id, row in zip(tracks.track_id.tolist(), tracks.detection_index.tolist(), strict=True):
            ids[row] = track_id
        return ids


def plate_tracking(settings: AnprSettings) -> TrackSettings:
    """Return tracker settings for plates, which are few and move far between frames relative to their size."""
    return TrackSettings(
        low_score=min(0.2, settings.min_detection_score),
        high_score=min(0.5, settings.min_detection_score),
        confirm_hits=2,
        confirm_score_sum=0.0,
        leap_speed=0.0,
        lost_s=settings.lost_s,
        buffer_ratio=1.5,
        min_similarity=0.02,
        stray_ratio=3.0,
        reach_ratio=6.0,
    )
