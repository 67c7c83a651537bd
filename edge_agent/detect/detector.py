"""The seam between the pipeline and whatever finds objects in a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from edge_agent.types import Detections, Picture


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which detector said so; travels in events as ``shared.events.ModelInfo``."""

    model_type: str
    """Name in the catalogue, or the file's stem."""
    version: str
    """For a model file the first twelve digits of its sha256, so that two builds of one name are told apart."""


class ImageDetector(Protocol):
    """Finds objects in one picture at a time. Not for use by two threads at once."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names; ``Detections.class_id`` is an index into them."""
        ...

    @property
    def model_info(self) -> ModelInfo: ...

    @property
    def input_width(self) -> int:
        """Width in pixels of what the model sees; a picture larger than that loses detail."""
        ...

    @property
    def input_height(self) -> int: ...

    def detect(self, picture: Picture) -> Detections:
        """Find objects in the whole picture."""
        ...

    def detect_region(self, picture: Picture, xyxy: NDArray[Any]) -> Detections:
        """Find objects in one part of the picture, given in its pixels; boxes come back in the whole picture's."""
        ...

    def close(self) -> None:
        """Free the model; the detector cannot be used afterwards."""
        ...
