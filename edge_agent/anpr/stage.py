"""Reads vehicles, not frames: looks for plates where they may be, reads what is legible, and lets the readings vote.

One ``AnprOccurrence`` a passage, when the vote has settled or the vehicle has gone. Plates that are on no known vehicle
are followed by themselves. Nothing here knows a model: a ``PlateDetector`` and a ``PlateReader`` come in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np

from edge_agent.anpr.aggregation.color import vehicle_color
from edge_agent.anpr.aggregation.direction import DirectionEstimator
from edge_agent.anpr.aggregation.formats import PlateRules
from edge_agent.anpr.aggregation.plate_track import Passage, PlateSnapshot, choose
from edge_agent.anpr.aggregation.recent_plates import RecentPlate, RecentPlates
from edge_agent.anpr.aggregation.vote import Candidate
from edge_agent.anpr.detection.plate_evidence import evidence, position_evidence
from edge_agent.anpr.detection.plate_score import plate_score
from edge_agent.anpr.detection.search_schedule import SearchSchedule
from edge_agent.anpr.detection.vehicle_association import associate_plates
from edge_agent.anpr.recognition.quality import CropQuality, crop_quality, glyph_height_px
from edge_agent.anpr.recognition.rectify import rectify_plate
from edge_agent.anpr.settings import AnprSettings
from edge_agent.anpr.types import PlateBox, PlateDetector, PlateReader, PlateReading
from edge_agent.events.occurrences import AnprOccurrence, Box, PlateText, TrackedObject, iou
from edge_agent.track.settings import TrackSettings
from edge_agent.track.tracker import ByteTracker
from edge_agent.types import Detections, Frame, Image, ViewChange
from shared.plates import normalize_plate

SAME_PLATE_IOU = 0.4
LEAST_BELIEF_TO_COUNT = 0.3
"""A reading of what is less likely to be a plate has no vote. Lower than where pictures are judged by themselves: here
there are other readings to agree with."""
STRAY_S = 0.5
"""A plate seen once on no vehicle is looked for again within so long."""
EDGE_PX = 1.0
"""A plate this near to the picture's edge may be cut."""


class _Seen(NamedTuple):
    """A plate in this frame and whose it is."""

    plate: PlateBox
    passage: Passage
    vehicle: TrackedObject | None


class FrameTracks(NamedTuple):
    """Who was followed in a frame, and who else is believed to be there."""

    followed: Sequence[TrackedObject] = ()
    present: Collection[int] = frozenset()
    """Ids of all in the picture, seen in this very frame or not."""
    awaiting_return: Collection[int] = frozenset()
    """Ids of those lost from sight that may be there still."""


class PlateStage:
    """The plates of one camera. Not thread-safe.

    Everything is decided by the frames and their times, but for ``clock`` (seconds), which is given on live cameras
    alone: once a frame's time is used up nothing more is started in it.
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
        self._settings = settings
        self._detector = detector
        self._reader = reader
        self._uid_prefix = uid_prefix
        self._carriers = frozenset(settings.vehicle_classes)
        self._rules = PlateRules(settings.rules)
        self._plan = SearchSchedule(settings, detects_vehicles=detects_vehicles)
        self._tracker = ByteTracker(plate_tracking(settings), labels=("plate",))
        self._told = RecentPlates(repeat_s=settings.repeat_s)
        self._by_vehicle: dict[int, Passage] = {}
        self._by_plate: dict[int, Passage] = {}
        self._read_out: set[int] = set()
        """Moving things without a class whose plates are known."""
        self._stray_s: float | None = None
        """When a plate was seen last that had no passage yet."""
        self._clock = clock

    def observe(self, frame: Frame, tracked: FrameTracks, *, moving: bool) -> list[AnprOccurrence]:
        """Look at one frame; return the passages to be told now."""
        started_s = self._clock() if self._clock else 0.0
        for each in tracked.followed:
            passage = self._by_vehicle.get(each.track_id)
            if passage is not None:
                passage.heading.add_vehicle_box(each.xyxy, width=frame.width, height=frame.height)
        done = {key for key, passage in self._by_vehicle.items() if passage.is_done}
        regions = self._plan.regions(
            frame,
            tracked.followed,
            done=done | self._read_out,
            moving=moving,
            following=self._follows_plates(frame.time_s),
        )
        if regions:
            plates = self._search(frame, regions, started_s)
            self._read(frame, self._recognise(frame, plates, tracked), started_s)
            self._note_read_out(tracked.followed)
        return self._tell_settled(frame) + self.expire(frame.time_s, tracked)

    def move_view(self, change: ViewChange) -> None:
        """Follow a picture of another size, or a camera that pans, so that plates keep their tracks."""
        self._tracker.move_view(change)

    def expire(self, now_s: float, tracked: FrameTracks) -> list[AnprOccurrence]:
        """Tell and forget the passages of those who have gone."""
        told: list[AnprOccurrence] = []
        for passage in self._passages():
            if self._is_over(passage, now_s, tracked.present):
                told += self._tell(passage, now_s)
                if passage.vehicle_id not in tracked.awaiting_return:
                    self._forget(passage)
        here = {*tracked.present, *tracked.awaiting_return}
        self._plan.forget(here)
        self._read_out &= here
        return told

    def finish(self) -> list[AnprOccurrence]:
        """Tell what is left: the source has ended."""
        told = [found for passage in self._passages() for found in self._tell(passage, passage.last_seen_s)]
        for passage in self._passages():
            self._forget(passage)
        return told

    def close(self) -> None:
        """Let the models go."""
        for model in (self._detector, self._reader):
            release = getattr(model, "close", None)
            if callable(release):
                release()

    # Finding

    def _search(self, frame: Frame, regions: Sequence[Box], started_s: float) -> list[PlateBox]:
        image = frame.picture.bgr()
        found: list[PlateBox] = []
        for region in regions:
            if found and self._late(started_s):
                break
            found += _find_in(self._detector, image, region)
        found.sort(key=lambda plate: -plate.score)
        least = self._settings.min_detection_score
        kept: list[PlateBox] = []
        for plate in found:
            if plate.score >= least and all(iou(box_of(plate), box_of(other)) < SAME_PLATE_IOU for other in kept):
                kept.append(plate)
        return kept

    def _recognise(self, frame: Frame, plates: list[PlateBox], tracked: FrameTracks) -> list[_Seen]:
        """Find each plate's passage, beginning new ones; a plate that was seen once on no vehicle has none yet."""
        boxes = [box_of(plate) for plate in plates]
        vehicles = [each for each in tracked.followed if each.class_name in self._carriers]
        owners = associate_plates(boxes, vehicles)
        plate_ids = self._follow(plates, frame.time_s)
        seen: list[_Seen] = []
        for plate, box, owner, plate_id in zip(plates, boxes, owners, plate_ids, strict=True):
            vehicle = None if owner is None else vehicles[owner]
            passage = self._passage_of(frame, box, vehicle, plate_id, tracked.present)
            if passage is not None:
                passage.see(frame, box, vehicle)
                seen.append(_Seen(plate, passage, vehicle))
            elif glyph_height_px(plate) >= self._settings.min_glyph_px:
                self._stray_s = frame.time_s
        return seen

    def _follows_plates(self, now_s: float) -> bool:
        """Say whether there are plates on no vehicle that the next look at the whole picture should not miss."""
        if self._stray_s is not None and now_s - self._stray_s <= STRAY_S:
            return True
        return any(each.is_followed_alone(now_s) for each in self._by_plate.values())

    def _follow(self, plates: list[PlateBox], time_s: float) -> list[int | None]:
        detections = Detections(
            xyxy=np.array([box_of(plate) for plate in plates], np.float32).reshape(-1, 4),
            score=np.array([plate.score for plate in plates], np.float32),
            class_id=np.zeros(len(plates), np.int32),
        )
        tracks = self._tracker.update(detections, time_s=time_s)
        ids: list[int | None] = [None] * len(plates)
        for track_id, row in zip(tracks.track_id.tolist(), tracks.detection_index.tolist(), strict=True):
            ids[row] = track_id
        return ids

    def _passage_of(
        self, frame: Frame, box: Box, vehicle: TrackedObject | None, plate_id: int | None, present: Collection[int]
    ) -> Passage | None:
        of_plate = self._by_plate.get(plate_id) if plate_id is not None else None
        if vehicle is None:
            passage = of_plate or (self._begin(frame, box, f"plate-{plate_id}") if plate_id is not None else None)
        else:
            # A plate that was followed by itself so far, or on a vehicle that the tracker took up under another id.
            free = None if of_plate is None or of_plate.vehicle_id in present else of_plate
            passage = self._on_vehicle(frame, box, vehicle, free)
        if plate_id is not None and passage is not None:
            self._by_plate[plate_id] = passage
        return passage

    def _on_vehicle(self, frame: Frame, box: Box, vehicle: TrackedObject, free: Passage | None) -> Passage:
        passage = self._by_vehicle.get(vehicle.track_id)
        if passage is None:
            passage = free or self._begin(frame, box, str(vehicle.track_id))
        elif free is not None and free is not passage:
            passage.absorb(free)
            self._forget(free)
        if passage.vehicle_id != vehicle.track_id:
            self._by_vehicle = {key: each for key, each in self._by_vehicle.items() if each is not passage}
        passage.vehicle_id, passage.track_uid = vehicle.track_id, vehicle.track_uid
        passage.heading.add_vehicle_box(vehicle.xyxy, width=frame.width, height=frame.height)
        self._by_vehicle[vehicle.track_id] = passage
        return passage

    def _begin(self, frame: Frame, box: Box, name: str | None) -> Passage:
        return Passage(
            track_uid=f"{self._uid_prefix}-{name}",
            heading=DirectionEstimator(self._settings.direction),
            first_seen_s=frame.time_s,
            last_seen_s=frame.time_s,
            plate=box,
        )

    # Reading

    def _read(self, frame: Frame, seen: list[_Seen], started_s: float) -> None:
        """Read the most wanting and most legible plates."""
        open_ones = [each for each in seen if not each.passage.is_known and not each.passage.is_hopeless]
        open_ones = [each for each in open_ones if self._worth_a_look(each.plate, frame)]
        open_ones.sort(key=lambda each: (each.passage.vote.reads, -each.plate.score))
        image = frame.picture.bgr()
        for number, each in enumerate(open_ones[: self._settings.max_reads]):
            if number and self._late(started_s):
                return
            crop = rectify_plate(image, each.plate)
            quality = crop_quality(crop, each.plate)
            if quality.sharpness >= self._settings.min_sharpness:
                self._count(frame, each, self._reader.read(crop), quality)

    def _worth_a_look(self, plate: PlateBox, frame: Frame) -> bool:
        inside = (
            plate.left > EDGE_PX
            and plate.top > EDGE_PX
            and plate.right < frame.width - EDGE_PX
            and plate.bottom < frame.height - EDGE_PX
        )
        return inside and glyph_height_px(plate) >= self._settings.min_glyph_px

    def _count(self, frame: Frame, seen: _Seen, reading: PlateReading, quality: CropQuality) -> None:
        against = evidence(frame.picture.bgr(), seen.plate, reading, self._rules)
        if seen.vehicle is not None:
            against += position_evidence(box_of(seen.plate), seen.vehicle.xyxy, seen.vehicle.class_name)
        believed = plate_score(seen.plate.score, reading, evidence=against) >= LEAST_BELIEF_TO_COUNT
        if not believed or not self._rules.plausible(normalize_plate(reading.text), looks=reading.region):
            seen.passage.doubts += 1
            return
        vehicle = None if seen.vehicle is None else seen.vehicle.xyxy
        portrait = PlateSnapshot(frame=frame, plate=box_of(seen.plate), vehicle=vehicle, quality=quality.overall)
        seen.passage.read(reading, portrait)
        seen.passage.settles(self._settings, frame.time_s)

    def _late(self, started_s: float) -> bool:
        return self._clock is not None and (self._clock() - started_s) * 1000 >= self._settings.budget_ms

    # Telling

    def _tell_settled(self, frame: Frame) -> list[AnprOccurrence]:
        size = {"width": frame.width, "height": frame.height}
        ready = [passage for passage in self._passages() if passage.ready(frame.time_s, **size)]
        return [found for passage in ready for found in self._tell(passage, frame.time_s)]

    def _tell(self, passage: Passage, now_s: float) -> list[AnprOccurrence]:
        """Close a passage and return its occurrence; nothing where there is nothing sure or nothing new to tell."""
        settings, verdict = self._settings, passage.vote.verdict()
        best = choose(verdict, self._rules, looks=passage.region_by_looks)
        if passage.told is not None or best is None or verdict.reads < settings.min_reads:
            return []
        portrait = passage.portrait_of(best.text)
        if best.confidence < settings.min_confidence or portrait is None or not passage.is_a_passage:
            return []
        before = self._told_before(passage, best.text)
        found = [] if before else [self._occurrence(passage, best, portrait, now_s)]
        passage.close(before or self._told.add(best.text, passage.plate, passage.last_seen_s))
        return found

    def _occurrence(self, passage: Passage, best: Candidate, portrait: PlateSnapshot, now_s: float) -> AnprOccurrence:
        verdict, frame = passage.vote.verdict(), portrait.frame
        others = (each for each in verdict.candidates if each.text != best.text)
        color = None
        if self._settings.color and portrait.vehicle is not None:
            color = vehicle_color(frame.picture.bgr(), portrait.vehicle, plate=portrait.plate)
        return AnprOccurrence(
            frame=frame,
            plate=portrait.plate,
            candidates=tuple(PlateText(each.text, each.confidence) for each in (best, *others)),
            reads=verdict.reads,
            quality=portrait.quality,
            track_uid=passage.track_uid,
            track_id=passage.vehicle_id,
            vehicle=portrait.vehicle,
            vehicle_type=passage.vehicle_class,
            color=color,
            region=self._rules.region(best.text, looks=passage.region_by_looks),
            direction=passage.heading.label(width=frame.width, height=frame.height),
            latency_s=now_s - frame.time_s,
        )

    def _told_before(self, passage: Passage, text: str) -> RecentPlate | None:
        return self._told.find(
            text,
            first=passage.heading.first_plate or passage.plate,
            first_seen_s=passage.first_seen_s,
            moved=passage.heading.plate_moved,
        )

    # Keeping house

    def _passages(self) -> list[Passage]:
        """Return all passages once, the oldest first."""
        every = {id(passage): passage for passage in (*self._by_vehicle.values(), *self._by_plate.values())}
        return sorted(every.values(), key=lambda passage: (passage.first_seen_s, passage.track_uid))

    def _is_over(self, passage: Passage, now_s: float, present: Collection[int]) -> bool:
        if passage.vehicle_id is not None:
            return passage.vehicle_id not in present
        return now_s - passage.last_seen_s > self._settings.lost_s

    def _forget(self, passage: Passage) -> None:
        self._by_vehicle = {key: each for key, each in self._by_vehicle.items() if each is not passage}
        self._by_plate = {key: each for key, each in self._by_plate.items() if each is not passage}

    def _note_read_out(self, followed: Sequence[TrackedObject]) -> None:
        """Note which moving things without a class carry a plate that is known, so that they are left alone."""
        known = [passage.plate for passage in self._passages() if passage.is_done]
        for each in followed:
            if each.class_name not in self._carriers and any(_holds(each.xyxy, plate) for plate in known):
                self._read_out.add(each.track_id)


def plate_tracking(settings: AnprSettings) -> TrackSettings:
    """Return how plates are followed: they are small beside their steps, and there are few of them."""
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


def box_of(plate: PlateBox) -> Box:
    """Return a plate's upright box."""
    return plate.left, plate.top, plate.right, plate.bottom


def _find_in(detector: PlateDetector, image: Image, region: Box) -> list[PlateBox]:
    """Return the plates in a part of the picture, in the picture's pixels, but for those that its sides cut."""
    height, width = image.shape[:2]
    left, top, right, bottom = (round(value) for value in region)
    found = detector.find(image[top:bottom, left:right])
    if (left, top, right, bottom) == (0, 0, width, height):
        return found
    inner = (
        -np.inf if left == 0 else left + EDGE_PX,
        -np.inf if top == 0 else top + EDGE_PX,
        np.inf if right == width else right - EDGE_PX,
        np.inf if bottom == height else bottom - EDGE_PX,
    )
    moved = [_moved(plate, left, top) for plate in found]
    return [
        plate
        for plate in moved
        if plate.left > inner[0] and plate.top > inner[1] and plate.right < inner[2] and plate.bottom < inner[3]
    ]


def _moved(plate: PlateBox, x: int, y: int) -> PlateBox:
    corners = None if plate.corners is None else plate.corners + np.array((x, y), np.float32)
    return PlateBox(plate.left + x, plate.top + y, plate.right + x, plate.bottom + y, plate.score, corners)


def _holds(box: Box, plate: Box) -> bool:
    x, y = (plate[0] + plate[2]) / 2, (plate[1] + plate[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]
