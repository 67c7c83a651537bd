"""Renders the moving scene and gives exact ground truth for every frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.camera.synthetic.bodies import Body, build_body
from edge_agent.camera.synthetic.perspective import Perspective, Points
from edge_agent.camera.synthetic.plates import STYLES, draw_plate
from edge_agent.camera.synthetic.scenery import GARAGE_M, SIGNAL_AT, draw_scenery, fill
from edge_agent.camera.synthetic.schedule import VehicleTrip, make_schedule
from edge_agent.camera.synthetic.shapes import SHAPES
from edge_agent.types import Image
from shared.plates import normalize_plate

DARK = np.array((30.0, 28.0, 27.0))
"""Colour of a vehicle deep inside the garage."""
DARK_AT_M = GARAGE_M + 4.0
VISIBLE_BELOW_M = GARAGE_M
"""A vehicle at a smaller distance is outside of the garage and part of the ground truth."""
MIN_BOX_PX = 12
NOISE_SIGMA = 2.2
_SHADOW_STEPS_M = (0.34, 0.28, 0.22, 0.16, 0.10, 0.05, 0.01)
_SHADOW_STEP = 22
_NOISE_MARGIN_PX = 96
_NOISE_MIDDLE = 128
_SIGNAL_RED, _SIGNAL_GREEN = (50, 50, 235), (90, 225, 90)
_SIGNAL_DARK = (30, 30, 44), (36, 44, 32)


@dataclass(frozen=True, slots=True)
class VehicleTruth:
    """One vehicle in one frame."""

    track: int
    """Number of the vehicle, from 1 in order of appearance."""
    class_name: str
    """COCO class: car, truck or motorcycle."""
    kind: str
    """Body type: sedan, van, …"""
    xyxy: NDArray[np.float32]
    """The visible part of the vehicle, without its shadow, in pixels."""
    visible_ratio: float
    """Fraction of its whole box that is inside the image, 0..1."""
    plate: str
    """Plate text as printed, with spaces."""
    plate_quad: NDArray[np.float32] | None
    """``(4, 2)`` pixels, clockwise from the top left of the plate; None while any corner is outside the image."""
    glyph_height_px: float
    """Height of the plate's characters in this frame, in pixels."""

    @property
    def plate_normalized(self) -> str:
        return normalize_plate(self.plate)


@dataclass(frozen=True, slots=True)
class _Vehicle:
    """A trip and its properties that are the same in all frames."""

    trip: VehicleTrip
    body: Body
    vertices: Points
    """The points of all faces, concatenated."""
    starts: tuple[int, ...]
    centroids: Points
    normals: Points
    """Zero for faces that are always drawn."""
    plate: Image
    plate_size_m: tuple[float, float]
    glyph_ratio: float
    """Height of the characters as a fraction of the plate's height."""

    @property
    def class_name(self) -> str:
        shape = SHAPES.get(self.trip.kind)
        return shape.class_name if shape else "motorcycle"


class SyntheticGate:
    """A gate with vehicles, rendered frame by frame. The same seed gives the same pixels.

    ``index`` counts frames from 0. With ``loop``, the round repeats forever, with different sensor noise. Without it,
    an index from ``frame_count`` on raises IndexError.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        vehicles: int = 8,
        fps: float = 25.0,
        size: tuple[int, int] = (1280, 720),
        loop: bool = False,
    ) -> None:
        """``vehicles``: number of vehicles in one round; eight take a minute. ``size``: width and height in pixels."""
        self.fps = fps
        self.width, self.height = size
        self.loop = loop
        self.trips, self.duration_s = make_schedule(seed=seed, vehicles=vehicles)
        self.frame_count = round(self.duration_s * fps)
        self._seed = seed
        self._view = Perspective(*size)
        rng = np.random.default_rng([seed, 1])
        self._background = draw_scenery(self._view, rng=rng)
        self._noise = _noise_plane(self.height + _NOISE_MARGIN_PX, self.width + _NOISE_MARGIN_PX, rng)
        self._vehicles = [_prepare(trip) for trip in self.trips]

    def render(self, index: int) -> Image:
        """Return frame ``index`` in BGR, as a new array."""
        at_s = self._second(index)
        image = self._background.copy()
        self._signal(image, at_s)
        for vehicle, distance_m in self._present(at_s):
            self._draw(image, vehicle, distance_m)
        return self._with_sensor_noise(image, index, at_s)

    def truth(self, index: int) -> list[VehicleTruth]:
        """Return the ground truth of frame ``index``, without vehicles in the dark or almost outside of the image."""
        truths = (self._truth(vehicle, distance_m) for vehicle, distance_m in self._present(self._second(index)))
        return sorted((truth for truth in truths if truth is not None), key=lambda truth: truth.track)

    def _second(self, index: int) -> float:
        if index < 0 or (index >= self.frame_count and not self.loop):
            raise IndexError(f"frame {index} of {self.frame_count}")
        return index % self.frame_count / self.fps

    def _present(self, at_s: float) -> list[tuple[_Vehicle, float]]:
        """Return the vehicles on the drive with their distances in metres, farthest first."""
        placed = [(vehicle, vehicle.trip.distance_m(at_s)) for vehicle in self._vehicles]
        return sorted(
            ((vehicle, distance_m) for vehicle, distance_m in placed if distance_m is not None),
            key=lambda pair: -pair[1],
        )

    def _truth(self, vehicle: _Vehicle, distance_m: float) -> VehicleTruth | None:
        if distance_m > VISIBLE_BELOW_M:
            return None
        pixels = self._view.project(vehicle.vertices + np.array((vehicle.trip.offset_x_m, 0.0, distance_m)))
        box = self._view.clipped_box(pixels)
        width_px, height_px = box[2] - box[0], box[3] - box[1]
        if width_px < MIN_BOX_PX or height_px < MIN_BOX_PX:
            return None
        whole = np.prod(pixels.max(axis=0) - pixels.min(axis=0))
        quad = self._plate_quad(vehicle, distance_m)
        inside = bool(np.all((quad >= 0) & (quad <= (self.width, self.height))))
        return VehicleTruth(
            track=vehicle.trip.track,
            class_name=vehicle.class_name,
            kind=vehicle.trip.kind,
            xyxy=box,
            visible_ratio=float(width_px * height_px / whole),
            plate=vehicle.trip.plate,
            plate_quad=quad.astype(np.float32) if inside else None,
            glyph_height_px=float(np.linalg.norm(quad[3] - quad[0])) * vehicle.glyph_ratio,
        )

    def _plate_quad(self, vehicle: _Vehicle, distance_m: float) -> Points:
        x, y, z = vehicle.body.plate_centre
        half_width, half_height = (size / 2 for size in vehicle.plate_size_m)
        corners = [
            (-half_width, half_height),
            (half_width, half_height),
            (half_width, -half_height),
            (-half_width, -half_height),
        ]
        return self._view.project([(vehicle.trip.offset_x_m + x + dx, y + dy, distance_m + z) for dx, dy in corners])

    def _draw(self, image: Image, vehicle: _Vehicle, distance_m: float) -> None:
        offset = np.array((vehicle.trip.offset_x_m, 0.0, distance_m))
        self._shadow(image, vehicle, distance_m)
        pixels = self._view.project(vehicle.vertices + offset)
        eye = np.array((0.0, 4.2, 0.0)) - offset
        seen = np.einsum("fi,fi->f", vehicle.normals, eye - vehicle.centroids)
        light = _light_at(distance_m)
        for face, start, stop, facing in zip(
            vehicle.body.faces, vehicle.starts[:-1], vehicle.starts[1:], seen, strict=True
        ):
            if face.normal is None or facing > 0:
                fill(image, pixels[start:stop], np.array(face.color) * light + DARK * (1 - light))
        self._paste_plate(image, vehicle, self._plate_quad(vehicle, distance_m), light)

    def _shadow(self, image: Image, vehicle: _Vehicle, distance_m: float) -> None:
        """Darken the ground below and next to a vehicle in soft steps."""
        half, length, x = vehicle.body.shadow_half_width_m, vehicle.body.length_m, vehicle.trip.offset_x_m
        outlines = [
            self._view.project(
                [
                    (side, 0, end)
                    for side, end in (
                        (x - half - grow * 0.4, distance_m - grow * 0.6),
                        (x + half + grow * 1.6, distance_m - grow * 0.6),
                        (x + half + grow * 1.6, distance_m + length + grow),
                        (x - half - grow * 0.4, distance_m + length + grow),
                    )
                ]
            )
            for grow in _SHADOW_STEPS_M
        ]
        x0, y0, x1, y1 = (int(v) for v in self._view.clipped_box(outlines[0]))
        if x1 - x0 < 2 or y1 - y0 < 2:
            return
        light = np.full((y1 - y0, x1 - x0), 255, np.uint8)
        for step, outline in enumerate(outlines, start=1):
            fill(light, outline - (x0, y0), (255 - step * _SHADOW_STEP,))
        area = image[y0:y1, x0:x1]
        cv2.multiply(area, cv2.cvtColor(light, cv2.COLOR_GRAY2BGR), dst=area, scale=1 / 255)

    def _paste_plate(self, image: Image, vehicle: _Vehicle, quad: Points, light: float) -> None:
        """Warp the plate onto the vehicle, downscaled by averaging."""
        x0, y0 = (max(0, int(v)) for v in quad.min(axis=0))
        x1, y1 = int(min(self.width, quad[:, 0].max() + 2)), int(min(self.height, quad[:, 1].max() + 2))
        if x1 - x0 < 3 or y1 - y0 < 3 or x0 >= x1 or y0 >= y1:
            return
        plate = _shrunk(vehicle.plate, float(quad[1, 0] - quad[0, 0]) * 2)
        height, width = plate.shape[:2]
        flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        into = cv2.getPerspectiveTransform(flat, (quad - (x0, y0)).astype(np.float32))
        size = (x1 - x0, y1 - y0)
        warped = cv2.warpPerspective(plate, into, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        area = image[y0:y1, x0:x1]
        mask = np.zeros((size[1], size[0]), np.uint8)
        fill(mask, quad - (x0, y0), (255,))
        share = mask[..., None] / 255.0
        lit = warped * light + DARK * (1 - light)
        area[:] = (area * (1 - share) + lit * share).astype(np.uint8)

    def _signal(self, image: Image, at_s: float) -> None:
        x, y, z = SIGNAL_AT
        go = all(
            not trip.start_s <= at_s < until_s for trip in self.trips if (until_s := trip.waits_until_s()) is not None
        )
        lamps = ((0.15, _SIGNAL_DARK[0] if go else _SIGNAL_RED), (-0.15, _SIGNAL_GREEN if go else _SIGNAL_DARK[1]))
        radius = max(2, round(0.09 * self._view.focal_px / z))
        for height_m, color in lamps:
            centre = self._view.project([(x, y + height_m, z)])[0]
            cv2.circle(image, (round(centre[0]), round(centre[1])), radius, color, -1, cv2.LINE_AA)

    def _with_sensor_noise(self, image: Image, index: int, at_s: float) -> Image:
        """Apply a slow drift of the daylight and the sensor noise, in one pass."""
        turns = 2 * np.pi * at_s / self.duration_s
        gain = 1.0 + 0.022 * np.sin(turns) + 0.010 * np.sin(5 * turns + 1.0)
        rng = np.random.default_rng([self._seed, 2, index])
        y, x = rng.integers(0, _NOISE_MARGIN_PX, 2)
        noise = self._noise[y : y + self.height, x : x + self.width]
        return np.asarray(cv2.addWeighted(image, gain, noise, 1.0, -_NOISE_MIDDLE, dst=image), np.uint8)


def _light_at(distance_m: float) -> float:
    """Return the brightness, from 1 outside of the garage to 0 deep inside."""
    return float(np.clip((DARK_AT_M - distance_m) / (DARK_AT_M - GARAGE_M), 0.0, 1.0)) ** 1.5


def _noise_plane(height: int, width: int, rng: np.random.Generator) -> Image:
    """Return noise around mid-grey, larger than the image, so that each frame uses a different part."""
    grey = rng.normal(0, NOISE_SIGMA, (height, width, 1))
    color = rng.normal(0, NOISE_SIGMA * 0.5, (height, width, 3))
    return np.clip(np.rint(grey + color) + _NOISE_MIDDLE, 0, 255).astype(np.uint8)


def _shrunk(plate: Image, width_px: float) -> Image:
    if width_px >= plate.shape[1]:
        return plate
    ratio = max(width_px, 24) / plate.shape[1]
    size = (max(8, round(plate.shape[1] * ratio)), max(4, round(plate.shape[0] * ratio)))
    return np.asarray(cv2.resize(plate, size, interpolation=cv2.INTER_AREA), np.uint8)


def _prepare(trip: VehicleTrip) -> _Vehicle:
    style = STYLES[trip.style]
    body = build_body(trip.kind, trip.paint, facing="front" if trip.heading == "in" else "rear")
    metres = style.scale / 1000
    return _Vehicle(
        trip=trip,
        body=body,
        vertices=np.concatenate([face.points for face in body.faces]),
        starts=(0, *np.cumsum([len(face.points) for face in body.faces]).tolist()),
        centroids=np.array([face.points.mean(axis=0) for face in body.faces]),
        normals=np.array([np.zeros(3) if face.normal is None else face.normal for face in body.faces]),
        plate=draw_plate(trip.plate, style),
        plate_size_m=(style.width * metres, style.height * metres),
        glyph_ratio=style.glyph_height / style.height,
    )
