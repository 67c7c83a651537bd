"""``edge-agent read-plates``: finds and reads number plates in still pictures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_agent.anpr.aggregation.formats import PlateRules
from edge_agent.anpr.aggregation.plate_evidence import evidence
from edge_agent.anpr.detection.plate_score import MIN_PLATE_SCORE, plate_score
from edge_agent.anpr.engines import open_engine, open_plate_reader
from edge_agent.anpr.recognition.rectify import rectify_plate
from edge_agent.anpr.types import PlateBox, PlateDetector, PlateReader, PlateReading
from edge_agent.boxes import Box, box_area
from edge_agent.types import Image
from shared.errors import ConfigurationError
from shared.plates import normalize_plate

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Suffixes of pictures in a folder. A file given by name is opened regardless of its suffix."""
IMPLAUSIBLE_WEIGHT = 0.25
"""Weight, for the order of plates, of a text that matches no plate format. A matching text has weight 1."""
SIZE_POWER = 0.5
"""Exponent of the plate's size in the order of plates: a plate twice as wide and high ranks 1.4 times higher. The
vehicle in front is more likely the subject of the picture than one parked behind it."""


@dataclass(frozen=True, slots=True)
class ReadPlate:
    """One plate in a picture."""

    text: str
    """Empty for a plate that was found and could not be read."""
    confidence: float
    """Probability, 0..1, that this is a plate and all characters are correct."""
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
    """A picture and its plates, best first."""

    file: str
    plates: tuple[ReadPlate, ...]
    latency_ms: float
    """Time for detection and recognition, without loading the file."""

    def as_json(self) -> dict[str, object]:
        return {
            "file": self.file,
            "plates": [plate.as_json() for plate in self.plates],
            "latency_ms": round(self.latency_ms, 3),
        }


class PictureReader:
    """Finds and reads plates in pictures. Without a detector, each picture is treated as one plate.

    ``min_plate_score``, 0..1: plates with a lower score are omitted; 0 returns all detections.
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
        """Load the models. Raises ConfigurationError where they are not available."""
        if crops:
            return cls(detector=None, reader=open_plate_reader(engine, threads=threads))
        opened = open_engine(engine, threads=threads)
        return cls(detector=opened.detector, reader=opened.reader, min_plate_score=min_plate_score)

    def read_file(self, file: str) -> ReadPicture:
        """Read the plates in a picture file. Raises ConfigurationError for a file that is not a picture."""
        image = load_picture(Path(file))
        started_s = self._timer()
        plates = self.read(image)
        return ReadPicture(file=file, plates=plates, latency_ms=(self._timer() - started_s) * 1000)

    def read(self, image: Image) -> tuple[ReadPlate, ...]:
        """Return the plates in a BGR picture, best first."""
        if self._detector is None:
            height, width = image.shape[:2]
            whole = (0.0, 0.0, float(width), float(height))
            return (self._plate(self._reader.read(image), whole, found=1.0),)
        plates = [self._read(image, box) for box in self._detector.find(image)]
        accepted = [plate for plate in plates if plate is not None]
        return tuple(sorted(accepted, key=self._rank, reverse=True))

    def _read(self, image: Image, box: PlateBox) -> ReadPlate | None:
        """Read a detected plate; return None where its score is too low."""
        reading = self._reader.read(rectify_plate(image, box))
        if self._min_plate_score > 0.0:
            plate_evidence = evidence(image, box, reading, self._rules)
            if plate_score(box.score, reading, evidence=plate_evidence) < self._min_plate_score:
                return None
        return self._plate(reading, _inside(box, image), box.score)

    def _plate(self, reading: PlateReading, xyxy: Box, found: float) -> ReadPlate:
        text = normalize_plate(reading.text)
        region = self._rules.region(text, appearance=reading.region) if text else None
        return ReadPlate(text=text, confidence=reading.confidence * min(found, 1.0) ** 0.5, region=region, xyxy=xyxy)

    def _rank(self, plate: ReadPlate) -> float:
        """Return the rank of a plate: high for a confident, plausible and large one."""
        plausible = self._rules.plausible(plate.text, appearance=plate.region)
        size_px = math.sqrt(box_area(plate.xyxy))
        return plate.confidence * (1.0 if plausible else IMPLAUSIBLE_WEIGHT) * size_px**SIZE_POWER


def picture_files(names: Sequence[str]) -> list[str]:
    """Return the files, with the pictures of each folder. Raises ConfigurationError for a folder without pictures."""
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
    """Return a picture file as BGR, rotated by its EXIF data. Raises ConfigurationError for an unreadable file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
    image = None
    if data:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error as error:
            raise ConfigurationError(f"{path}: cannot be decoded as a picture ({error.err})") from error
    if image is None:
        raise ConfigurationError(f"{path}: cannot be decoded as a picture" if data else f"{path}: is empty")
    return np.asarray(image, np.uint8)


def _inside(plate: PlateBox, image: Image) -> Box:
    """Return the plate's box, clipped to the picture."""
    height, width = image.shape[:2]
    return max(plate.left, 0.0), max(plate.top, 0.0), min(plate.right, float(width)), min(plate.bottom, float(height))
