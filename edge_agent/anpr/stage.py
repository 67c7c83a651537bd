"""Reads the number plates of one camera: search, associate, read, vote, emit.

Each vehicle is tracked over many frames, and its readings are combined by a vote. One ``AnprOccurrence`` is emitted
per plate track, when the vote is settled or the vehicle has left. Plates that are on no known vehicle are tracked by
themselves. The models come in as a ``PlateDetector`` and a ``PlateReader``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_agent.anpr.aggregation.emission import PlateEmission
from edge_agent.anpr.aggregation.formats import PlateRules
from edge_agent.anpr.aggregation.open_tracks import OpenPlateTracks
from edge_agent.anpr.aggregation.plate_association import PlateAssociation
from edge_agent.anpr.aggregation.plate_track import PlateTrack
from edge_agent.anpr.aggregation.track_reading import TrackReading
from edge_agent.anpr.detection.region_search import RegionSearch
from edge_agent.anpr.detection.search_schedule import SearchSchedule
from edge_agent.anpr.frame_budget import FrameBudget
from edge_agent.anpr.settings import AnprSettings
from edge_agent.anpr.types import FrameTracks, PlateDetector, PlateReader
from edge_agent.events.occurrences import AnprOccurrence, TrackedObject
from edge_agent.types import Frame, ViewChange


class PlateStage:
    """The plate recognition of one camera. Not thread-safe.

    Results depend only on the frames and their times. On a live camera ``clock`` (monotonic seconds) limits the time
    spent on each frame to ``budget_ms``.
    """

    def __init__(
        self,
        *,
        settings: AnprSettings,
        detector: PlateDetector,
        reader: PlateReader,
        uid_prefix: str,
        detects_vehicles: bool,
        clock: Callable[[], float] | None = None,
    ) -> None:
        rules = PlateRules(settings.rules)
        self._models = (detector, reader)
        self._budget = FrameBudget(budget_ms=settings.budget_ms, clock=clock)
        self._schedule = SearchSchedule(settings, detects_vehicles=detects_vehicles)
        self._search = RegionSearch(detector=detector, budget=self._budget, min_score=settings.min_detection_score)
        self._open_tracks = OpenPlateTracks(settings=settings, uid_prefix=uid_prefix)
        self._association = PlateAssociation(settings=settings, open_tracks=self._open_tracks)
        self._reading = TrackReading(settings=settings, reader=reader, rules=rules, budget=self._budget)
        self._emission = PlateEmission(settings=settings, rules=rules)

    @property
    def open_tracks(self) -> Sequence[PlateTrack]:
        """The open plate tracks, the oldest first."""
        return self._open_tracks.all()

    def observe(self, frame: Frame, tracks: FrameTracks, *, moving: bool) -> list[AnprOccurrence]:
        """Process one frame and return the occurrences to emit. ``moving``: whether anything moves in the frame."""
        self._budget.start()
        self._open_tracks.add_vehicle_boxes(frame, tracks.objects)
        regions = self._schedule.regions(
            frame,
            tracks.objects,
            done=self._open_tracks.complete_vehicle_ids(),
            moving=moving,
            tracking_plates=self._association.needs_frame_search(frame.time_s),
        )
        if regions:
            plates = self._search.search(frame, regions)
            self._reading.read(frame, self._association.associate(frame, plates, tracks))
            self._exclude_read_objects(tracks.objects)
        return self._emit_settled(frame) + self.expire(frame.time_s, tracks)

    def move_view(self, change: ViewChange) -> None:
        """Keep plate tracks through a change of frame size or a camera that pans."""
        self._association.move_view(change)

    def expire(self, now_s: float, tracks: FrameTracks) -> list[AnprOccurrence]:
        """Emit the tracks whose vehicles have left, and remove those that cannot return."""
        emitted: list[AnprOccurrence] = []
        for track in self._open_tracks.all():
            if self._open_tracks.is_over(track, now_s, tracks.present_ids):
                emitted += self._emission.emit(track, now_s)
                if track.vehicle_id not in tracks.lost_ids:
                    self._open_tracks.remove(track)
        self._schedule.retain({*tracks.present_ids, *tracks.lost_ids})
        return emitted

    def finish(self) -> list[AnprOccurrence]:
        """Emit and remove all open tracks at the end of the source."""
        tracks = self._open_tracks.all()
        emitted = [each for track in tracks for each in self._emission.emit(track, track.last_seen_s)]
        for track in tracks:
            self._open_tracks.remove(track)
        return emitted

    def close(self) -> None:
        """Release the models that can be closed."""
        for model in self._models:
            release = getattr(model, "close", None)
            if callable(release):
                release()

    def _emit_settled(self, frame: Frame) -> list[AnprOccurrence]:
        tracks = self._open_tracks.all()
        ready = [track for track in tracks if track.is_ready(frame.time_s, width=frame.width, height=frame.height)]
        return [each for track in ready for each in self._emission.emit(track, frame.time_s)]

    def _exclude_read_objects(self, objects: Sequence[TrackedObject]) -> None:
        """Exclude objects without a vehicle class from further searches once their plates are complete."""
        self._schedule.exclude_read_objects(
            objects, [each.plate for each in self._open_tracks.all() if each.is_complete]
        )
