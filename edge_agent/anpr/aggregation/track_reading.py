"""Reads the plates of a frame and adds plausible readings to their tracks."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.anpr.aggregation.formats import PlateRules
from edge_agent.anpr.aggregation.plate_association import ObservedPlate
from edge_agent.anpr.aggregation.plate_evidence import evidence, position_evidence
from edge_agent.anpr.aggregation.plate_track import PlateSnapshot
from edge_agent.anpr.detection.plate_score import plate_score
from edge_agent.anpr.detection.region_search import EDGE_PX
from edge_agent.anpr.frame_budget import FrameBudget
from edge_agent.anpr.recognition.quality import CropQuality, crop_quality, glyph_height_px
from edge_agent.anpr.recognition.rectify import rectify_plate
from edge_agent.anpr.settings import AnprSettings
from edge_agent.anpr.types import PlateBox, PlateReader, PlateReading
from edge_agent.types import Frame
from shared.plates import normalize_plate

MIN_PLATE_SCORE_TO_VOTE = 0.3
"""Minimum plate score of a reading that is added to the vote. Lower than for single images, because several readings
must agree."""


class TrackReading:
    """Reads the plates whose tracks need readings most."""

    def __init__(self, *, settings: AnprSettings, reader: PlateReader, rules: PlateRules, budget: FrameBudget) -> None:
        self._settings = settings
        self._reader = reader
        self._rules = rules
        self._budget = budget

    def read(self, frame: Frame, observed: Sequence[ObservedPlate]) -> None:
        """Read at most ``max_reads`` plates: fewest readings so far first, then highest detection score.

        The first legible plate is read in any case, further ones only within the frame's time budget.
        """
        candidates = [
            each
            for each in observed
            if not each.track.is_read and not each.track.is_unreadable and self._is_legible(each.plate, frame)
        ]
        candidates.sort(key=lambda each: (each.track.vote.reads, -each.plate.score))
        image = frame.picture.bgr()
        for number, each in enumerate(candidates[: self._settings.max_reads]):
            if number and self._budget.is_exhausted:
                return
            crop = rectify_plate(image, each.plate)
            quality = crop_quality(crop, each.plate)
            if quality.sharpness >= self._settings.min_sharpness:
                self._add(frame, each, self._reader.read(crop), quality)

    def _is_legible(self, plate: PlateBox, frame: Frame) -> bool:
        """Return whether the plate is inside the frame and its characters are tall enough."""
        inside = (
            plate.left > EDGE_PX
            and plate.top > EDGE_PX
            and plate.right < frame.width - EDGE_PX
            and plate.bottom < frame.height - EDGE_PX
        )
        return inside and glyph_height_px(plate) >= self._settings.min_glyph_px

    def _add(self, frame: Frame, observed: ObservedPlate, reading: PlateReading, quality: CropQuality) -> None:
        if not self._is_plausible(frame, observed, reading):
            observed.track.implausible_reads += 1
            return
        vehicle = None if observed.vehicle is None else observed.vehicle.xyxy
        snapshot = PlateSnapshot(frame=frame, plate=observed.plate.xyxy, vehicle=vehicle, quality=quality.overall)
        observed.track.add_reading(reading, snapshot)
        observed.track.update_settled(self._settings, frame.time_s)

    def _is_plausible(self, frame: Frame, observed: ObservedPlate, reading: PlateReading) -> bool:
        log_odds = evidence(frame.picture.bgr(), observed.plate, reading, self._rules)
        if observed.vehicle is not None:
            log_odds += position_evidence(observed.plate.xyxy, observed.vehicle.xyxy, observed.vehicle.class_name)
        if plate_score(observed.plate.score, reading, evidence=log_odds) < MIN_PLATE_SCORE_TO_VOTE:
            return False
        return self._rules.plausible(normalize_plate(reading.text), appearance=reading.region)
