"""Runs ``.tflite`` files with ai-edge-litert or tflite-runtime, which have the same interface, also on Edge TPUs.

No other module imports these packages.
"""

from __future__ import annotations

import ctypes
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edge_agent.detect.runtimes.base import PostProcess, Tensor, TensorSpec
from edge_agent.detect.runtimes.table import RUNTIMES, EdgeTpuError, RuntimeMissingError
from shared.errors import ConfigurationError

EDGETPU_LIBRARY = "libedgetpu.so.1"
_IDENTIFIER = b"TFL3"
_POSTPROCESS = "TFLite_Detection_PostProcess"


def open_litert(path: Path, *, threads: int, edgetpu: bool) -> TfliteModel:
    """Open a model with ai-edge-litert."""
    return open_with(_import(RUNTIMES["litert"].package), path, threads=threads, edgetpu=edgetpu)


def open_tflite_runtime(path: Path, *, threads: int, edgetpu: bool) -> TfliteModel:
    """Open a model with tflite-runtime."""
    return open_with(_import(RUNTIMES["tflite"].package), path, threads=threads, edgetpu=edgetpu)


def open_with(
    package: ModuleType | Any, path: Path, *, threads: int, edgetpu: bool, library: str = EDGETPU_LIBRARY
) -> TfliteModel:
    """Open a model with a module that has ``Interpreter`` and ``load_delegate``."""
    content = _read(path)
    delegates = [_edgetpu_delegate(package, path, library)] if edgetpu else []
    try:
        interpreter = package.Interpreter(
            model_content=content, num_threads=threads, experimental_delegates=delegates or None
        )
        interpreter.allocate_tensors()
        return TfliteModel(interpreter)
    except (ValueError, RuntimeError) as error:
        raise ConfigurationError(_load_error(path, error, edgetpu=edgetpu)) from error


class TfliteModel:
    """An ``InferenceModel`` over a TFLite ``Interpreter``."""

    def __init__(self, interpreter: Any) -> None:
        inputs: list[dict[str, Any]] = interpreter.get_input_details()
        outputs: list[dict[str, Any]] = interpreter.get_output_details()
        if len(inputs) != 1:
            raise ConfigurationError(f"the model has {len(inputs)} inputs; expected one image")
        self._interpreter: Any = interpreter
        self._input_index = int(inputs[0]["index"])
        self._output_indices = [int(detail["index"]) for detail in outputs]
        self.input = _spec(inputs[0])
        self.outputs = tuple(_spec(detail) for detail in outputs)
        self.postprocess = _find_postprocess(interpreter, self._output_indices)

    def run(self, picture: Tensor) -> tuple[Tensor, ...]:
        """Copy the input, run the model, and return copies of the outputs.

        The copies cost 0.3 % of the time of a small model. Views of the interpreter's memory would have to be released
        before the next run, and the input's memory is overwritten during a run, including its padding.
        """
        interpreter = self._interpreter
        interpreter.set_tensor(self._input_index, picture)
        interpreter.invoke()
        return tuple(interpreter.get_tensor(index) for index in self._output_indices)

    def close(self) -> None:
        self._interpreter = None


def _import(package: str) -> ModuleType:
    try:
        return importlib.import_module(f"{package}.interpreter")
    except ImportError as error:
        name = package.replace("_", "-")
        raise RuntimeMissingError(f"the runtime {name} is not installed: pip install {name} ({error})") from error


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read the model {path}: {error.strerror or error}") from error
    if content[4:8] != _IDENTIFIER:
        raise ConfigurationError(f"{path} is not a TFLite model (wrong file signature)")
    return content


def _edgetpu_delegate(package: Any, path: Path, library: str) -> Any:
    try:
        # Load the library first: a delegate without its library prints another error to stderr when it is deleted.
        ctypes.CDLL(library)
        return package.load_delegate(library)
    except (ValueError, OSError) as error:
        raise EdgeTpuError(
            f"{path.name} needs an Edge TPU, but {library} could not be loaded: install libedgetpu1-std and plug the "
            "device in, or choose a model without '_edgetpu' in its name"
        ) from error


def _load_error(path: Path, error: Exception, *, edgetpu: bool) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    if "edgetpu-custom-op" in reason and not edgetpu:
        return f"{path.name} is compiled for an Edge TPU: set edgetpu = true, or choose the same model without it"
    return f"{path} cannot be loaded as a TFLite model: {reason}"


def _spec(detail: dict[str, Any]) -> TensorSpec:
    parameters = detail.get("quantization_parameters", {})
    scales, zero_points = parameters.get("scales", ()), parameters.get("zero_points", ())
    if len(scales) > 1:
        raise ConfigurationError(f"tensor '{detail['name']}' is quantised per channel, which is not supported")
    return TensorSpec(
        name=str(detail["name"]),
        shape=tuple(int(size) for size in detail["shape"]),
        dtype=np.dtype(detail["dtype"]),
        scale=float(scales[0]) if len(scales) else 0.0,
        zero_point=int(zero_points[0]) if len(zero_points) else 0,
    )


def _find_postprocess(interpreter: Any, output_indices: list[int]) -> PostProcess | None:
    """Find the post-processing operator, whose outputs are boxes, classes, scores and count, in this order.

    The order of the model's outputs varies. The list of operators is not part of the public interface; without it, the
    decoder identifies the outputs by names and values.
    """
    list_operators = getattr(interpreter, "_get_ops_details", None)
    if list_operators is None or len(output_indices) != 4:
        return None
    for operator in list_operators():
        results = [int(index) for index in operator["outputs"]]
        if operator["op_name"] == _POSTPROCESS and sorted(results) == sorted(output_indices):
            boxes, classes, scores, count = (output_indices.index(index) for index in results)
            columns = _columns(interpreter, int(operator["inputs"][1]))
            return PostProcess(boxes=boxes, classes=classes, scores=scores, count=count, class_columns=columns)
    return None


def _columns(interpreter: Any, tensor_index: int) -> int | None:
    for detail in interpreter.get_tensor_details():
        if int(detail["index"]) == tensor_index and len(detail["shape"]):
            return int(detail["shape"][-1])
    return None
