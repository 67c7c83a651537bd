"""Settings of the tracker."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from shared.geometry import Ratio
from shared.settings import Settings


class TrackSettings(Settings):
    """How detections become tracks. The defaults suit fixed cameras and detectors with scores from 0 to 1.

    Scores above 1 count as 1, so scale the scores of a detector with another range to 0..1 first.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    low_score: Ratio = 0.2
    """Minimum score of a detection that the tracker uses. Detections below `high_score` only continue tracks and
    never start one. Raising it loses objects while the detector is uncertain."""
    high_score: Ratio = 0.5
    """Minimum score of detections that are matched first and may start a track. Raising it causes fewer false tracks
    and later, or no, tracks of low-contrast objects."""
    confirm_hits: Annotated[int, Field(ge=1, le=30)] = 2
    """Minimum number of detections that confirm a track. Raising it causes fewer false tracks and later `entered`
    events."""
    confirm_score_sum: Annotated[float, Field(ge=0.0, le=30.0)] = 1.6
    """Minimum sum of detection scores that confirms a track: two strong detections reach the default, weak ones need
    four. Raising it causes fewer false tracks and later `entered` events for low-contrast objects."""
    tentative_updates: Annotated[int, Field(ge=0, le=100)] = 2
    """Consecutive misses after which an unconfirmed track is dropped. Raising it confirms intermittently detected
    objects, and intermittent noise too."""
    tentative_s: Annotated[float, Field(ge=0.0, le=60.0)] = 0.1
    """Minimum seconds since the last detection before an unconfirmed track is dropped, for cameras with high frame
    rates. Raising it has the same effect as raising `tentative_updates`."""
    lost_s: Annotated[float, Field(ge=0.0, le=600.0)] = 4.0
    """Seconds for which a confirmed track without detections is kept. Raising it survives longer occlusions, delays
    `left`, and makes it more likely that another object continues the track. The default covers most occlusions in
    street scenes and seated people whom a detector misses for two seconds or more; dwell times end at the last
    detection either way."""
    leaving_s: Annotated[float, Field(ge=0.0, le=600.0)] = 1.0
    """The same for a track last seen at the edge of the view and moving out of it. Raising it delays `left` for
    objects that leave the view."""
    lost_updates: Annotated[int, Field(ge=0, le=1000)] = 4
    """Consecutive updates without a detection that, besides `lost_s`, are needed to end a track. Raising it keeps
    tracks longer where the detector runs about once a second."""
    max_gap_s: Annotated[float, Field(gt=0.0, le=60.0)] = 2.0
    """Longest interval between two updates, in seconds, that still ages and moves tracks. Longer intervals count as
    pauses of the detector. Raising it lets long pauses end tracks."""
    min_similarity: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """Minimum buffered overlap, weighted by height, of a detection with a track's predicted box. Raising it splits
    tracks of fast or erratic objects; lowering it causes identity switches between neighbours."""
    min_weak_similarity: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    """The same for detections below `high_score`. Raising it keeps noise out of tracks."""
    buffer_ratio: Annotated[float, Field(ge=0.0, le=2.0)] = 0.2
    """Margin added to each side of both boxes for that overlap, as a fraction of their size. Raising it matches
    faster motion and causes identity switches between neighbours."""
    stray_ratio: Annotated[float, Field(gt=0.0, le=10.0)] = 0.3
    """Distance between a detection and the predicted position, as a fraction of the object's size, beyond which the
    similarity is reduced. Raising it tolerates jumps of the box; lowering it separates people whose paths cross."""
    reach_sigmas: Annotated[float, Field(gt=0.0, le=10.0)] = 2.0
    """Maximum distance from the predicted position, in standard deviations, at which a track is matched without any
    overlap. Raising it recovers more lost tracks and more often matches the wrong object."""
    reach_ratio: Annotated[float, Field(gt=0.0, le=20.0)] = 2.0
    """Upper limit of that distance as a multiple of the object's size (square root of its area). Raising it has the
    same effect as raising `reach_sigmas`, for tracks lost for a long time."""
    leap_speed: Annotated[float, Field(ge=0.0, le=200.0)] = 30.0
    """Maximum speed, in object sizes per second, at which the first two detections of an object are matched without
    overlap, if no other match is possible. Raising it tracks faster objects and more often matches two different
    objects; 0 disables this."""
    size_change: Annotated[float, Field(gt=1.0, le=10.0)] = 1.5
    """Maximum factor by which width and height may differ in a match without overlap. Raising it recovers more tracks
    and more often matches the wrong object."""
    shadow_overlap: Ratio = 0.7
    """Intersection over the smaller area, with an established track, from which a new track is treated as a second
    box on the same object and is not confirmed. Raising it gives people in dense crowds tracks of their own and
    duplicates partly visible people."""
    confusable_classes: tuple[tuple[str, ...], ...] = (
        ("car", "truck", "bus", "van", "train"),
        ("bicycle", "motorcycle", "motorbike"),
    )
    """Groups of class names that the detector confuses. An object keeps its track when its class changes within a
    group."""
    same_box_classes: tuple[tuple[str, ...], ...] = (
        ("person", "dog", "cat", "bird", "horse", "sheep", "cow", "bear", "teddy bear"),
    )
    """Groups of class names that the detector confuses but that also occur next to each other. An object keeps its
    track when its class changes within a group only if its box stays the same."""

    @model_validator(mode="after")
    def _in_order(self) -> TrackSettings:
        if self.low_score > self.high_score:
            raise ValueError(f"low_score ({self.low_score}) must not be above high_score ({self.high_score})")
        return self
