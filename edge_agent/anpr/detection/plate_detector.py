"""Finds number plates with the project's own small network: once over the whole picture, then closer where it pays.

A closer look at each candidate confirms or rejects it and tells its corners more exactly. Where that leaves nothing
sure, the picture is searched again in enlarged pieces (far plates) and shrunken (plates that nearly fill it).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.anpr.detection.plate_decoding import STRIDES, Floats, FoundPlates, cell_grid, decode, merge
from edge_agent.anpr.types import PlateBox
from edge_agent.detect.runtimes.base import InferenceModel, Tensor, TensorSpec
from edge_agent.detect.runtimes.table import open_model
from edge_agent.types import Image, Luma
from shared.errors import ConfigurationError

MODELS = Path(__file__).parents[1] / "models"
WHOLE_MODEL, CLOSE_MODEL = MODELS / "plate_detector.tflite", MODELS / "plate_detector_close.tflite"

_LETTERBOX_GREY = 114
_CLOSE_WIDTH_SHARE = 0.42
"""Of the closer look's width, how much the plate takes up: about what it was trained on most."""
_DUPLICATE_OVERLAP = 0.3
_WORTH_ENLARGING = 1.2
"""How much larger than the network's input a picture must be for its quarters to show anything new."""
_QUARTER_SHARE = 0.58


@dataclass(frozen=True, slots=True)
class PlateSearch:
    """How hard to look."""

    threshold: float = 0.5
    """0..1: plates below it are dropped. Raising it loses far and faint plates and drops signs and stickers."""
    candidate_threshold: float = 0.35
    """What the first look must say for a closer look to be worth it."""
    sure: float = 0.7
    """Where a plate is this sure, nobody looks any further: after the first look not from afar, in the end not
    again."""
    max_candidates: int = 6
    """Closer looks a picture, the best candidates first; 0 trusts the first look alone."""
    search_again: bool = True
    """Look again, in pieces and at the shrunken whole, where no sure plate was found at first."""
    max_enlargement: float = 3.0
    """A closer look enlarges small plates at most this much."""


class NetworkPlateDetector:
    """A ``PlateDetector`` over one or two exports of the plate network (``training/detector``). Not for two threads."""

    def __init__(
        self, whole: InferenceModel, *, close: InferenceModel | None = None, search: PlateSearch | None = None
    ) -> None:
        self._whole = _TileDetector(whole)
        self._close = _TileDetector(close) if close is not None else None
        self._search = search or PlateSearch()
        # The score is the two looks' geometric mean: a candidate below the threshold's square cannot reach it any more.
        self._least = max(self._search.candidate_threshold, self._search.threshold**2)

    def find(self, image: Image) -> list[PlateBox]:
        """Return the plates of a picture (BGR), best first, with their corners."""
        found = self._confirm(image, _merge_parts(self._search_whole(image)))
        if self._search.search_again and not self._is_sure(found) and (more := self._search_parts(image)):
            found = _merge_parts([found, self._confirm(image, _merge_parts(more))])
        return [_to_plate_box(score, corners) for score, corners in zip(found.score, found.corners, strict=True)]

    def close(self) -> None:
        """Release the networks."""
        self._whole.network.close()
        if self._close is not None:
            self._close.network.close()

    def _search_whole(self, image: Image) -> list[FoundPlates]:
        """Look at the whole picture, and from afar at what may nearly fill it."""
        seen = [self._whole.look(image, _whole_region(image), self._least)]
        if self._close is not None and not self._is_sure(seen[0]):
            seen.append(self._close.look(image, _whole_region(image), self._least))
        return seen

    def _is_sure(self, found: FoundPlates) -> bool:
        return bool((found.score >= self._search.sure).any())

    def _search_parts(self, image: Image) -> list[FoundPlates]:
        """Look at overlapping quarters, where that shows more than the whole did; from afar where nothing else can."""
        threshold = self._least
        height, width = image.shape[:2]
        regions: list[tuple[float, float, float, float]] = []
        if self._close is None:
            regions.append((-width / 2, -height / 2, width * 1.5, height * 1.5))
        if max(width / self._whole.width, height / self._whole.height) > _WORTH_ENLARGING:
            regions += _quarter_regions(width, height)
        return [self._whole.look(image, region, threshold) for region in regions]

    def _confirm(self, image: Image, found: FoundPlates) -> FoundPlates:
        """Return what a closer look leaves of the candidates."""
        search, eye = self._search, self._close
        if eye is None or not search.max_candidates:
            return found.select(found.score >= search.threshold)
        scores: list[float] = []
        corners: list[Floats] = []
        for score, seen in list(zip(found.score, found.corners, strict=True))[: search.max_candidates]:
            near = eye.look(image, _region_around(seen, eye, max_enlargement=search.max_enlargement), 0.1)
            row = _matching_row(near, seen)
            if row is None:
                continue
            both = float(np.sqrt(score * near.score[row]))
            if both >= search.threshold:
                scores.append(both)
                corners.append(near.corners[row])
        if not scores:
            return found.select(np.empty(0, np.intp))
        return _merge_parts([FoundPlates(np.array(scores, np.float32), np.stack(corners))])


class _TileDetector:
    """One network and how it is shown a part of a picture."""

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
        wanted = [(self.height // stride, self.width // stride, 9) for stride in STRIDES]
        if cells != wanted:
            raise ConfigurationError(
                f"a plate detector's outputs are {wanted} at this input size; this model's are {cells}"
            )

    def look(self, image: Image, region: tuple[float, float, float, float], threshold: float) -> FoundPlates:
        """Return the plates in a region (xyxy, may reach beyond the picture), in pixels of the picture, best first."""
        luma, scale, origin = letterboxed_crop(image, region, width=self.width, height=self.height)
        outputs = self.network.run(_quantise(luma, self.network.input)[None, :, :, None])
        cells = np.concatenate(
            [self.network.outputs[index].dequantise(outputs[index]).reshape(-1, 9) for index in self._order]
        )
        found = decode(cells, self._grid, threshold=threshold, overlap=_DUPLICATE_OVERLAP)
        return FoundPlates(found.score, np.asarray(found.corners / scale + origin, np.float32))


def letterboxed_crop(
    image: Image, region: tuple[float, float, float, float], *, width: int, height: int
) -> tuple[Luma, NDArray[np.float64], NDArray[np.float64]]:
    """Return a region as luma of this size, unstretched, grey where there is no picture; then its scale and its origin.

    A point of the picture is at ``(point - origin) * scale`` in what is returned.
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
    """Return luma in this size; what shrinks is averaged. By halves first: those cost OpenCV next to nothing, and the
    rest half of what it costs at once."""
    while grey.shape[1] >= 2 * size[0] and grey.shape[0] >= 2 * size[1]:
        half = grey.shape[1] // 2, grey.shape[0] // 2
        grey = np.asarray(cv2.resize(grey, half, interpolation=cv2.INTER_AREA), np.uint8)
    shrinks = grey.shape[1] > size[0]
    resized = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def _offset_px(span: tuple[float, float], shown_from: int, shown_px: int, *, room_px: int, scale: float) -> int:
    """Return where the shown part begins, the region's span being centred in the room."""
    begin = (room_px - (span[1] - span[0]) * scale) / 2 + (shown_from - span[0]) * scale
    return int(np.clip(round(begin), 0, room_px - shown_px))


def open_plate_detector(
    *, search: PlateSearch | None = None, threads: int = 1, whole: Path = WHOLE_MODEL, close: Path = CLOSE_MODEL
) -> NetworkPlateDetector:
    """Open the detector that ships with the project; raise ConfigurationError where no runtime is installed."""
    return NetworkPlateDetector(
        open_model(whole, threads=threads, edgetpu=False),
        close=open_model(close, threads=threads, edgetpu=False),
        search=search,
    )


def _quantise(luma: Luma, spec: TensorSpec) -> Tensor:
    """Return luma as the network stores it."""
    if not spec.is_quantised:
        return luma.astype(spec.dtype)
    if spec.dtype == np.int8 and spec.scale == 1.0 and spec.zero_point == -128:
        return (luma ^ np.uint8(128)).view(np.int8)
    limits = np.iinfo(spec.dtype)
    return np.clip(np.round(luma / spec.scale) + spec.zero_point, limits.min, limits.max).astype(spec.dtype)


def _whole_region(image: Image) -> tuple[float, float, float, float]:
    return 0.0, 0.0, float(image.shape[1]), float(image.shape[0])


def _merge_parts(parts: list[FoundPlates]) -> FoundPlates:
    """Return what was found in several looks, best first, each plate once."""
    score, corners = np.concatenate([part.score for part in parts]), np.concatenate([part.corners for part in parts])
    found = FoundPlates(score, corners).select(np.argsort(-score, kind="stable"))
    return found.select(merge(found, overlap=_DUPLICATE_OVERLAP))


def _quarter_regions(width: int, height: int) -> list[tuple[float, float, float, float]]:
    """Return four overlapping regions that cover the picture."""
    wide, tall = width * _QUARTER_SHARE, height * _QUARTER_SHARE
    return [(x, y, x + wide, y + tall) for x in (0.0, width - wide) for y in (0.0, height - tall)]


def _region_around(corners: Floats, eye: _TileDetector, *, max_enlargement: float) -> tuple[float, float, float, float]:
    """Return the region in which a plate has the size that the closer look likes best."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    extent = max(float(high[0] - low[0]), 2.0 * float(high[1] - low[1]))
    scale = min(_CLOSE_WIDTH_SHARE * eye.width / max(extent, 1.0), max_enlargement)
    centre, reach = (low + high) / 2, (eye.width / scale / 2, eye.height / scale / 2)
    x, y = float(centre[0]), float(centre[1])
    return x - reach[0], y - reach[1], x + reach[0], y + reach[1]


def _matching_row(near: FoundPlates, seen: Floats) -> int | None:
    """Return the row of the plate that was to be looked at: the best of those that reach into it."""
    low, high = seen.min(axis=0), seen.max(axis=0)
    boxes = near.boxes()
    rows = np.flatnonzero(np.all((boxes[:, :2] < high) & (boxes[:, 2:] > low), axis=1))
    return int(rows[0]) if len(rows) else None


def _to_plate_box(score: float, corners: Floats) -> PlateBox:
    left, top, right, bottom = (float(v) for v in (*corners.min(axis=0), *corners.max(axis=0)))
    return PlateBox(left=left, top=top, right=right, bottom=bottom, score=float(score), corners=corners)
