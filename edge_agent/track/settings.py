"""Settings of the tracker and of the judgement whether an object stands still. All durations are in seconds."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from shared.settings import Settings

Ratio = Annotated[float, Field(ge=0.0, le=1.0)]


class TrackSettings(Settings):
    """How detections become tracks. The defaults suit fixed cameras and detectors with scores from 0 to 1.

    Scores above 1 count as 1, so a detector with another scale has all its detections taken as certain; scale them
    to 0..1 if weak ones are to be told from strong ones.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    low_score: Ratio = 0.2
    """Detections below are ignored. Raising it loses people in the moments when the detector doubts; lowering
    it is safe as far as new tracks go, since such detections only continue tracks."""
    high_score: Ratio = 0.5
    """Detections from here on are matched first and may start a track. Raising it means fewer ghosts and
    later (or no) tracks on faint objects."""
    confirm_hits: Annotated[int, Field(ge=1, le=30)] = 2
    """Detections that it takes at least to confirm a track. Raising it means fewer ghosts and later `entered`
    events."""
    confirm_score_sum: Annotated[float, Field(ge=0.0, le=30.0)] = 1.6
    """What their scores must add up to: two sure ones do, faint ones take four. Raising it means fewer ghosts and later
    `entered` events for faint objects."""
    tentative_updates: Annotated[int, Field(ge=0, le=100)] = 2
    """Misses in a row after which an unconfirmed track is dropped. Raising it confirms flickering objects, and
    flickering noise too."""
    tentative_s: Annotated[float, Field(ge=0.0, le=60.0)] = 0.1
    """Time that must have passed besides, for cameras with many frames a second. Raising it does the same."""
    lost_s: Annotated[float, Field(ge=0.0, le=600.0)] = 4.0
    """How long a confirmed track that no detection touches is kept. Raising it bridges longer occlusions, but
    `left` comes later and somebody else may be taken for the one who went. Four seconds: most occlusions in street
    scenes last under three, a detector may overlook somebody who sits for two or more, and `left` four seconds late
    (its dwell time ends at the last sighting) hurts less than one person counted twice."""
    leaving_s: Annotated[float, Field(ge=0.0, le=600.0)] = 1.0
    """The same for a track that was last seen at the edge of the view and heading out of it."""
    lost_updates: Annotated[int, Field(ge=0, le=1000)] = 4
    """Updates in a row without a detection that it takes, besides ``lost_s``, to end a track: at one detector
    run a second, raising it keeps tracks longer."""
    max_gap_s: Annotated[float, Field(gt=0.0, le=60.0)] = 2.0
    """Time between two updates beyond this neither ages nor moves a track: nobody looked. Raising it lets
    long pauses of the detector end tracks."""
    min_similarity: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """Buffered overlap (weighed by height) that a detection needs with a track's expected place. Raising it
    splits tracks of fast or erratic objects; lowering it lets neighbours swap."""
    min_weak_similarity: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    """The same for detections below ``high_score``. Raising it keeps noise out of tracks."""
    buffer_ratio: Annotated[float, Field(ge=0.0, le=2.0)] = 0.2
    """How much boxes are widened on each side for that, in parts of their size. Raising it bridges faster
    motion and lets neighbours swap."""
    stray_ratio: Annotated[float, Field(gt=0.0, le=10.0)] = 0.3
    """How far from its expected place, in parts of its size, a track's detection may be found before the fit
    counts for much less. Raising it forgives jumps of the box and of the object; lowering it keeps people who
    cross apart."""
    reach_sigmas: Annotated[float, Field(gt=0.0, le=10.0)] = 2.0
    """How far from its expected place, in standard deviations, a track may be found again without any
    overlap. Raising it recovers more lost tracks, and mistakes strangers for them."""
    reach_ratio: Annotated[float, Field(gt=0.0, le=20.0)] = 2.0
    """The same, at most this many times the object's size (root of its area), however long it was lost."""
    leap_speed: Annotated[float, Field(ge=0.0, le=200.0)] = 30.0
    """How fast an object may be, in its own sizes a second, for its first two detections to be joined although they do
    not overlap, where no other pair is possible. Raising it follows faster objects, and joins strangers; 0 joins
    none."""
    size_change: Annotated[float, Field(gt=1.0, le=10.0)] = 1.5
    """Factor by which width and height may differ there. Raising it recovers more, and mistakes more."""
    shadow_overlap: Ratio = 0.7
    """Intersection, over the smaller box, with an established track at which a new one is held for a second
    box on the same object and is not confirmed. Raising it gives people in dense crowds tracks of their own,
    and doubles half bodies."""
    confusable_classes: tuple[tuple[str, ...], ...] = (
        ("car", "truck", "bus", "van", "train"),
        ("bicycle", "motorcycle", "motorbike"),
    )
    """Names of classes that the detector mixes up; within a group an object keeps its track when its class
    changes."""
    same_box_classes: tuple[tuple[str, ...], ...] = (
        ("person", "dog", "cat", "bird", "horse", "sheep", "cow", "bear", "teddy bear"),
    )
    """Names of classes that the detector mixes up, but that often keep each other company as well: an object keeps its
    track when its class changes within a group only if its box stays the same."""

    @model_validator(mode="after")
    def _in_order(self) -> TrackSettings:
        if self.low_score > self.high_score:
            raise ValueError(f"low_score ({self.low_score}) must not be above high_score ({self.high_score})")
        return self


class StationarySettings(Settings):
    """When a tracked object counts as standing still."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    after_s: Annotated[float, Field(gt=0.0, le=3600.0)] = 5.0
    """How long it must have stayed within ``still_ratio``. Raising it makes the judgement later and surer."""
    still_ratio: Annotated[float, Field(gt=0.0, le=5.0)] = 0.15
    """How far it may wander in that time, in parts of its size. Raising it tolerates more jitter of the
    box."""
    moving_ratio: Annotated[float, Field(gt=0.0, le=10.0)] = 0.4
    """How far from its resting place it must go to count as moving again. Raising it ignores larger
    stirrings."""

    @model_validator(mode="after")
    def _in_order(self) -> StationarySettings:
        if self.moving_ratio < self.still_ratio:
            raise ValueError(f"moving_ratio ({self.moving_ratio}) must not be below still_ratio ({self.still_ratio})")
        return self
