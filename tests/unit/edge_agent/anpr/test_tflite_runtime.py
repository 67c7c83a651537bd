"""Plate recognition on a machine that has tflite-runtime and no ai-edge-litert."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRtInterpreter

from edge_agent.anpr.engines import models_available, open_engine
from edge_agent.anpr.recognition.rectify import rectify_plate
from edge_agent.anpr.types import PlateReading
from edge_agent.camera.synthetic.gate import SyntheticGate
from edge_agent.types import Image
from shared.errors import ConfigurationError

BLOCKED = ("ai_edge_litert", "ai_edge_litert.interpreter")


class Interpreter:
    """The public interface of ``tflite_runtime.interpreter.Interpreter`` 2.14, over LiteRT's interpreter."""

    opened = 0

    def __init__(
        self,
        model_path: str | None = None,
        model_content: bytes | None = None,
        experimental_delegates: list[Any] | None = None,
        num_threads: int | None = None,
    ) -> None:
        type(self).opened += 1
        self._interpreter = LiteRtInterpreter(
            model_path=model_path,
            model_content=model_content,
            experimental_delegates=experimental_delegates,
            num_threads=num_threads,
        )
        for name in (
            "allocate_tensors", "get_input_details", "get_output_details", "get_tensor_details", "set_tensor",
            "get_tensor", "invoke",
        ):  # fmt: skip
            setattr(self, name, getattr(self._interpreter, name))


@pytest.fixture
def without_litert(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Block the import of ai-edge-litert."""
    for name in BLOCKED:
        monkeypatch.setitem(sys.modules, name, None)
    return monkeypatch


@pytest.fixture
def tflite_runtime(without_litert: pytest.MonkeyPatch) -> type[Interpreter]:
    """Install a fake tflite-runtime whose interpreter counts the models that it opens."""

    class Counting(Interpreter):
        opened = 0

    package, module = ModuleType("tflite_runtime"), ModuleType("tflite_runtime.interpreter")
    package.__spec__ = ModuleSpec("tflite_runtime", None)
    vars(module)["Interpreter"] = Counting
    without_litert.setitem(sys.modules, "tflite_runtime", package)
    without_litert.setitem(sys.modules, "tflite_runtime.interpreter", module)
    return Counting


def gate_image() -> Image:
    """Return a frame of the synthetic gate with the largest plate of its first vehicles."""
    gate = SyntheticGate(seed=1, fps=5.0, vehicles=2)
    sizes = {
        index: float(each.plate_quad[:, 0].max() - each.plate_quad[:, 0].min())
        for index in range(gate.frame_count)
        for each in gate.truth(index)
        if each.plate_quad is not None and 40 < each.plate_quad[:, 0].min() < gate.width - 300
    }
    return gate.render(max(sizes, key=lambda index: sizes[index]))


def read_best_plate(image: Image) -> PlateReading:
    """Detect and read the best plate of an image with the shipped models."""
    engine = open_engine()
    plates = engine.detector.find(image)
    assert plates
    return engine.reader.read(rectify_plate(image, plates[0]))


def test_plates_are_read_with_tflite_runtime_alone(request: pytest.FixtureRequest) -> None:
    """Detector and readers are opened through the runtime table, and read the same text as with ai-edge-litert."""
    image = gate_image()
    expected = read_best_plate(image)
    runtime = request.getfixturevalue("tflite_runtime")
    assert len(expected.text) >= 4
    assert models_available()
    assert read_best_plate(image) == expected
    assert runtime.opened == 4, "two detector models, the plate reader and the line reader"


@pytest.mark.usefixtures("without_litert")
def test_without_any_runtime_the_error_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plate reader reports which packages to install."""
    for name in ("tflite_runtime", "tflite_runtime.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    assert not models_available()
    with pytest.raises(ConfigurationError, match="pip install ai-edge-litert"):
        open_engine()
