"""Inference runtimes: selection, the contract of each runtime, and errors."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_agent.detect.runtimes.base import InferenceModel, PostProcess
from edge_agent.detect.runtimes.table import (
    RUNTIMES,
    EdgeTpuError,
    Runtime,
    RuntimeMissingError,
    is_runtime_installed,
    load_opener,
    open_model,
)
from edge_agent.detect.runtimes.tflite import open_with
from shared.errors import ConfigurationError
from tests.support.edge.tflite_models import ModelBuilder, write_echo, write_ssd, write_yolo

ANY_LIBRARY = "libm.so.6"
HERE = "tests.unit.edge_agent.detect.runtimes.test_table"
GHOST = Runtime("ghost_runtime", f"{HERE}:missing")


def missing(path: Path, *, threads: int, edgetpu: bool) -> InferenceModel:
    """Opens nothing: its package is not installed."""
    raise RuntimeMissingError("the runtime ghost is not installed: pip install ghost")


def refusing(path: Path, *, threads: int, edgetpu: bool) -> InferenceModel:
    """Opens nothing: the file is wrong."""
    raise ConfigurationError("the file is wrong")


def without_tpu(path: Path, *, threads: int, edgetpu: bool) -> InferenceModel:
    """Opens nothing: the TPU's library does not fit this runtime."""
    raise EdgeTpuError("no Edge TPU here")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_echo(
        tmp_path / "echo.tflite",
        input_size=(8, 8),
        dtype=np.int8,
        quantisation=(1 / 255, -128),
        output_shape=(1, 8, 24),
    )


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_installed_runtime_fulfils_the_contract(name: str, model: Path) -> None:
    """Tensors are described, values are passed through, and results remain valid after the next run."""
    try:
        network = open_model(model, threads=1, edgetpu=False, runtime=name)
    except RuntimeMissingError as error:
        assert "pip install" in str(error)  # noqa: PT017 - the one other outcome that is right
        return
    assert (network.input.shape, network.input.dtype) == ((1, 8, 8, 3), np.int8)
    assert network.input.scale == pytest.approx(1 / 255)
    assert network.input.zero_point == -128
    assert [output.shape for output in network.outputs] == [(1, 8, 24)]
    assert network.postprocess is None
    first = np.arange(192, dtype=np.int8).reshape(1, 8, 8, 3)
    (kept,) = network.run(first)
    network.run(np.zeros_like(first))
    assert kept.ravel().tolist() == first.ravel().tolist()
    network.close()


def test_next_runtime_is_tried_if_one_is_missing(model: Path) -> None:
    """The first installed runtime opens the model."""
    table = {"ghost": GHOST, "litert": RUNTIMES["litert"]}
    assert open_model(model, threads=1, edgetpu=False, runtimes=table).outputs


def test_missing_runtimes_raise_one_line(model: Path) -> None:
    """The error names the model and what to install."""
    with pytest.raises(ConfigurationError, match=r"echo\.tflite cannot run: pip install ai-edge-litert"):
        open_model(model, threads=1, edgetpu=False, runtimes={"ghost": GHOST})


def test_named_runtime_is_not_replaced(model: Path) -> None:
    """A named runtime that is missing is an error; no other runtime is used instead."""
    table = {"ghost": GHOST, "litert": RUNTIMES["litert"]}
    with pytest.raises(RuntimeMissingError, match="ghost is not installed"):
        open_model(model, threads=1, edgetpu=False, runtime="ghost", runtimes=table)


def test_next_runtime_is_tried_if_the_edge_tpu_fails(model: Path) -> None:
    """The TPU's library may fit another runtime; if none is left, its failure is reported."""
    table = {"first": Runtime("first", f"{HERE}:without_tpu"), "litert": RUNTIMES["litert"]}
    assert open_model(model, threads=1, edgetpu=False, runtimes=table).outputs
    with pytest.raises(EdgeTpuError, match="no Edge TPU here"):
        open_model(
            model,
            threads=1,
            edgetpu=True,
            runtimes={"ghost": GHOST, "first": Runtime("first", f"{HERE}:without_tpu")},
        )


def test_invalid_file_is_not_tried_with_the_next_runtime(model: Path) -> None:
    """Only a missing package leads to the next runtime."""
    table = {"strict": Runtime("strict", f"{HERE}:refusing"), "litert": RUNTIMES["litert"]}
    with pytest.raises(ConfigurationError, match="the file is wrong"):
        open_model(model, threads=1, edgetpu=False, runtimes=table)


def test_unknown_runtime_is_rejected_with_the_available_ones(model: Path) -> None:
    """The error lists the available runtimes."""
    with pytest.raises(ConfigurationError, match="unknown runtime 'onnx'; available runtimes are litert, tflite"):
        open_model(model, threads=1, edgetpu=False, runtime="onnx")


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=list(RUNTIMES))
def test_every_opener_can_be_imported(runtime: Runtime) -> None:
    """The import does not need the package of the runtime."""
    assert callable(load_opener(runtime.opener))


def test_one_installed_package_is_enough() -> None:
    """The packages of the table are looked up, and the preferred one is installed here."""
    assert is_runtime_installed()
    assert is_runtime_installed({"ghost": GHOST, "litert": RUNTIMES["litert"]})
    assert not is_runtime_installed({"ghost": GHOST})
    assert not is_runtime_installed({})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a TFLite model"),
        (b"<html>Please log in</html>", "is not a TFLite model"),
        (b"\x1c\x00\x00\x00TFL3" + b"\xff" * 400, "cannot be loaded as a TFLite model"),
    ],
)
def test_file_that_is_not_a_model_is_rejected(tmp_path: Path, content: bytes, message: str) -> None:
    """An empty file, a login page and a damaged model give one line with the name of the file."""
    path = tmp_path / "page.tflite"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"page\.tflite {message}"):
        open_model(path, threads=1, edgetpu=False)


def test_truncated_model_is_rejected(tmp_path: Path) -> None:
    """An incomplete file raises a ConfigurationError."""
    whole = write_yolo(tmp_path / "yolo.tflite", np.zeros((1, 7, 84), np.float32)).read_bytes()
    half = tmp_path / "half.tflite"
    half.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigurationError, match=r"half\.tflite cannot be loaded"):
        open_model(half, threads=1, edgetpu=False)


def test_unreadable_file_is_rejected(tmp_path: Path) -> None:
    """The error for a folder contains the reason of the operating system."""
    with pytest.raises(ConfigurationError, match=r"cannot read the model .*: Is a directory"):
        open_model(tmp_path, threads=1, edgetpu=False)


def test_missing_edge_tpu_library_error_names_the_package(model: Path) -> None:
    """The error names the library, the package and the alternative."""
    with pytest.raises(ConfigurationError, match=r"libedgetpu\.so\.1 could not be loaded: install libedgetpu1-std"):
        open_model(model, threads=1, edgetpu=True)


def test_edge_tpu_model_on_the_cpu_is_rejected(tmp_path: Path) -> None:
    """The error explains that the model is compiled for an Edge TPU."""
    build = ModelBuilder()
    picture = build.tensor("image", (1, 8, 8, 3), np.uint8)
    result = build.tensor("result", (1, 4), np.uint8)
    build.operator([picture], [result], custom="edgetpu-custom-op")
    path = build.write(tmp_path / "compiled.tflite", inputs=[picture], outputs=[result])
    with pytest.raises(ConfigurationError, match=r"compiled\.tflite is compiled for an Edge TPU: set edgetpu"):
        open_model(path, threads=1, edgetpu=False)


def test_missing_edge_tpu_device_is_reported(model: Path) -> None:
    """The library is installed but the device is missing; the error names the remedy."""

    def load_delegate(library: str) -> str:
        raise ValueError(f"Failed to load delegate from {library}")

    package = SimpleNamespace(Interpreter=FakeInterpreter, load_delegate=load_delegate)
    with pytest.raises(ConfigurationError, match="plug the device in"):
        open_with(package, model, threads=1, edgetpu=True, library=ANY_LIBRARY)


class FakeInterpreter:
    """The part of ``Interpreter`` that is used with an Edge TPU; without a list of operators, as in old runtimes."""

    def __init__(self, *, model_content: bytes, num_threads: int, experimental_delegates: list[Any] | None) -> None:
        self.delegates = experimental_delegates
        self.threads = num_threads

    def allocate_tensors(self) -> None:
        assert self.delegates == ["the Edge TPU"]

    def get_input_details(self) -> list[dict[str, Any]]:
        return [{"name": "image", "index": 0, "shape": np.array([1, 8, 8, 3]), "dtype": np.uint8}]

    def get_output_details(self) -> list[dict[str, Any]]:
        return [{"name": f"o{row}", "index": row, "shape": np.array([1, 9]), "dtype": np.float32} for row in range(4)]


def test_edge_tpu_delegate_is_passed_to_the_interpreter(model: Path) -> None:
    """If the library is installed, the interpreter gets its delegate."""
    loaded: list[str] = []

    def load_delegate(library: str) -> str:
        loaded.append(library)
        return "the Edge TPU"

    package = SimpleNamespace(Interpreter=FakeInterpreter, load_delegate=load_delegate)
    network = open_with(package, model, threads=1, edgetpu=True, library=ANY_LIBRARY)
    assert loaded == [ANY_LIBRARY]
    assert network.input.shape == (1, 8, 8, 3)
    assert network.postprocess is None


def test_model_with_two_inputs_is_rejected(tmp_path: Path) -> None:
    """A detector has a single image as input."""
    build = ModelBuilder()
    one, two = build.tensor("a", (1, 8, 8, 3), np.float32), build.tensor("b", (1,), np.float32)
    path = build.write(tmp_path / "two.tflite", inputs=[one, two], outputs=[one])
    with pytest.raises(ConfigurationError, match="has 2 inputs"):
        open_model(path, threads=1, edgetpu=False)


def test_output_quantised_per_channel_is_rejected(tmp_path: Path) -> None:
    """The error names the tensor."""
    build = ModelBuilder()
    picture = build.tensor("image", (1, 8, 8, 3), np.int8, quantisation=([0.1, 0.2, 0.3], [0, 0, 0]))
    build.graph.tensors[picture].quantization.quantizedDimension = 3
    path = build.write(tmp_path / "channels.tflite", inputs=[picture], outputs=[picture])
    with pytest.raises(ConfigurationError, match="'image' is quantised per channel"):
        open_model(path, threads=1, edgetpu=False)


def test_postprocess_operator_is_identified_with_its_class_columns(tmp_path: Path) -> None:
    """Its outputs are identified among those of the model, and the number of score columns is read."""
    path = write_ssd(
        tmp_path / "ssd.tflite", [[0, 0, 1, 1]], [[0.9, 0.1]], order=("count", "scores", "classes", "boxes")
    )
    network = open_model(path, threads=1, edgetpu=False)
    assert network.postprocess == PostProcess(boxes=3, classes=2, scores=1, count=0, class_columns=3)
