"""The synthetic gate with plates that a fake detector and a fake reader recognise without a model.

Each plate is painted over with stripes whose colour says which vehicle it is on. The fake reader returns the truth,
with errors that increase as the characters shrink.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import cv2
import numpy as np

from edge_agent.anpr.settings import AnprSettings
from edge_agent.anpr.stage import PlateStage
from edge_agent.anpr.types import PlateBox, PlateReader, PlateReading
from edge_agent.camera.synthetic.gate import SyntheticGate, VehicleTruth
from edge_agent.events.occurrences import TrackedObject, as_box
from edge_agent.types import ArrayPicture, Frame, Image
from tests.support.edge.builders import START

STRIPES = 8
_LEVELS = 20


def gate_frame(gate: SyntheticGate, index: int, *, rendered: bool = False) -> Frame:
    """Return a frame of the gate with coded plates, on the rendered scene or (quicker) on plain grey."""
    image = gate.render(index) if rendered else np.full((gate.height, gate.width, 3), 90, np.uint8)
    truths = gate.truth(index)
    for truth in sorted(truths, key=lambda each: float(each.xyxy[3])):
        if not rendered:
            left, top, right, bottom = (round(float(value)) for value in truth.xyxy)
            cv2.rectangle(image, (left, top), (right, bottom), (60 + 10 * truth.track, 110, 100), -1)
        if truth.plate_quad is not None:
            paint_code(image, truth.plate_quad, truth.track)
    time_s = index / gate.fps
    return Frame(
        number=index + 1, timestamp=START + timedelta(seconds=time_s), time_s=time_s, picture=ArrayPicture(image)
    )


def paint_code(image: Image, quad: np.ndarray, code: int) -> None:
    """Fill a quadrilateral with stripes: blue marks a plate, red encodes its number, green makes the stripes."""
    along = np.linspace(0, 1, 2 * STRIPES + 1)
    cv2.fillConvexPoly(image, np.rint(quad).astype(np.int32), (255, 0, _LEVELS * code))
    for start, end in zip(along[1::2], along[2::2], strict=False):
        top = [quad[0] + (quad[1] - quad[0]) * share for share in (start, end)]
        bottom = [quad[3] + (quad[2] - quad[3]) * share for share in (end, start)]
        cv2.fillConvexPoly(image, np.rint([*top, *bottom]).astype(np.int32), (255, 60, _LEVELS * code))


def tracked_objects(truths: list[VehicleTruth]) -> list[TrackedObject]:
    """Return the tracked objects of a perfect detector and tracker."""
    return [
        TrackedObject(
            track_id=truth.track,
            track_uid=f"gate-test-{truth.track}",
            class_name=truth.class_name,
            xyxy=as_box(truth.xyxy),
            score=0.9,
        )
        for truth in truths
    ]


class CodedPlates:
    """A ``PlateDetector`` that detects the stripes."""

    def __init__(self, *, score: float = 0.9) -> None:
        self.score = score
        self.searched: list[tuple[int, int]] = []
        """Width and height of each picture searched."""

    def find(self, image: Image) -> list[PlateBox]:
        self.searched.append((image.shape[1], image.shape[0]))
        mask = cv2.inRange(image, np.array((236, 0, 0)), np.array((255, 69, 255)))
        if not cv2.countNonZero(mask):
            return []
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        plates: list[PlateBox] = []
        for left, top, width, height, area in stats[1:count].tolist():
            if area >= 40:
                plates.append(PlateBox(float(left), float(top), float(left + width), float(top + height), self.score))
        return sorted(plates, key=lambda plate: plate.left)


class NoisyReader:
    """A ``PlateReader`` that adds errors to the true text of small characters, with calibrated confidences."""

    def __init__(self, texts: Mapping[int, str], *, seed: int = 1, noise: float = 1.0) -> None:
        self._texts = texts
        self._rng = np.random.default_rng(seed)
        self._noise = noise
        self.reads = 0

    def read(self, crop: Image) -> PlateReading:
        self.reads += 1
        marked = crop[(crop[..., 0] > 240) & (crop[..., 1] < 70)]
        code = round(float(np.median(marked[:, 2])) / _LEVELS) if len(marked) else 0
        text = self._texts.get(code, "")
        glyph_px = 0.62 * crop.shape[0]
        error = min(0.6, self._noise * 2.2 / max(glyph_px, 1.0))
        out: list[str] = []
        sure: list[float] = []
        for char in text:
            draw = self._rng.random()
            if draw < error * 0.15:
                continue
            wrong = draw < error
            out.append(str(self._rng.choice(list("0123456789ABCDEFGHIJKLMNOPRSTUVWXYZ"))) if wrong else char)
            sure.append(float(np.clip(self._rng.normal(1 - error * (1.5 if wrong else 0.7), 0.08), 0.2, 0.99)))
            if draw > 1 - error * 0.1:
                out.append("1")
                sure.append(0.5)
        return PlateReading("".join(out), float(np.prod(sure)) if sure else 0.0, tuple(sure))


def make_stage(
    detector: CodedPlates, reader: PlateReader, *, detects_vehicles: bool = True, **settings: object
) -> PlateStage:
    return PlateStage(
        settings=AnprSettings.model_validate({"enabled": True, **settings}),
        detector=detector,
        reader=reader,
        uid_prefix="c-r",
        detects_vehicles=detects_vehicles,
    )
