"""Interface of detectors that take one image at a time."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from edge_agent.types import Detections, Picture
from shared.events import ModelInfo


class ImageDetector(Protocol):
    """Detects objects in one image at a time. Not safe for concurrent use."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names; ``Detections.class_id`` is an index into them."""
        ...

    @property
    def model_info(self) -> ModelInfo:
        """Name in the catalogue, or the file's stem, and the first twelve digits of the file's sha256."""
        ...

    @property
    def input_width(self) -> int:
        """Input width of the model in pixels. Larger images are downscaled."""
        ...

    @property
    def input_height(self) -> int: ...

    def detect(self, picture: Picture) -> Detections:
        """Detect objects in the whole image."""
        ...

    def detect_region(self, picture: Picture, xyxy: NDArray[Any]) -> Detections:
        """Detect objects in one region (xyxy, pixels of the image); boxes are in pixels of the whole image."""
        ...

    def close(self) -> None:
        """Free the model; the detector cannot be used afterwards."""
        ...
