"""Vehicle bodies as polygons in metres, for the front or the rear view, with the position of the plate.

Local axes: x to the right as seen from the camera, y up, z away from it; the end closest to the camera is at ``z = 0``.
A face is drawn if its outward normal points to the camera. Faces are ordered from far to near.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_agent.camera.synthetic.shapes import SHAPES, Segment, Shape

Bgr = tuple[int, int, int]
Vec3 = tuple[float, float, float]

GLASS: Bgr = (74, 62, 50)
GLASS_SHEEN: Bgr = (140, 126, 108)
TYRE: Bgr = (34, 33, 32)
RIM: Bgr = (150, 150, 148)
TRIM: Bgr = (45, 44, 43)
LAMP: Bgr = (225, 240, 245)
TAIL_LAMP: Bgr = (40, 35, 190)
_LIGHT = np.array([-0.35, 0.80, -0.48])
"""Direction to the sun: upper left, behind the camera."""


@dataclass(frozen=True, slots=True)
class Face:
    """A flat convex polygon. Without ``normal`` it is always drawn (lamps and trim on a visible face)."""

    points: NDArray[np.float64]
    color: Bgr
    normal: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a vehicle with one end towards the camera."""

    faces: tuple[Face, ...]
    width_m: float
    length_m: float
    plate_centre: Vec3
    shadow_half_width_m: float


def build_body(kind: str, color: Bgr, *, facing: Literal["front", "rear"]) -> Body:
    """Build a vehicle of this ``kind`` (a key of ``SHAPES``, or ``motorcycle``) with this end towards the camera."""
    if kind == "motorcycle":
        return _motorcycle(color)
    shape = SHAPES[kind]
    builder = _Builder(shape, color, facing)
    builder.underside()
    builder.extrude(shape.deck)
    builder.side_wheels()
    if shape.cabin:
        builder.extrude(shape.cabin, is_cabin=True)
    builder.end_details()
    end = 0 if facing == "front" else 1
    return Body(tuple(builder.faces), shape.width, shape.length, (0.0, shape.plate_y[end], -0.03), shape.width / 2)


def shaded(color: Bgr, normal: NDArray[np.float64]) -> Bgr:
    """Return the colour of a face with this normal, lit by the sun and the sky."""
    light = 0.62 + 0.46 * max(0.0, float(normal @ _LIGHT)) + 0.08 * float(normal[1])
    b, g, r = (min(255, int(channel * light)) for channel in color)
    return b, g, r


class _Builder:
    """Collects faces from far to near; converts u (distance from the front bumper) to z (from the visible end)."""

    def __init__(self, shape: Shape, color: Bgr, facing: Literal["front", "rear"]) -> None:
        self.shape = shape
        self.color = color
        self.facing = facing
        self.faces: list[Face] = []

    def z_of(self, u: float) -> float:
        return u if self.facing == "front" else self.shape.length - u

    def add(self, points: Sequence[Vec3], color: Bgr, normal: Vec3 | None = None) -> None:
        array = np.array(points, np.float64)
        if normal is None:
            self.faces.append(Face(array, color))
            return
        unit = np.array(normal, np.float64)
        unit /= np.linalg.norm(unit)
        self.faces.append(Face(array, shaded(color, unit), unit))

    def underside(self) -> None:
        """Add the dark underside and the tyres as seen from the end."""
        half, radius = self.shape.width / 2, self.shape.wheel_radius
        floor = self.shape.deck[0].y + 0.05
        self.add([(-half, 0.02, 0.5), (half, 0.02, 0.5), (half, floor, 0.3), (-half, floor, 0.3)], (30, 29, 28))
        for side in (-1, 1):
            outer, inner = side * (half - 0.02), side * (half - 0.24)
            self.add([(outer, 0, 0.45), (inner, 0, 0.45), (inner, radius, 0.2), (outer, radius, 0.2)], TYRE)

    def extrude(self, line: Sequence[Segment], *, is_cabin: bool = False) -> None:
        """Add both flanks, then the strips between consecutive points, from far to near."""
        self._flanks(line, is_cabin=is_cabin)
        strips = list(pairwise(line))
        for first, second in strips[::-1] if self.facing == "front" else strips:
            self._strip(first, second)

    def _strip(self, first: Segment, second: Segment) -> None:
        near, far = (first, second) if self.facing == "front" else (second, first)
        (w0, y0, z0), (w1, y1, z1) = self._corner(near), self._corner(far)
        normal = (0.0, z1 - z0, -(y1 - y0))
        quad = [(-w0, y0, z0), (w0, y0, z0), (w1, y1, z1), (-w1, y1, z1)]
        self.add(quad, self.color, normal)
        if second.glass:
            unit = np.array(normal) / np.linalg.norm(normal)
            self._pane(quad, unit)

    def _pane(self, quad: Sequence[Vec3], normal: NDArray[np.float64]) -> None:
        """Add a window with a frame and a band of reflected sky."""
        corners = np.array(quad)
        pane = _bilinear(corners, [(0.05, 0.07), (0.95, 0.07), (0.95, 0.93), (0.05, 0.93)])
        sheen = _bilinear(corners, [(0.05, 0.60), (0.95, 0.42), (0.95, 0.93), (0.05, 0.93)])
        glint = _bilinear(corners, [(0.60, 0.07), (0.72, 0.07), (0.90, 0.93), (0.78, 0.93)])
        self.faces.append(Face(pane, GLASS, normal))
        self.faces.append(Face(sheen, (104, 90, 74), normal))
        self.faces.append(Face(glint, GLASS_SHEEN, normal))

    def _corner(self, point: Segment) -> tuple[float, float, float]:
        return point.half_width or self.shape.width / 2, point.y, self.z_of(point.u)

    def _flanks(self, line: Sequence[Segment], *, is_cabin: bool) -> None:
        for side in (-1.0, 1.0):
            outline = [(side * w, y, z) for w, y, z in map(self._corner, line)]
            self.add(outline, self.color, (side, 0.25 if is_cabin else 0.0, 0.0))
            if is_cabin:
                corners = np.array(outline)
                centre = corners.mean(axis=0)
                window = centre + (corners - centre) * np.array([1.0, 0.80, 0.86]) + np.array([side * 0.01, 0, 0])
                self.add([(float(x), float(y), float(z)) for x, y, z in window], GLASS, (side, 0.25, 0.0))

    def side_wheels(self) -> None:
        for side in (-1.0, 1.0):
            for axle in self.shape.axles:
                for share, color in ((1.14, TRIM), (1.0, TYRE), (0.62, RIM)):
                    self._wheel(side, self.z_of(axle), share * self.shape.wheel_radius, color)

    def _wheel(self, side: float, z: float, radius: float, color: Bgr) -> None:
        x, hub_y = side * (self.shape.width / 2 + 0.01), self.shape.wheel_radius
        angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        rim = [(x, hub_y + radius * float(np.sin(a)), z + radius * float(np.cos(a))) for a in angles]
        self.add(rim, color, (side, 0.0, 0.0))

    def end_details(self) -> None:
        """Add lamps, grille or boot line, bumper and mirrors to the visible end."""
        half = self.shape.width / 2
        front = self.facing == "front"
        lamp_y = self.shape.lamp_y[0 if front else 1]
        bottom = self.shape.deck[0].y
        self._plane(-half, half, bottom, bottom + 0.13, TRIM)
        self._plane(-half * 0.96, half * 0.96, bottom + 0.13, bottom + 0.16, _scaled(self.color, 0.55))
        if front:
            self._plane(-half * 0.52, half * 0.52, lamp_y - 0.09, lamp_y + 0.04, TRIM)
            for line in (-0.05, -0.01):
                self._plane(-half * 0.48, half * 0.48, lamp_y + line, lamp_y + line + 0.012, (120, 120, 120))
        for side in (-1, 1):
            x0, x1 = sorted((side * half * 0.58, side * half * 0.97))
            if front:
                self._plane(x0, x1, lamp_y - 0.08, lamp_y + 0.06, (90, 88, 86))
                self._plane(x0 + 0.03, x1 - 0.03, lamp_y - 0.05, lamp_y + 0.045, LAMP)
            else:
                self._plane(x0, x1, lamp_y - 0.10, lamp_y + 0.07, TAIL_LAMP)
                self._plane(x0 + 0.04, x1 - 0.04, lamp_y - 0.02, lamp_y + 0.03, (120, 130, 235))
        if self.shape.cabin and front:
            self._mirrors()

    def _mirrors(self) -> None:
        foot = self.shape.cabin[0]
        z = self.z_of(foot.u + 0.35)
        for side in (-1, 1):
            x0, x1 = side * (self.shape.width / 2 - 0.04), side * (self.shape.width / 2 + 0.14)
            y0, y1 = foot.y + 0.03, foot.y + 0.17
            self.add([(x0, y0, z), (x1, y0 + 0.02, z), (x1, y1, z), (x0, y1 - 0.02, z)], self.color, (0, 0, -1))

    def _plane(self, x0: float, x1: float, y0: float, y1: float, color: Bgr) -> None:
        z = -0.01  # slightly in front of the face of the end
        self.add([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], color)


def _scaled(color: Bgr, share: float) -> Bgr:
    b, g, r = (int(channel * share) for channel in color)
    return b, g, r


def _bilinear(quad: NDArray[np.float64], places: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Return points inside a quad (near left, near right, far right, far left) at ``(across, along)`` fractions."""
    a, b, c, d = quad
    return np.array([(a * (1 - s) + b * s) * (1 - t) + (d * (1 - s) + c * s) * t for s, t in places])


def _motorcycle(color: Bgr) -> Body:
    """Build a motorcycle and its rider from behind, from upright polygons at different depths."""
    jacket: Bgr = (52, 44, 40)
    jeans: Bgr = (96, 66, 48)
    faces: list[Face] = []

    def piece(points: Sequence[tuple[float, float]], z: float, paint: Bgr) -> None:
        faces.append(Face(np.array([(x, y, z) for x, y in points], np.float64), paint))

    def disc(centre: tuple[float, float], radii: tuple[float, float], z: float, paint: Bgr) -> None:
        (x, y), (rx, ry) = centre, radii
        angles = np.linspace(0, 2 * np.pi, 18, endpoint=False)
        piece([(x + rx * float(np.cos(a)), y + ry * float(np.sin(a))) for a in angles], z, paint)

    piece([(-0.07, 0.0), (0.07, 0.0), (0.07, 0.6), (-0.07, 0.6)], 1.7, TYRE)
    piece([(-0.42, 1.02), (0.42, 1.02), (0.42, 1.07), (-0.42, 1.07)], 1.35, TRIM)
    for side in (-1, 1):
        disc((side * 0.44, 1.2), (0.07, 0.05), 1.35, TRIM)
        piece([(side * 0.20, 1.30), (side * 0.30, 1.36), (side * 0.44, 1.08), (side * 0.36, 1.02)], 1.2, jacket)
        piece([(side * 0.08, 0.92), (side * 0.26, 0.92), (side * 0.30, 0.38), (side * 0.18, 0.36)], 0.9, jeans)
        piece([(side * 0.16, 0.38), (side * 0.31, 0.38), (side * 0.31, 0.26), (side * 0.16, 0.26)], 0.9, TYRE)
    piece([(-0.2, 0.55), (0.2, 0.55), (0.17, 0.98), (-0.17, 0.98)], 0.8, color)
    piece([(-0.22, 0.9), (0.22, 0.9), (0.29, 1.36), (0.2, 1.47), (-0.2, 1.47), (-0.29, 1.36)], 0.75, jacket)
    piece([(-0.03, 0.95), (0.03, 0.95), (0.03, 1.46), (-0.03, 1.46)], 0.74, (80, 190, 235))
    disc((0.0, 1.62), (0.135, 0.165), 0.8, color)
    disc((-0.04, 1.68), (0.05, 0.06), 0.79, (235, 235, 235))
    half_tyre = [(0.10, 0.0), (0.11, 0.1), (0.11, 0.55), (0.09, 0.64)]
    piece(half_tyre + [(-x, y) for x, y in reversed(half_tyre)], 0.15, TYRE)
    piece([(-0.16, 0.80), (0.16, 0.80), (0.12, 0.97), (-0.12, 0.97)], 0.05, color)
    piece([(-0.11, 0.84), (0.11, 0.84), (0.09, 0.91), (-0.09, 0.91)], 0.04, TAIL_LAMP)
    piece([(-0.24, 0.60), (0.24, 0.60), (0.20, 0.80), (-0.20, 0.80)], 0.03, TRIM)
    return Body(tuple(faces), 0.9, 2.1, (0.0, 0.70, 0.0), 0.16)
