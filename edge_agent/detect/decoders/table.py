"""Selects the output decoder for a model from the shapes of its output tensors, never from its file name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edge_agent.detect.decoders.ssd import SsdDecoder, find_slots
from edge_agent.detect.decoders.yolo import YoloDecoder, is_yolo_shape
from edge_agent.detect.preprocess import PixelRange
from edge_agent.detect.runtimes.base import InferenceModel, Tensor
from edge_agent.types import Detections
from shared.errors import ConfigurationError


class OutputDecoder(Protocol):
    """Decodes one kind of model output."""

    @property
    def keep_aspect(self) -> bool:
        """Whether the image is letterboxed rather than stretched."""
        ...

    @property
    def pixel_range(self) -> PixelRange: ...

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Possible numbers of classes, most likely first; empty if the outputs do not determine it."""
        ...

    def decode(self, outputs: Sequence[Tensor], *, min_score: float, max_iou: float) -> Detections:
        """Return the detections with at least ``min_score``, with boxes in the input's pixels.

        ``max_iou`` is the threshold of NMS, for models that do not apply it themselves.
        """
        ...


def choose_output_decoder(inference_model: InferenceModel) -> OutputDecoder:
    """Return the decoder for a model; raise ConfigurationError, with the output shapes, if there is none."""
    height, width = inference_model.input.shape[1:3]
    outputs = inference_model.outputs
    if len(outputs) == 4 and (slots := find_slots(inference_model)) is not None:
        return SsdDecoder(outputs, slots, input_width=width, input_height=height)
    if len(outputs) == 1 and is_yolo_shape(outputs[0].shape):
        return YoloDecoder(outputs[0], input_width=width, input_height=height)
    shapes = ", ".join(str(list(output.shape)) for output in outputs)
    raise ConfigurationError(
        f"the model's outputs {shapes} are not supported; supported are the four of TFLite_Detection_PostProcess "
        "(SSD, EfficientDet) and the raw head of YOLOv8 and YOLO11, [1, 4 + classes, boxes]"
    )
