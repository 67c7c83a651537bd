"""Draws the empty scene: the driveway of a garage, seen from above the gate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.camera.synthetic.perspective import Perspective, Points
from edge_agent.camera.synthetic.schedule import DRIVE_OFFSET_M, STOP_LINE_M
from edge_agent.types import Image

Bgr = tuple[int, int, int]

GARAGE_M = 31.0
ROAD_HALF_WIDTH_M = 3.9
SIGNAL_AT = (-4.45, 2.15, 12.6)
"""World position of the signal's lamps."""
_GROUND_X_M = 14.0
_GROUND_Z_M = (4.0, 44.0)
_PIXELS_PER_M = 44
_OVERSAMPLED = 2


def draw_scenery(view: Perspective, *, rng: np.random.Generator) -> Image:
    """Return the static background at the size of the view, with the signal off."""
    large = Perspective(view.width_px * _OVERSAMPLED, view.height_px * _OVERSAMPLED)
    image = _ground(large, rng)
    _garage(image, large, rng)
    _hedges(image, large, rng)
    _booth(image, large)
    _barrier(image, large)
    image = np.asarray(cv2.resize(image, (view.width_px, view.height_px), interpolation=cv2.INTER_AREA), np.uint8)
    return _vignette(image)


def fill(image: Image, pixels: Points, color: Iterable[float]) -> None:
    """Fill a convex polygon with anti-aliased edges, with a resolution of 1/16 pixel."""
    points = np.round(pixels * 16).astype(np.int32)
    cv2.fillConvexPoly(image, points, tuple(int(c) for c in color), cv2.LINE_AA, 4)


def _quad(view: Perspective, x: tuple[float, float], y: tuple[float, float], z: float) -> Points:
    return view.project([(x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)])


def _ground(view: Perspective, rng: np.random.Generator) -> Image:
    """Draw the ground from above and project it into the image."""
    texture = _ground_from_above(rng)
    near, far = _GROUND_Z_M
    corners = view.project(
        [(-_GROUND_X_M, 0, far), (_GROUND_X_M, 0, far), (_GROUND_X_M, 0, near), (-_GROUND_X_M, 0, near)]
    )
    height, width = texture.shape[:2]
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    into = cv2.getPerspectiveTransform(flat, corners.astype(np.float32))
    return np.asarray(
        cv2.warpPerspective(
            texture, into, (view.width_px, view.height_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ),
        np.uint8,
    )  # fmt: skip


def _ground_from_above(rng: np.random.Generator) -> Image:
    depth_m = _GROUND_Z_M[1] - _GROUND_Z_M[0]
    height, width = round(depth_m * _PIXELS_PER_M), round(2 * _GROUND_X_M * _PIXELS_PER_M)
    ground = _mottled(height, width, (72, 112, 96), 26, rng)
    road = _mottled(height, width, (98, 97, 95), 13, rng)
    x0, x1 = (round((_GROUND_X_M + side * ROAD_HALF_WIDTH_M) * _PIXELS_PER_M) for side in (-1, 1))
    ground[:, x0:x1] = road[:, x0:x1]
    _wear(ground, rng)
    for side in (-1, 1):
        _strip(ground, side * (ROAD_HALF_WIDTH_M + 0.15), 0.30, _GROUND_Z_M, (158, 160, 160), rng)
        _strip(ground, side * (ROAD_HALF_WIDTH_M + 0.85), 1.10, _GROUND_Z_M, (122, 130, 138), rng)
        _strip(ground, side * (ROAD_HALF_WIDTH_M - 0.30), 0.12, _GROUND_Z_M, (206, 208, 208), rng)
    for start in np.arange(_GROUND_Z_M[0], _GROUND_Z_M[1], 3.0):
        _strip(ground, 0.0, 0.13, (float(start), float(start) + 1.7), (210, 212, 212), rng)
    _strip(ground, -DRIVE_OFFSET_M, 2.9, (STOP_LINE_M - 0.85, STOP_LINE_M - 0.45), (212, 214, 214), rng)
    for drive_x_m, tip, tail in ((-DRIVE_OFFSET_M, 17.0, 20.0), (DRIVE_OFFSET_M, 20.0, 17.0)):
        _arrow(ground, drive_x_m, tip, tail)
    return ground


def _mottled(height: int, width: int, color: Bgr, strength: float, rng: np.random.Generator) -> Image:
    """Return a colour with noise at several scales."""
    field: NDArray[Any] = np.zeros((height, width), np.float32)
    for cells, share in ((6, 0.30), (60, 0.25), (300, 0.30)):
        rough = rng.normal(size=(max(2, cells * height // width), cells)).astype(np.float32)
        field += share * np.asarray(cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC))
    field += 0.45 * rng.normal(size=(height, width)).astype(np.float32)
    return np.clip(np.array(color, np.float32) + strength * field[..., None], 0, 255).astype(np.uint8)


def _row(z_m: float) -> int:
    return round((_GROUND_Z_M[1] - z_m) * _PIXELS_PER_M)


def _column(x_m: float) -> int:
    return round((_GROUND_X_M + x_m) * _PIXELS_PER_M)


def _strip(  # noqa: PLR0917
    ground: Image, x_m: float, width_m: float, z_m: tuple[float, float], color: Bgr, rng: np.random.Generator
) -> None:
    """Draw a worn strip along the road, through which the ground is partly visible."""
    area = ground[_row(z_m[1]) : _row(z_m[0]), _column(x_m - width_m / 2) : _column(x_m + width_m / 2)]
    cover = np.clip(0.80 + 0.16 * rng.normal(size=area.shape[:2]), 0.3, 1.0)[..., None]
    area[:] = (area * (1 - cover) + np.array(color) * cover).astype(np.uint8)


def _arrow(ground: Image, x_m: float, tip_m: float, tail_m: float) -> None:
    way = np.sign(tail_m - tip_m)
    outline = [(-0.08, tail_m), (0.08, tail_m), (0.08, tip_m + way * 1.2), (0.34, tip_m + way * 1.2), (0, tip_m),
               (-0.34, tip_m + way * 1.2), (-0.08, tip_m + way * 1.2)]  # fmt: skip
    points = np.array([(_column(x_m + x), _row(z)) for x, z in outline], np.int32)
    cv2.fillPoly(ground, [points], (204, 206, 206), cv2.LINE_AA)


def _wear(ground: Image, rng: np.random.Generator) -> None:
    """Darken the wheel tracks and add cracks, a patch and a manhole cover."""
    shade: NDArray[Any] = np.ones(ground.shape[:2], np.float32)
    columns = np.arange(ground.shape[1]) / _PIXELS_PER_M - _GROUND_X_M
    for drive_x_m in (-DRIVE_OFFSET_M, DRIVE_OFFSET_M):
        for wheel in (-0.75, 0.75):
            shade -= (0.10 * np.exp(-(((columns - drive_x_m - wheel) / 0.28) ** 2)))[None].astype(np.float32)
        shade -= (0.05 * np.exp(-(((columns - drive_x_m) / 0.2) ** 2)))[None].astype(np.float32)
    ground[:] = (ground * shade[..., None]).astype(np.uint8)
    for _ in range(7):
        x, z = rng.uniform(-3.4, 3.4), rng.uniform(8, 28)
        path = [(x, z)]
        for _ in range(9):
            path.append((path[-1][0] + rng.normal(0, 0.14), path[-1][1] + rng.uniform(0.05, 0.4)))
        points = np.array([(_column(a), _row(b)) for a, b in path], np.int32)
        cv2.polylines(ground, [points], False, (66, 66, 66), 2, cv2.LINE_AA)
    patch = ground[_row(15.4) : _row(13.0), _column(0.7) : _column(2.6)]
    patch[:] = (patch * 0.86).astype(np.uint8)
    centre = (_column(-2.2), _row(22.5))
    cv2.circle(ground, centre, 15, (62, 62, 60), -1, cv2.LINE_AA)
    cv2.circle(ground, centre, 12, (84, 84, 82), 2, cv2.LINE_AA)


def _garage(image: Image, view: Perspective, rng: np.random.Generator) -> None:
    """Draw the front of the building with the dark opening."""
    wall = _quad(view, (-40, 40), (0, 12), GARAGE_M)
    fill(image, wall, (150, 164, 176))
    bottom = int(view.project([(0, 0, GARAGE_M)])[0, 1])
    unit = view.focal_px / GARAGE_M
    course_px = max(2.0, 0.24 * unit)
    for index in range(int(bottom / course_px) + 1):
        y = int(bottom - index * course_px)
        cv2.line(image, (0, y), (view.width_px, y), (132, 146, 158), 1, cv2.LINE_AA)
        for x in np.arange((index % 2) * 0.3 * unit, view.width_px, 0.6 * unit):
            cv2.line(image, (int(x), y), (int(x), int(y - course_px)), (134, 148, 160), 1, cv2.LINE_AA)
    grain = rng.normal(0, 5, (max(bottom, 1), view.width_px, 1))
    image[:bottom] = np.clip(image[:bottom] + grain, 0, 255).astype(np.uint8)
    fill(image, _quad(view, (-ROAD_HALF_WIDTH_M - 0.5, ROAD_HALF_WIDTH_M + 0.5), (0, 3.65), GARAGE_M), (116, 126, 134))
    _opening(image, view)
    stripe_m = 0.5
    count = int(2 * (ROAD_HALF_WIDTH_M + 0.2) / stripe_m)
    for index in range(count):
        left = -ROAD_HALF_WIDTH_M - 0.2 + index * stripe_m
        color = (40, 190, 235) if index % 2 == 0 else (38, 38, 38)
        fill(image, _quad(view, (left, left + stripe_m), (3.2, 3.42), GARAGE_M - 0.1), color)
    fill(image, _quad(view, (-7.6, -6.5), (2.0, 3.1), GARAGE_M - 0.1), (150, 80, 20))
    corner = view.project([(-7.33, 2.22, GARAGE_M - 0.1)])[0]
    cv2.putText(image, "P", (int(corner[0]), int(corner[1])), cv2.FONT_HERSHEY_SIMPLEX, unit * 0.033, (245, 245, 245),
                max(2, int(unit * 0.09)), cv2.LINE_AA)  # fmt: skip


def _opening(image: Image, view: Perspective) -> None:
    """Draw the opening of the garage, darker towards the top."""
    (x0, y0), (x1, y1) = view.project([(-ROAD_HALF_WIDTH_M, 3.2, GARAGE_M), (ROAD_HALF_WIDTH_M, 0, GARAGE_M)])
    top, bottom = max(0, int(y0)), int(y1)
    ramp = np.linspace(0, 1, bottom - top)[:, None, None] ** 2
    dark = np.array((26, 24, 23)) * (1 - ramp) + np.array((58, 57, 55)) * ramp
    image[top:bottom, int(x0) : int(x1)] = dark.astype(np.uint8)


def _hedges(image: Image, view: Perspective, rng: np.random.Generator) -> None:
    for side in (-1, 1):
        for z in np.arange(30.5, 4.5, -0.35):
            x = side * (6.9 + rng.normal(0, 0.12))
            height = 1.25 + rng.normal(0, 0.06)
            for _ in range(5):
                y = rng.uniform(0.0, height)
                (cx, cy), (ex, _) = view.project([(x, y, float(z)), (x + rng.uniform(0.22, 0.4), y, float(z))])
                light = 0.55 + 0.5 * y / height + rng.normal(0, 0.07)
                color = tuple(int(np.clip(c * light, 0, 255)) for c in (52, 98, 74))
                cv2.circle(image, (int(cx), int(cy)), max(1, int(abs(ex - cx))), color, -1, cv2.LINE_AA)


def _box(  # noqa: PLR0917
    image: Image, view: Perspective, x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], color: Bgr
) -> None:
    """Draw an upright box: the inner flank, the roof and the front."""
    inner = x[1] if x[1] < 0 else x[0]
    flank = [(inner, y[0], z[0]), (inner, y[0], z[1]), (inner, y[1], z[1]), (inner, y[1], z[0])]
    fill(image, view.project(flank), [c * 0.72 for c in color])
    roof = [(x[0], y[1], z[0]), (x[1], y[1], z[0]), (x[1], y[1], z[1]), (x[0], y[1], z[1])]
    fill(image, view.project(roof), [min(255, c * 1.12) for c in color])
    fill(image, _quad(view, x, y, z[0]), color)


def _booth(image: Image, view: Perspective) -> None:
    """Draw the booth on the left."""
    shadow = [(-6.6, 0, 16.2), (-5.0, 0, 16.2), (-4.6, 0, 19.2), (-6.6, 0, 19.2)]
    overlay = image.copy()
    fill(overlay, view.project(shadow), (40, 42, 42))
    cv2.addWeighted(overlay, 0.4, image, 0.6, 0, dst=image)
    _box(image, view, (-6.7, -5.2), (0, 2.35), (16.4, 18.4), (188, 196, 200))
    fill(image, _quad(view, (-6.5, -5.35), (1.05, 2.0), 16.39), (92, 80, 66))
    fill(image, _quad(view, (-6.5, -6.05), (1.05, 2.0), 16.38), (122, 110, 94))
    flank = [(-5.19, 1.05, 16.6), (-5.19, 1.05, 18.2), (-5.19, 2.0, 18.2), (-5.19, 2.0, 16.6)]
    fill(image, view.project(flank), (70, 60, 50))
    _box(image, view, (-6.85, -5.05), (2.35, 2.5), (16.2, 18.6), (74, 82, 90))


def _barrier(image: Image, view: Perspective) -> None:
    """Draw the barrier with its boom raised, and the post of the signal with its lamps off."""
    x, y, z = SIGNAL_AT
    fill(image, _quad(view, (x - 0.04, x + 0.04), (0, y), z), (88, 90, 92))
    fill(image, _quad(view, (x - 0.15, x + 0.15), (y - 0.32, y + 0.32), z), (36, 36, 36))
    _box(image, view, (-4.38, -4.06), (0, 1.05), (10.7, 11.0), (30, 120, 225))
    fill(image, _quad(view, (-4.36, -4.08), (0.72, 0.82), 10.69), (235, 235, 235))
    foot, tip = np.array([-4.22, 0.95, 10.68]), np.array([-4.02, 4.1, 10.68])
    half = np.array([0.055, 0.0, 0.0])
    pieces = 9
    for index in range(pieces):
        a, b = (foot + (tip - foot) * share for share in (index / pieces, (index + 1) / pieces))
        outline = [a - half, a + half, b + half, b - half]
        fill(image, view.project(outline), (240, 240, 242) if index % 2 == 0 else (44, 40, 200))


def _vignette(image: Image) -> Image:
    """Darken the corners as a simple lens does, and blur slightly."""
    height, width = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : complex(height), -1 : 1 : complex(width)]
    falloff = (1.03 - 0.13 * (x**2 + y**2))[..., None]
    soft = cv2.GaussianBlur(image, (3, 3), 0.6)
    return np.clip(soft * falloff, 0, 255).astype(np.uint8)
