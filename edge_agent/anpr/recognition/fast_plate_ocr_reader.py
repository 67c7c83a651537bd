"""fast-plate-ocr as a plate reader (extra ``fast-plate-ocr``; downloads its model on first use)."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from edge_agent.anpr.types import PlateReading
from edge_agent.types import Image
from shared.errors import ConfigurationError
from shared.plates import normalize_plate

MODEL = "cct-xs-v1-global-model"


def open_reader(*, threads: int = 1) -> FastPlateOcrReader:
    """Load fast-plate-ocr; raise ConfigurationError if it is not installed or its model is not available."""
    try:
        package = importlib.import_module("fast_plate_ocr")
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise ConfigurationError(
            f"the plate reader 'fast-plate-ocr' is not installed: pip install 'vedette[fast-plate-ocr]' ({error})"
        ) from error
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    try:
        recognizer = package.LicensePlateRecognizer(MODEL, device="cpu", sess_options=options)
    except Exception as error:
        raise ConfigurationError(f"fast-plate-ocr cannot load {MODEL}: {error}") from error
    return FastPlateOcrReader(recognizer)


class FastPlateOcrReader:
    """Reads plates with one or two lines."""

    def __init__(self, recognizer: Any) -> None:
        """``recognizer``: has the interface of ``fast_plate_ocr.LicensePlateRecognizer``."""
        self._recognizer = recognizer

    def read(self, crop: Image) -> PlateReading:
        result = self._recognizer.run(np.ascontiguousarray(crop[:, :, ::-1]), return_confidence=True)
        if isinstance(result, tuple):
            text, certainties = str(result[0][0]), np.asarray(result[1])[0]
        else:
            text, certainties = str(result[0].plate), np.asarray(result[0].char_probs)
        read = [(normalize_plate(char), float(value)) for char, value in zip(text, certainties, strict=False)]
        sure = tuple(value for normal, value in read for _ in normal)  # a normal form may have two characters (Æ)
        return PlateReading("".join(normal for normal, _ in read), float(np.prod(sure)) if sure else 0.0, sure)
