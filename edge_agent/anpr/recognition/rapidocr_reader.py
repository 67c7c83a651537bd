"""RapidOCR's text recogniser as a plate reader (extra ``rapidocr``; its wheel includes the PP-OCR models)."""

from __future__ import annotations

import importlib
import logging
from typing import Any

import cv2
import numpy as np

from edge_agent.anpr.recognition.quality import TWO_LINES_BELOW
from edge_agent.anpr.types import PlateReading
from edge_agent.types import Image
from shared.errors import ConfigurationError
from shared.plates import normalize_plate


def open_reader(*, threads: int = 1) -> RapidOcrReader:
    """Load RapidOCR; raise ConfigurationError if it is not installed."""
    try:
        rapidocr = importlib.import_module("rapidocr")
    except ImportError as error:
        raise ConfigurationError(
            f"the plate reader 'rapidocr' is not installed: pip install 'vedette[rapidocr]' ({error})"
        ) from error
    options = {
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        "EngineConfig.onnxruntime.inter_op_num_threads": threads,
        "Global.log_level": "warning",
    }
    engine = rapidocr.RapidOCR(params=options)
    logging.getLogger("RapidOCR").setLevel(logging.WARNING)
    return RapidOcrReader(engine)


class RapidOcrReader:
    """Reads one line at a time; plates with two lines are split in the middle."""

    def __init__(self, engine: Any) -> None:
        """``engine``: has the interface of ``rapidocr.RapidOCR``."""
        self._engine = engine

    def read(self, crop: Image) -> PlateReading:
        height, width = crop.shape[:2]
        if width >= TWO_LINES_BELOW * height:
            lines = [crop]
        else:
            middle, overlap = height // 2, max(1, height // 20)
            lines = [crop[: middle + overlap], crop[middle - overlap :]]
        return _joined([self._line(line) for line in lines])

    def _line(self, line: Image) -> tuple[str, float]:
        scale = 48 / line.shape[0]
        tall = cv2.resize(line, (max(8, round(line.shape[1] * scale)), 48), interpolation=cv2.INTER_CUBIC)
        result = self._engine(np.asarray(tall, np.uint8), use_det=False, use_cls=False, use_rec=True)
        texts, scores = getattr(result, "txts", None) or (), getattr(result, "scores", None) or ()
        return (normalize_plate(str(texts[0])), float(scores[0])) if texts and scores else ("", 0.0)


def _joined(lines: list[tuple[str, float]]) -> PlateReading:
    """Concatenate the lines. RapidOCR's score is the mean over the characters, so each character gets it."""
    text = "".join(line for line, _ in lines)
    certainties = tuple(score for line, score in lines for _ in line)
    confidence = float(np.prod(certainties)) if certainties else 0.0
    return PlateReading(text, confidence, certainties)
