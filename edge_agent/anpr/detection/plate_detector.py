"""Detects number plates with a small network in two stages.

The whole image is searched first. Each candidate is then confirmed or rejected on an enlarged crop, which also refines
its corners. If no confident plate remains, the image is searched again in enlarged parts (distant plates) and reduced
(plates that nearly fill the image).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.anpr.detection.plate_decoding import STRIDES, Floats, PlateDetections, cell_grid, decode, merge
from edge_agent.anpr.types import PlateBox
from edge_agent.detect.runtimes.base import InferenceModel, Tensor, TensorSpec
from edge_agent.detect.runtimes.table import open_model
from edge_agent.types import Image, Luma
from shared.errors import ConfigurationError

MODELS = Path(__file__).parents[1] / "models"
WHOLE_MODEL, CLOSE_MODEL = MODELS / "plate_detector.tflite", MODELS / "plate_detector_close.tflite"

_LETTERBOX_GREY = 114
_CLOSE_WIDTH_SHARE = 0.42
"""Width of the plate on an enlarged crop, as a fraction of the crop's width. Matches the training data."""
_DUPLICATE_OVERLAP = 0.3
_WORTH_ENLARGING = 1.2
"""Minimum ratio of the image to the network's input for a search of its quarters."""
_QUARTER_SHARE = 0.58


@dataclass(frozen=True, slots=True)
class PlateSearch:
    """Thresholds and limits of the search."""

    threshold: float = 0.5
    """Minimum score, 0..1. Raising it drops signs and stickers, and distant and faint plates."""
    candidate_threshold: float = 0.35
    """Minimum score of a candidate in the first stage, 0..1. Raising it confirms fewer candidates and is faster."""
    sure: float = 0.7
    """Score from which a plate is confident, 0..1: the reduced image and the parts are then not searched."""
    max_candidates: int = 6
    """Maximum number of candidates confirmed per image, highest score first; 0 disables the second stage."""
    search_again: bool = True
    """Whether to search again if no confident plate was detected."""
    max_enlargement: float = 3.0
    """Maximum enlargement factor of a crop in the second stage."""


class NetworkPlateDetector:
    """A ``PlateDetector`` with one or two exports of the plate network (``training/detector``). Not thread-safe."""

    def __init__(
        self, whole: InferenceModel, *, close: InferenceModel | None = None, search: PlateSearch | None = None
    ) -> None:
        self._whole = _TileDetector(whole)
        self._close = _TileDetector(close) if close is not None else None
        self._search = search or PlateSearch()
        # The score is the geometric mean of both stages, so a candidate below the threshold's square cannot reach it.
        self._min_score = max(self._search.candidate_threshold, self._search.threshold**2)

    def find(self, image: Image) -> list[PlateBox]:
        """Return the plates in an image (BGR), highest score first, with their corners."""
        plates = self._confirm(image, _merge_parts(self._search_whole(image)))
        if self._search.search_again and not self._is_sure(plates) and (parts := self._search_parts(image)):
            plates = _merge_parts([plates, self._confirm(image, _merge_parts(parts))])
        return [_to_plate_box(score, corners) for score, corners in zip(plates.score, plates.corners, strict=True)]

    def close(self) -> None:
        """Release the models."""
        self._whole.network.close()
        if self._close is not None:
            self._close.network.close()

    def _search_whole(self, image: Image) -> list[PlateDetections]:
        """Search the whole image, and a reduced version for plates that nearly fill it."""
        parts = [self._whole.detect(image, _whole_region(image), self._min_score)]
        if self._close is not None and not self._is_sure(parts[0]):
            parts.append(self._close.detect(image, _whole_region(image), self._min_score))
        return parts

    def _is_sure(self, plates: PlateDetections) -> bool:
        return bool((plates.score >= self._search.sure).any())

    def _search_parts(self, image: Image) -> list[PlateDetections]:
        """Search overlapping quarters if they add resolution, and the reduced image if there is no second model."""
        threshold = self._min_score
        height, width = image.shape[:2]
        regions: list[tuple[float, float, float, float]] = []
        if self._close is None:
            regions.append((-width / 2, -height / 2, width * 1.5, height * 1.5))
        if max(width / self._whole.width, height / self._whole.height) > _WORTH_ENLARGING:
            regions += _quarter_regions(width, height)
        return [self._whole.detect(image, region, threshold) for region in regions]

    def _confirm(self, image: Image, candidates: PlateDetections) -> PlateDetections:
        """Return the candidates that the second stage confirms, with refined scores and corners."""
        search, tiles = self._search, self._close
        if tiles is None or not search.max_candidates:
            return candidates.select(candidates.score >= search.threshold)
        scores: list[float] = []
        corners: list[Floats] = []
        for score, quad in list(zip(candidates.score, candidates.corners, strict=True))[: search.max_candidates]:
            near = tiles.detect(image, _region_around(quad, tiles, max_enlargement=search.max_enlargement), 0.1)
            row = _matching_row(near, quad)
            if row is None:
                continue
            mean_score = float(np.sqrt(score * near.score[row]))
            if mean_score >= search.threshold:
                scores.append(mean_score)
                corners.append(near.corners[row])
        if not scores:
            return candidates.select(np.empty(0, np.intp))
        return _merge_parts([PlateDetections(np.array(scores, np.float32), np.stack(corners))])


class _TileDetector:
    """Runs one network on a region of an image."""

    def __init__(self, network: InferenceModel) -> None:
        shape = network.input.shape
        if len(shape) != 4 or shape[3] != 1 or shape[1] % STRIDES[-1] or shape[2] % STRIDES[-1]:
            raise ConfigurationError(
                f"a plate detector's input is (1, height, width, 1), sides multiples of {STRIDES[-1]}; "
                f"this model's is {shape}"
            )
        self.network = network
        self.height, self.width = int(shape[1]), int(shape[2])
        self._grid = cell_grid(self.height, self.width)
        self._order = sorted(range(len(network.outputs)), key=lambda index: -network.outputs[index].shape[1])
        cells = [network.outputs[index].shape[1:] for index in self._order]
        expected = [(self.height // stride, self.width // stride, 9) for stride in STRIDES]
        if cells != expected:
            raise ConfigurationError(
                f"a plate detector's outputs are {expected} at this input size; this model's are {cells}"
            )

    def detect(self, image: Image, region: tuple[float, float, float, float], threshold: float) -> PlateDetections:
        """Return the plates in a region (xyxy, may exceed the image) in image pixels, highest score first."""
        luma, scale, origin = letterboxed_crop(image, region, width=self.width, height=self.height)
        outputs = self.network.run(_quantise(luma, self.network.input)[None, :, :, None])
        cells = np.concatenate(
            [self.network.outputs[index].dequantise(outputs[index]).reshape(-1, 9) for index in self._order]
        )
        plates = decode(cells, self._grid, threshold=threshold, overlap=_DUPLICATE_OVERLAP)
        return PlateDetections(plates.score, np.asarray(plates.corners / scale + origin, np.float32))


def letterboxed_crop(
    image: Image, region: tuple[float, float, float, float], *, width: int, height: int
) -> tuple[Luma, NDArray[np.float64], NDArray[np.float64]]:
    """Return a letterboxed luma crop of a region, its scale ``(x, y)`` and its origin ``(x, y)``.

    The aspect ratio is kept, and areas outside the image are grey. A point of the image is at
    ``(point - origin) * scale`` in the crop.
    """
    rows, columns = image.shape[:2]
    scale = min(width / (region[2] - region[0]), height / (region[3] - region[1]))
    x0, y0 = max(0, int(region[0])), max(0, int(region[1]))
    x1, y1 = min(columns, int(np.ceil(region[2]))), min(rows, int(np.ceil(region[3])))
    size = min(width, max(1, round((x1 - x0) * scale))), min(height, max(1, round((y1 - y0) * scale)))
    grey = np.asarray(cv2.cvtColor(image[y0:y1, x0:x1], cv2.COLOR_BGR2GRAY), np.uint8)
    luma = np.full((height, width), _LETTERBOX_GREY, np.uint8)
    left = _offset_px((region[0], region[2]), x0, size[0], room_px=width, scale=scale)
    top = _offset_px((region[1], region[3]), y0, size[1], room_px=height, scale=scale)
    luma[top : top + size[1], left : left + size[0]] = _resize(grey, size)
    true_scale = np.array((size[0] / (x1 - x0), size[1] / (y1 - y0)))
    return luma, true_scale, np.array((x0, y0)) - np.array((left, top)) / true_scale


def _resize(grey: Luma, size: tuple[int, int]) -> Luma:
    """Return resized luma, averaged when reduced. Repeated halving first takes OpenCV about half the time."""
    while grey.shape[1] >= 2 * size[0] and grey.shape[0] >= 2 * size[1]:
        half = grey.shape[1] // 2, grey.shape[0] // 2
        grey = np.asarray(cv2.resize(grey, half, interpolation=cv2.INTER_AREA), np.uint8)
    shrinks = grey.shape[1] > size[0]
    resized = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def _offset_px(span: tuple[float, float], shown_from: int, shown_px: int, *, room_px: int, scale: float) -> int:
    """Return the offset of the visible part in a crop in which the region is centred."""
    begin = (room_px - (span[1] - span[0]) * scale) / 2 + (shown_from - span[0]) * scale
    return int(np.clip(round(begin), 0, room_px - shown_px))


def open_plate_detector(
    *, search: PlateSearch | None = None, threads: int = 1, whole: Path = WHOLE_MODEL, close: Path = CLOSE_MODEL
) -> NetworkPlateDetector:
    """Open the shipped detector; raise ConfigurationError if no inference runtime is installed."""
    return NetworkPlateDetector(
        open_model(whole, threads=threads, edgetpu=False),
        close=open_model(close, threads=threads, edgetpu=False),
        search=search,
    )


def _quantise(luma: Luma, spec: TensorSpec) -> Tensor:
    """Return luma as the network stores it. The shipped models' quantisation is a change of sign bit."""
    if spec.dtype == np.int8 and spec.scale == 1.0 and spec.zero_point == -128:
        return (luma ^ np.uint8(128)).view(np.int8)
    return spec.quantise(luma)


def _whole_region(image: Image) -> tuple[float, float, float, float]:
    return 0.0, 0.0, float(image.shape[1]), float(image.shape[0])


def _merge_parts(parts: list[PlateDetections]) -> PlateDetections:
    """Return the plates of several searches without duplicates, highest score first."""
    score, corners = np.concatenate([part.score for part in parts]), np.concatenate([part.corners for part in parts])
    plates = PlateDetections(score, corners).select(np.argsort(-score, kind="stable"))
    return plates.select(merge(plates, overlap=_DUPLICATE_OVERLAP))


def _quarter_regions(width: int, height: int) -> list[tuple[float, float, float, float]]:
    """Return four overlapping regions that cover the image."""
    wide, tall = width * _QUARTER_SHARE, height * _QUARTER_SHARE
    return [(x, y, x + wide, y + tall) for x in (0.0, width - wide) for y in (0.0, height - tall)]


def _region_around(
    corners: Floats, tiles: _TileDetector, *, max_enlargement: float
) -> tuple[float, float, float, float]:
    """Return the region around a candidate in which the plate has the size the second stage was trained on."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    extent = max(float(high[0] - low[0]), 2.0 * float(high[1] - low[1]))
    scale = min(_CLOSE_WIDTH_SHARE * tiles.width / max(extent, 1.0), max_enlargement)
    centre, reach = (low + high) / 2, (tiles.width / scale / 2, tiles.height / scale / 2)
    x, y = float(centre[0]), float(centre[1])
    return x - reach[0], y - reach[1], x + reach[0], y + reach[1]


def _matching_row(near: PlateDetections, candidate: Floats) -> int | None:
    """Return the row of the best plate that overlaps the candidate's corners; None if there is none."""
    low, high = candidate.min(axis=0), candidate.max(axis=0)
    boxes = near.boxes()
    rows = np.flatnonzero(np.all((boxes[:, :2] < high) & (boxes[:, 2:] > low), axis=1))
    return int(rows[0]) if len(rows) else None


def _to_plate_box(score: float, corners: Floats) -> PlateBox:
    left, top, right, bottom = (float(v) for v in (*corners.min(axis=0), *corners.max(axis=0)))
    return PlateBox(left=left, top=top, right=right, bottom=bottom, score=float(score), corners=corners)
