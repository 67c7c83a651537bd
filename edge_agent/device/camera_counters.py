"""What the frame loop of a camera counts for the metrics. Plain additions on the camera's own thread."""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.metrics.exposition import Histogram
from shared.metrics.table import AGENT, by_name


def _inference_histogram() -> Histogram:
    return Histogram(by_name(AGENT)["vedette_inference_seconds"].buckets)


@dataclass(slots=True)
class CameraCounters:
    """Counts of one camera since the agent's start. Written by the camera's thread only; may be read by others."""

    frames: int = 0
    frames_dropped: int = 0
    motion_frames: int = 0
    motion_area_ratio: float = 0.0
    """Of the latest frame."""
    detections: int = 0
    inference: Histogram = field(default_factory=_inference_histogram)
    stage_seconds: dict[str, float] = field(default_factory=dict[str, float])
    _last_number: int = 0

    def count_frame(self, number: int) -> None:
        """Count a processed frame; a gap in the numbers, which start again with each connection, is dropped frames."""
        self.frames += 1
        self.frames_dropped += max(number - self._last_number - 1, 0)
        self._last_number = number

    def count_motion(self, area_ratio: float, *, active: bool) -> None:
        """Record the motion of a processed frame."""
        self.motion_area_ratio = area_ratio
        self.motion_frames += active
