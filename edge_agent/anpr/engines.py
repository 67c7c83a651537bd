"""The table of plate readers, and how each one is opened. All of them use the shipped plate detector.

To add a reader: a module with an opener, a row in ``READERS``, its name in ``settings.EngineName``, an extra in
``pyproject.toml``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_agent.anpr.detection.plate_detector import CLOSE_MODEL, WHOLE_MODEL, PlateSearch, open_plate_detector
from edge_agent.anpr.recognition.line_reader import MODEL_NAME as LINE_READER
from edge_agent.anpr.recognition.reader import MODEL_NAME as READER
from edge_agent.anpr.recognition.reader_model import shipped
from edge_agent.anpr.types import PlateDetector, PlateReader
from edge_agent.detect.runtimes.table import is_runtime_installed
from shared.errors import ConfigurationError

DEFAULT_ENGINE = "vedette"

READERS: dict[str, str] = {
    "vedette": "edge_agent.anpr.recognition.reader:open_reader",
    "rapidocr": "edge_agent.anpr.recognition.rapidocr_reader:open_reader",
    "fast-plate-ocr": "edge_agent.anpr.recognition.fast_plate_ocr_reader:open_reader",
}
"""Name to opener. An opener takes ``threads`` and raises ConfigurationError if its package is not installed."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A plate detector and a plate reader."""

    detector: PlateDetector
    reader: PlateReader


def models_available() -> bool:
    """Return whether the plate models are shipped with this build and an inference runtime is installed."""
    files = (WHOLE_MODEL, CLOSE_MODEL, shipped(READER), shipped(LINE_READER))
    return all(file.is_file() for file in files) and is_runtime_installed()


def open_plate_reader(
    name: str = DEFAULT_ENGINE, *, threads: int = 1, readers: Mapping[str, str] = READERS
) -> PlateReader:
    """Open the reader called ``name``; raise ConfigurationError if it is unknown or not installed."""
    target = readers.get(name)
    if target is None:
        raise ConfigurationError(f"unknown plate reader '{name}'; available readers are {', '.join(readers)}")
    module, _, function = target.partition(":")
    opener: Callable[..., PlateReader] = getattr(importlib.import_module(module), function)
    return opener(threads=threads)


def open_engine(name: str = DEFAULT_ENGINE, *, threads: int = 1, streaming: bool = False) -> Engine:
    """Open detector and reader. ``streaming``: search each frame once, without the second pass for photographs."""
    search = PlateSearch(search_again=False) if streaming else None
    if not WHOLE_MODEL.is_file():
        raise ConfigurationError(
            f"this build of Vedette has no plate detector ({WHOLE_MODEL.name}); install a release that includes it"
        )
    detector = open_plate_detector(search=search, threads=threads)
    return Engine(detector=detector, reader=open_plate_reader(name, threads=threads))
