"""The plate tracks of one camera that are still open, by vehicle and by tracked plate."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from edge_agent.anpr.aggregation.direction import DirectionEstimator
from edge_agent.anpr.aggregation.plate_track import PlateTrack
from edge_agent.anpr.settings import AnprSettings
from edge_agent.boxes import Box
from edge_agent.events.occurrences import TrackedObject
from edge_agent.types import Frame


class OpenPlateTracks:
    """Creates, merges and removes plate tracks."""

    def __init__(self, *, settings: AnprSettings, uid_prefix: str) -> None:
        """``uid_prefix``: prefix of the ``track_uid`` of each track, unique per camera and run."""
        self._settings = settings
        self._uid_prefix = uid_prefix
        self._by_vehicle: dict[int, PlateTrack] = {}
        """Vehicle track id to plate track."""
        self._by_plate: dict[int, PlateTrack] = {}
        """Track id of the plate itself to plate track."""

    def all(self) -> list[PlateTrack]:
        """Return every open track once, the oldest first."""
        tracks = {id(track): track for track in (*self._by_vehicle.values(), *self._by_plate.values())}
        return sorted(tracks.values(), key=lambda track: (track.first_seen_s, track.track_uid))

    def complete_vehicle_ids(self) -> set[int]:
        """Return the ids of the vehicles whose plates need no further search."""
        return {vehicle_id for vehicle_id, track in self._by_vehicle.items() if track.is_complete}

    def needs_frame_search(self, now_s: float) -> bool:
        """Return whether an open track without a vehicle depends on searches of the whole frame."""
        return any(track.needs_frame_search(now_s) for track in self._by_plate.values())

    def add_vehicle_boxes(self, frame: Frame, objects: Sequence[TrackedObject]) -> None:
        """Update the direction of the open tracks from the boxes of their vehicles."""
        for each in objects:
            track = self._by_vehicle.get(each.track_id)
            if track is not None:
                track.direction.add_vehicle_box(each.xyxy, width=frame.width, height=frame.height)

    def for_plate(self, frame: Frame, box: Box, plate_id: int | None) -> PlateTrack | None:
        """Return the track of a plate that is on no vehicle, creating one if necessary.

        Return None while the plate has no track id, that is, after its first detection.
        """
        if plate_id is None:
            return None
        track = self._by_plate.get(plate_id) or self._create(frame, box, f"plate-{plate_id}")
        self._by_plate[plate_id] = track
        return track

    def for_vehicle(
        self, frame: Frame, box: Box, vehicle: TrackedObject, plate_id: int | None, present_ids: Collection[int]
    ) -> PlateTrack:
        """Return the track of a plate on ``vehicle``, creating one if necessary.

        A track of the same plate that has no vehicle, or whose vehicle is no longer in ``present_ids``, is taken over
        or merged: the object tracker may have assigned a new id to the vehicle.
        """
        of_plate = None if plate_id is None else self._by_plate.get(plate_id)
        unowned = None if of_plate is None or of_plate.vehicle_id in present_ids else of_plate
        track = self._by_vehicle.get(vehicle.track_id)
        if track is None:
            track = unowned or self._create(frame, box, str(vehicle.track_id))
        elif unowned is not None and unowned is not track:
            track.merge(unowned)
            self.remove(unowned)
        self._set_vehicle(track, vehicle)
        track.direction.add_vehicle_box(vehicle.xyxy, width=frame.width, height=frame.height)
        if plate_id is not None:
            self._by_plate[plate_id] = track
        return track

    def is_over(self, track: PlateTrack, now_s: float, present_ids: Collection[int]) -> bool:
        """Return whether the vehicle left, or a plate without a vehicle was not detected for ``lost_s``."""
        if track.vehicle_id is not None:
            return track.vehicle_id not in present_ids
        return now_s - track.last_seen_s > self._settings.lost_s

    def remove(self, track: PlateTrack) -> None:
        """Remove a track from both indexes."""
        self._by_vehicle = {key: each for key, each in self._by_vehicle.items() if each is not track}
        self._by_plate = {key: each for key, each in self._by_plate.items() if each is not track}

    def _set_vehicle(self, track: PlateTrack, vehicle: TrackedObject) -> None:
        if track.vehicle_id != vehicle.track_id:
            self._by_vehicle = {key: each for key, each in self._by_vehicle.items() if each is not track}
        track.vehicle_id, track.track_uid = vehicle.track_id, vehicle.track_uid
        self._by_vehicle[vehicle.track_id] = track

    def _create(self, frame: Frame, box: Box, name: str) -> PlateTrack:
        return PlateTrack(
            track_uid=f"{self._uid_prefix}-{name}",
            direction=DirectionEstimator(self._settings.direction),
            first_seen_s=frame.time_s,
            last_seen_s=frame.time_s,
            plate=box,
        )
