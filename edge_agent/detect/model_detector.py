"""An image detector built from an inference model, a preprocessor and an output decoder."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.detect.decoders.table import OutputDecoder
from edge_agent.detect.detection_filter import DetectionFilter
from edge_agent.detect.letterbox import Letterbox
from edge_agent.detect.models.labels import Labels
from edge_agent.detect.nms import nms
from edge_agent.detect.preprocess import Preprocessor
from edge_agent.detect.runtimes.base import InferenceModel, Tensor
from edge_agent.detect.settings import DetectSettings
from edge_agent.types import Detections, Picture
from shared.events import ModelInfo


class ModelDetector:
    """Preprocesses an image, runs the model, decodes its outputs and maps the boxes back to image pixels."""

    def __init__(
        self,
        *,
        inference_model: InferenceModel,
        decoder: OutputDecoder,
        labels: Labels,
        model_info: ModelInfo,
        settings: DetectSettings,
    ) -> None:
        self._inference_model = inference_model
        self._decoder = decoder
        self._input = Preprocessor(
            inference_model.input, keep_aspect=decoder.keep_aspect, pixel_range=decoder.pixel_range
        )
        self._filter = DetectionFilter(settings, labels, model_name=model_info.model_type)
        self._nms_iou = settings.nms_iou
        self._duplicate_iou = settings.duplicate_iou
        self.labels = labels
        self.model_info = model_info
        self.input_width = self._input.width
        self.input_height = self._input.height

    def detect(self, picture: Picture) -> Detections:
        """Detect objects in the whole image."""
        tensor, placement = self._input.fill(picture)
        found = self._infer(tensor, placement)
        return self._filter.apply(found, width_px=picture.width, height_px=picture.height)

    def detect_region(self, picture: Picture, xyxy: NDArray[Any]) -> Detections:
        """Detect objects in one region (xyxy, pixels of the image); boxes are in pixels of the whole image."""
        left, top, right, bottom = whole_pixels(xyxy, picture.width, picture.height)
        if right - left < 2 or bottom - top < 2:
            return Detections()
        tensor, placement = self._input.fill_crop(picture.bgr()[top:bottom, left:right])
        found = self._infer(tensor, placement)
        shifted = Detections(
            # Clip to the region first: the model has not seen anything beyond its edge.
            xyxy=np.clip(found.xyxy, np.float32(0), np.array([right - left, bottom - top] * 2, np.float32))
            + np.array([left, top, left, top], np.float32),
            score=found.score,
            class_id=found.class_id,
        )
        return self._filter.apply(shifted, width_px=picture.width, height_px=picture.height)

    def close(self) -> None:
        """Free the model."""
        self._inference_model.close()

    def _infer(self, tensor: Tensor, placement: Letterbox) -> Detections:
        outputs = self._inference_model.run(tensor)
        found = self._decoder.decode(outputs, min_score=self._filter.min_score, max_iou=self._nms_iou)
        found = nms(found, 1.0, duplicate_iou=self._duplicate_iou)
        return Detections(xyxy=placement.to_source(found.xyxy), score=found.score, class_id=found.class_id)


def whole_pixels(xyxy: NDArray[Any], width: int, height: int) -> tuple[int, int, int, int]:
    """Return the smallest integer box that contains this one, clipped to the image."""
    left, top = np.floor(xyxy[:2])
    right, bottom = np.ceil(xyxy[2:])
    return (
        int(np.clip(left, 0, width)),
        int(np.clip(top, 0, height)),
        int(np.clip(right, 0, width)),
        int(np.clip(bottom, 0, height)),
    )
