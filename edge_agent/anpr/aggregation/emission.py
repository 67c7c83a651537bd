"""Turns the vote of a plate track into an ``AnprOccurrence``, once per plate."""

from __future__ import annotations

from edge_agent.anpr.aggregation.color import vehicle_color
from edge_agent.anpr.aggregation.formats import PlateRules
from edge_agent.anpr.aggregation.plate_track import PlateSnapshot, PlateTrack, choose_text
from edge_agent.anpr.aggregation.recent_plates import RecentPlate, RecentPlates
from edge_agent.anpr.aggregation.vote import Candidate
from edge_agent.anpr.settings import AnprSettings
from edge_agent.events.occurrences import AnprOccurrence, PlateText


class PlateEmission:
    """Decides which tracks are emitted. Remembers recent plates so that none is emitted twice."""

    def __init__(self, *, settings: AnprSettings, rules: PlateRules) -> None:
        self._settings = settings
        self._rules = rules
        self._recent = RecentPlates(repeat_s=settings.repeat_s)

    def emit(self, track: PlateTrack, now_s: float) -> list[AnprOccurrence]:
        """Emit a track: return its occurrence, after which the track is closed.

        Return an empty list for a track that was emitted before, has too few readings or too low a confidence, or shows
        a stationary plate that is not on a vehicle; it remains open. A track that repeats a recently emitted plate is
        closed without an occurrence.
        """
        settings, result = self._settings, track.vote.result()
        best = choose_text(result, self._rules, appearance=track.appearance_region)
        if track.emitted is not None or best is None or result.reads < settings.min_reads:
            return []
        snapshot = track.best_snapshot(best.text)
        if best.confidence < settings.min_confidence or snapshot is None or not track.is_vehicle_plate:
            return []
        earlier = self._emitted_before(track, best.text)
        occurrences = [] if earlier else [self._occurrence(track, best, snapshot, now_s)]
        track.close(earlier or self._recent.add(best.text, track.plate, track.last_seen_s))
        return occurrences

    def _emitted_before(self, track: PlateTrack, text: str) -> RecentPlate | None:
        return self._recent.find(
            text,
            first=track.direction.first_plate or track.plate,
            first_seen_s=track.first_seen_s,
            moved=track.direction.plate_moved,
        )

    def _occurrence(self, track: PlateTrack, best: Candidate, snapshot: PlateSnapshot, now_s: float) -> AnprOccurrence:
        result, frame = track.vote.result(), snapshot.frame
        others = (each for each in result.candidates if each.text != best.text)
        color = None
        if self._settings.color and snapshot.vehicle is not None:
            color = vehicle_color(frame.picture.bgr(), snapshot.vehicle, plate=snapshot.plate)
        return AnprOccurrence(
            frame=frame,
            plate=snapshot.plate,
            candidates=tuple(PlateText(each.text, each.confidence) for each in (best, *others)),
            reads=result.reads,
            quality=snapshot.quality,
            track_uid=track.track_uid,
            track_id=track.vehicle_id,
            vehicle=snapshot.vehicle,
            vehicle_type=track.vehicle_class,
            color=color,
            region=self._rules.region(best.text, appearance=track.appearance_region),
            direction=track.direction.label(width=frame.width, height=frame.height),
            latency_s=now_s - frame.time_s,
        )
