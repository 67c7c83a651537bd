"""Plates in still pictures: what ``edge-agent read-plates`` does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_agent.anpr.aggregation.formats import PlateRules
from edge_agent.anpr.detection.plate_evidence import evidence
from edge_agent.anpr.detection.plate_score import MIN_PLATE_SCORE, plate_score
from edge_agent.anpr.engines import open_engine, open_plate_reader
from edge_agent.anpr.recognition.rectify import rectify_plate
from edge_agent.anpr.types import PlateBox, PlateDetector, PlateReader, PlateReading
from edge_agent.boxes import Box, box_area
from edge_agent.types import Image
from shared.errors import ConfigurationError
from shared.plates import normalize_plate

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""What is taken for a picture in a folder; a file that is named is opened whatever its suffix."""
IMPLAUSIBLE_WORTH = 0.25
"""What a text that no plate can have is worth beside one that a plate can, when it is said which comes first."""
SIZE_POWER = 0.5
"""How much its size counts there: of two plates as sure, one twice as wide and high is worth 1.4 times the other. A
picture is taken of the vehicle in front, not of the one that is parked behind it."""


@dataclass(frozen=True, slots=True)
class ReadPlate:
    """One plate in a picture."""

    text: str
    """Empty where it was found and could not be read"""
    confidence: float
    """0..1: that it is a plate and every character is right"""
    region: str | None
    xyxy: Box

    def as_json(self) -> dict[str, object]:
        left, top, right, bottom = self.xyxy
        box = {"x": left, "y": top, "width": right - left, "height": bottom - top}
        return {
            "text": self.text,
            "confidence": round(self.confidence, 4),
            "region": self.region,
            "box": {name: round(value, 1) for name, value in box.items()},
        }


@dataclass(frozen=True, slots=True)
class ReadPicture:
    """A picture and its plates, the best first."""

    file: str
    plates: tuple[ReadPlate, ...]
    latency_ms: float
    """Finding and reading, without loading the file"""

    def as_json(self) -> dict[str, object]:
        return {
            "file": self.file,
            "plates": [plate.as_json() for plate in self.plates],
            "latency_ms": round(self.latency_ms, 3),
        }


class PictureReader:
    """Finds and reads the plates of pictures; without a detector each picture is one plate.

    ``min_plate_score``, 0..1: whatever is less likely to be a plate is left out; 0 tells everything that was found.
    """

    def __init__(
        self,
        *,
        detector: PlateDetector | None,
        reader: PlateReader,
        rules: PlateRules | None = None,
        min_plate_score: float = MIN_PLATE_SCORE,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._detector = detector
        self._reader = reader
        self._rules = rules or PlateRules()
        self._min_plate_score = min_plate_score
        self._timer = timer

    @classmethod
    def open(cls, engine: str, *, threads: int, crops: bool, min_plate_score: float = MIN_PLATE_SCORE) -> PictureReader:
        """Load the models; raise ConfigurationError where they cannot be had."""
        if crops:
            return cls(detector=None, reader=open_plate_reader(engine, threads=threads))
        opened = open_engine(engine, threads=threads)
        return cls(detector=opened.detector, reader=opened.reader, min_plate_score=min_plate_score)

    def read_file(self, file: str) -> ReadPicture:
        """Read one picture file; raise ConfigurationError, naming the file, where it is none."""
        image = load_picture(Path(file))
        started_s = self._timer()
        plates = self.read(image)
        return ReadPicture(file=file, plates=plates, latency_ms=(self._timer() - started_s) * 1000)

    def read(self, image: Image) -> tuple[ReadPlate, ...]:
        """Return the plates of a BGR picture, the best first."""
        if self._detector is None:
            height, width = image.shape[:2]
            whole = (0.0, 0.0, float(width), float(height))
            return (self._plate(self._reader.read(image), whole, found=1.0),)
        plates = [self._read(image, box) for box in self._detector.find(image)]
        believed = [plate for plate in plates if plate is not None]
        return tuple(sorted(believed, key=self._worth, reverse=True))

    def _read(self, image: Image, box: PlateBox) -> ReadPlate | None:
        """Read what was found, and say whether it is a plate after all."""
        reading = self._reader.read(rectify_plate(image, box))
        if self._min_plate_score > 0.0:
            against = evidence(image, box, reading, self._rules)
            if plate_score(box.score, reading, evidence=against) < self._min_plate_score:
                return None
        return self._plate(reading, _inside(box, image), box.score)

    def _plate(self, reading: PlateReading, xyxy: Box, found: float) -> ReadPlate:
        text = normalize_plate(reading.text)
        region = self._rules.region(text, appearance=reading.region) if text else None
        return ReadPlate(text=text, confidence=reading.confidence * min(found, 1.0) ** 0.5, region=region, xyxy=xyxy)

    def _worth(self, plate: ReadPlate) -> float:
        """Say how far in front it comes: sure, of a format that plates have, and large."""
        plausible = self._rules.plausible(plate.text, appearance=plate.region)
        size_px = math.sqrt(box_area(plate.xyxy))
        return plate.confidence * (1.0 if plausible else IMPLAUSIBLE_WORTH) * size_px**SIZE_POWER


def picture_files(names: Sequence[str]) -> list[str]:
    """Return the files meant, a folder standing for the pictures in it; ConfigurationError where it has none."""
    files: list[str] = []
    for name in names:
        folder = Path(name)
        if not folder.is_dir():
            files.append(name)
            continue
        inside = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
        if not inside:
            raise ConfigurationError(f"{name}: no pictures in this folder ({', '.join(sorted(PICTURE_SUFFIXES))})")
        files += [str(path) for path in inside]
    return files


def load_picture(path: Path) -> Image:
    """Return a picture file as BGR, turned as its EXIF data says; raise ConfigurationError naming what is wrong."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
    image = None
    if data:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error as error:
            raise ConfigurationError(f"{path}: is no picture that can be decoded ({error.err})") from error
    if image is None:
        raise ConfigurationError(f"{path}: is no picture that can be decoded" if data else f"{path}: is empty")
    return np.asarray(image, np.uint8)


def _inside(plate: PlateBox, image: Image) -> Box:
    """Return the plate's box, cut to the picture."""
    height, width = image.shape[:2]
    return max(plate.left, 0.0), max(plate.top, 0.0), min(plate.right, float(width)), min(plate.bottom, float(height))
