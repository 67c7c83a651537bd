"""Builds small real ``.tflite`` files, so that tests use the real runtime, tensors and operators."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int32): schema.TensorType.INT32,
}
Quantisation = tuple[float, int] | None
POSTPROCESS_ORDER = ("boxes", "classes", "scores", "count")


class ModelBuilder:
    """Builds a model of one subgraph, tensor by tensor."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = "made by a test"
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: Any,
        *,
        quantisation: Quantisation | tuple[list[float], list[int]] = None,
        content: np.ndarray[Any, Any] | None = None,
    ) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), TYPES[np.dtype(dtype)], 0
        if quantisation is not None:
            scale, zero_point = quantisation
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = list(scale) if isinstance(scale, list) else [scale]
            tensor.quantization.zeroPoint = list(zero_point) if isinstance(zero_point, list) else [zero_point]
        if content is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(content, dtype).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(
        self, inputs: Sequence[int], outputs: Sequence[int], *, builtin: int | None = None, custom: str | None = None
    ) -> Any:
        code = schema.OperatorCodeT()
        code.builtinCode = schema.BuiltinOperator.CUSTOM if builtin is None else builtin
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version, code.customCode = 1, custom
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        self.graph.operators.append(operator)
        return operator

    def write(self, path: Path, *, inputs: Sequence[int], outputs: Sequence[int]) -> Path:
        self.graph.inputs, self.graph.outputs = list(inputs), list(outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path


def write_yolo(
    path: Path,
    stored: np.ndarray[Any, Any],
    *,
    input_size: tuple[int, int] = (64, 64),
    input_dtype: Any = np.int8,
    input_quantisation: Quantisation = (1 / 255, -128),
    quantisation: Quantisation = None,
) -> Path:
    """Write a model whose single output is ``stored`` for any input."""
    build = ModelBuilder()
    width, height = input_size
    picture = build.tensor("images", (1, height, width, 3), input_dtype, quantisation=input_quantisation)
    known = build.tensor("known", stored.shape, stored.dtype, quantisation=quantisation, content=stored)
    shape = build.tensor("shape", (stored.ndim,), np.int32, content=np.array(stored.shape))
    head = build.tensor("Identity", stored.shape, stored.dtype, quantisation=quantisation)
    build.operator([known, shape], [head], builtin=schema.BuiltinOperator.RESHAPE)
    return build.write(path, inputs=[picture], outputs=[head])


def write_echo(
    path: Path, *, input_size: tuple[int, int], dtype: Any, quantisation: Quantisation, output_shape: Sequence[int]
) -> Path:
    """Write a model whose output is its input, reshaped."""
    build = ModelBuilder()
    width, height = input_size
    picture = build.tensor("images", (1, height, width, 3), dtype, quantisation=quantisation)
    shape = build.tensor("shape", (len(output_shape),), np.int32, content=np.array(output_shape))
    head = build.tensor("Identity", output_shape, dtype, quantisation=quantisation)
    build.operator([picture, shape], [head], builtin=schema.BuiltinOperator.RESHAPE)
    return build.write(path, inputs=[picture], outputs=[head])


def write_ssd(
    path: Path,
    boxes: Sequence[Sequence[float]],
    scores: Sequence[Sequence[float]],
    *,
    order: Sequence[str] = POSTPROCESS_ORDER,
    names: Sequence[str] = ("StatefulPartitionedCall:3", "s:2", "s:1", "s:0"),
    background: bool = True,
    max_detections: int = 5,
) -> Path:
    """Write a model that ends in the real ``TFLite_Detection_PostProcess``.

    ``boxes`` are (ymin, xmin, ymax, xmax) in 0..1 and are used as anchors with zero encodings; ``scores`` has one
    row of class scores for each box.
    """
    build = ModelBuilder()
    corners, per_class = np.asarray(boxes, np.float32), np.asarray(scores, np.float32)
    if background:
        per_class = np.concatenate([np.zeros((len(per_class), 1), np.float32), per_class], axis=1)
    classes = per_class.shape[1] - int(background)
    middle, size = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    picture = build.tensor("image", (1, 64, 64, 3), np.uint8, quantisation=(1 / 128, 128))
    count = len(corners)
    encodings = build.tensor("encodings", (1, count, 4), np.float32, content=np.zeros((1, count, 4)))
    predictions = build.tensor("predictions", (1, *per_class.shape), np.float32, content=per_class[None])
    anchors = build.tensor("anchors", (count, 4), np.float32, content=np.concatenate([middle, size], axis=1))
    shapes = {"boxes": (1, max_detections, 4), "classes": (1, max_detections), "scores": (1, max_detections)}
    results = {
        kind: build.tensor(name, shapes.get(kind, (1,)), np.float32)
        for kind, name in zip(POSTPROCESS_ORDER, names, strict=True)
    }
    step = build.operator(
        [encodings, predictions, anchors], list(results.values()), custom="TFLite_Detection_PostProcess"
    )
    step.customOptions = np.frombuffer(_postprocess_options(classes, max_detections), np.uint8)
    return build.write(path, inputs=[picture], outputs=[results[kind] for kind in order])


def _postprocess_options(classes: int, max_detections: int) -> bytes:
    options = flexbuffers.Builder()
    with options.Map():
        options.Int("max_detections", max_detections)
        options.Int("max_classes_per_detection", 1)
        options.Int("detections_per_class", max_detections)
        options.Bool("use_regular_nms", False)
        options.Float("nms_score_threshold", 1e-8)
        options.Float("nms_iou_threshold", 0.6)
        options.Int("num_classes", classes)
        for name, value in (("y_scale", 10.0), ("x_scale", 10.0), ("h_scale", 5.0), ("w_scale", 5.0)):
            options.Float(name, value)
    return bytes(options.Finish())


def pack_file(model: Path, name: str, content: str) -> None:
    """Append a file to a model as a zip archive at its end, as TFLite Metadata and Ultralytics do."""
    with zipfile.ZipFile(model, "a") as archive:
        archive.writestr(name, content)
