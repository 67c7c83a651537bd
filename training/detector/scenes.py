"""Training images: real frames, real frames with generated plates in place of the real ones, and generated scenes.

A scene is a luma image of the requested size with the corners of its plates. Real plates are labelled with boxes alone:
their corners are those of the boxes, and ``exact`` is false for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from training.detector import backdrops, plate_pose
from training.detector.augment import augment
from training.detector.frames import RealFrames

Luma = NDArray[np.uint8]
Floats = NDArray[np.float32]
LEAST_WIDTH_PX = 14.0
MOST_WIDTH_SHARE = 0.85
LEAST_CONTRAST = 7.0
LABELLED_WIDTH_PX = 50.0
"""In the real frames, plates narrower than this are often not labelled."""


@dataclass(frozen=True, slots=True)
class Scene:
    image: Luma
    quads: Floats
    """(N, 4, 2): top left, top right, bottom right, bottom left, in pixels."""
    exact: NDArray[np.bool_]
    doubtful_px: float = 0.0
    """Plates up to this width, in pixels, may be unlabelled."""
    faint: NDArray[np.bool_] | None = None
    """(N,) plates with hardly any contrast, which are neither plate nor background."""
    doubtful: Floats = field(default_factory=lambda: np.empty((0, 4), np.float32))
    """(M, 4) boxes of possible plates, which are neither plate nor background."""


class SceneMaker:
    """Draws random scenes of all kinds; ``plates`` is a bank of generated plates."""

    def __init__(self, *, frames: RealFrames, plates: list[Luma], rng: np.random.Generator) -> None:
        self._frames = frames
        self._plates = plates
        self._rng = rng
        self._labelled = [i for i, boxes in enumerate(frames.boxes) if len(boxes)]

    def draw(self, width: int, height: int) -> Scene:
        """Return one scene."""
        kind = self._rng.random()
        if kind < 0.2:
            scene = self._real(width, height, exchange=False)
        elif kind < 0.5:
            scene = self._real(width, height, exchange=True)
        else:
            scene = self._generated(width, height)
        image, quads = augment(self._rng, scene.image, scene.quads)
        faint = np.array([_contrast(image, quad) < LEAST_CONTRAST for quad in quads], bool)
        return Scene(image, quads, scene.exact, scene.doubtful_px, faint, scene.doubtful)

    def _wanted_width(self, width: int, *, least: float = LEAST_WIDTH_PX, most_share: float = 0.75) -> float:
        return float(np.exp(self._rng.uniform(np.log(least * 1.2), np.log(width * most_share))))

    def _real(self, width: int, height: int, *, exchange: bool) -> Scene:
        """Return a window of a real frame, scaled so that one of its plates has a random width."""
        rng = self._rng
        index = self._labelled[int(rng.integers(len(self._labelled)))]
        frame, boxes = self._frames.luma[index], self._frames.boxes[index]
        box = boxes[int(rng.integers(len(boxes)))]
        box_width = float(box[2] - box[0])
        scale = float(np.clip(self._wanted_width(width) / box_width, 0.28, 3.5))
        centre = (box[:2] + box[2:]) / 2
        reach = np.array((width, height)) / scale
        room = np.maximum(reach - (box[2:] - box[:2]) * 1.1, 0)
        origin = centre - reach / 2 + rng.uniform(-0.5, 0.5, 2) * room
        frame_size = np.array((frame.shape[1], frame.shape[0]))
        inside = reach <= frame_size
        origin = np.where(
            inside, np.clip(origin, 0, np.maximum(frame_size - reach, 0)), (frame_size - reach) * rng.uniform(0, 1, 2)
        )
        window = _window(frame, origin, scale, width, height)
        shown = (boxes - np.tile(origin, 2)) * scale
        keep, cut = _visibility(shown, width, height)
        more = (self._frames.doubtful[index] - np.tile(origin, 2)) * scale
        doubtful_px = LABELLED_WIDTH_PX * scale
        if not exchange:
            _erase(window, shown[cut])
            quads = _quads_of(shown[keep])
            return Scene(window, quads, np.zeros(len(quads), bool), doubtful_px, doubtful=more)
        quads = self._exchange(window, shown, keep, cut)
        return Scene(window, quads, np.ones(len(quads), bool), doubtful_px, doubtful=more)

    def _exchange(self, window: Luma, boxes: Floats, keep: NDArray[np.bool_], cut: NDArray[np.bool_]) -> Floats:
        rng = self._rng
        patches = [_patch(window, box) for box in boxes[keep]]
        _erase(window, boxes[keep | cut])
        quads = []
        for box, patch in zip(boxes[keep], patches, strict=True):
            if rng.random() < 0.06:
                continue
            plate = self._plate()
            aspect = plate.shape[1] / plate.shape[0]
            box_width, box_height = box[2] - box[0], box[3] - box[1]
            angles = plate_pose.random_angles(rng)
            angles["yaw"] *= 0.6
            wide = np.sqrt(box_width * box_height * aspect) * rng.uniform(0.85, 1.3)
            quad = plate_pose.corners_seen(rng, aspect, **angles) * wide + (box[:2] + box[2:]) / 2
            quad = quad + rng.normal(0, 0.03, 2) * wide
            if _all_inside(quad, window.shape[1], window.shape[0]):
                quads.append(self._attach(window, plate, quad, patch if rng.random() < 0.6 else None))
        return np.array(quads, np.float32).reshape(-1, 4, 2)

    def _plate(self) -> Luma:
        return self._plates[int(self._rng.integers(len(self._plates)))]

    def _attach(self, image: Luma, plate: Luma, quad: Floats, like: Luma | None) -> Floats:
        quad = quad.astype(np.float32)
        if self._rng.random() < 0.35:
            plate_pose.holder(self._rng, image, quad)
        plate_pose.put(image, plate_pose.light(self._rng, plate, like), quad)
        if self._rng.random() < 0.1:
            self._cover(image, quad)
        return quad

    def _cover(self, image: Luma, quad: Floats) -> None:
        """Draw an object in front of the plate, such as a tow ball, a cable or a twig."""
        rng = self._rng
        low, high = quad.min(0), quad.max(0)
        shade = int(rng.integers(0, 256))
        if rng.random() < 0.5:
            centre = (int(rng.uniform(low[0], high[0])), int(high[1] - (high[1] - low[1]) * rng.uniform(-0.2, 0.3)))
            cv2.circle(image, centre, max(1, int((high[1] - low[1]) * rng.uniform(0.1, 0.3))), shade, -1, cv2.LINE_AA)
        else:
            ends = [(int(rng.uniform(low[0], high[0])), int(y)) for y in (low[1] - 5, high[1] + 5)]
            cv2.line(
                image, ends[0], ends[1], shade, max(1, int((high[1] - low[1]) * rng.uniform(0.03, 0.12))), cv2.LINE_AA
            )

    def _backdrop(self, width: int, height: int) -> tuple[Luma, float]:
        """Return a generated texture, or a window of a real frame with its plates erased.

        The second value is the width, in pixels, up to which plates may remain in it.
        """
        rng = self._rng
        if rng.random() < 0.45:
            return backdrops.texture(rng, height, width), 0.0
        index = int(rng.integers(len(self._frames.luma)))
        frame, boxes = self._frames.luma[index], self._frames.boxes[index]
        scale = float(np.exp(rng.uniform(np.log(max(width / frame.shape[1], height / frame.shape[0])), np.log(4.0))))
        reach = np.array((width, height)) / scale
        origin = rng.uniform(0, 1, 2) * (np.array((frame.shape[1], frame.shape[0])) - reach)
        window = _window(frame, origin, scale, width, height)
        _erase(window, (np.concatenate([boxes, self._frames.doubtful[index]]) - np.tile(origin, 2)) * scale)
        if rng.random() < 0.5:
            window = np.clip(255.0 * (window / 255.0) ** rng.uniform(0.35, 0.9), 0, 255).astype(np.uint8)
        return (window[:, ::-1].copy() if rng.random() < 0.5 else window), LABELLED_WIDTH_PX * scale

    def _generated(self, width: int, height: int) -> Scene:
        rng = self._rng
        image, doubtful_px = self._backdrop(width, height)
        for _ in range(int(rng.choice([0, 1, 2, 4], p=[0.4, 0.3, 0.2, 0.1]))):
            backdrops.sign(rng, image)
        quads: list[Floats] = []
        count = int(rng.choice([0, 1, 2, 4], p=[0.14, 0.56, 0.2, 0.1]))
        for number in range(max(1, count)):
            least_share = 0.75 if count <= 1 else 0.3
            quad = self._place(width, height, least_share, quads)
            if quad is None:
                continue
            plate = self._plate()
            quad = quad(plate.shape[1] / plate.shape[0])
            if not _all_inside(quad, width, height):
                continue
            low, high = quad.min(0), quad.max(0)
            if rng.random() < 0.78:
                centre, size = (low + high) / 2, high - low
                true_width = size[0] * (1.0 if size[0] / max(size[1], 1) > 2.9 else 1.65)
                backdrops.vehicle(
                    rng, image, (centre[0], centre[1], size[0], size[1]), true_width * rng.uniform(2.6, 4.6)
                )
                quads = [other for other in quads if not _near(other, centre, true_width * 2.5)]
            if number < count:
                quads.append(self._attach(image, plate, quad, None))
        return Scene(image, np.array(quads, np.float32).reshape(-1, 4, 2), np.ones(len(quads), bool), doubtful_px)

    def _place(self, width: int, height: int, most_share: float, taken: list[Floats]):  # noqa: ANN202
        """Return a function from a plate's aspect ratio to its corners at a free position; None if there is none."""
        rng = self._rng
        wide = self._wanted_width(width, most_share=most_share)
        for _ in range(6):
            centre = rng.uniform(0.04, 0.96, 2) * (width, height)
            if all(np.abs(other.mean(0) - centre).max() > np.ptp(other[:, 0]) + wide for other in taken):
                angles = plate_pose.random_angles(rng)
                return lambda aspect: (
                    plate_pose.corners_seen(rng, aspect, **angles) * wide * (1.0 if aspect > 2.9 else 0.75) + centre
                ).astype(np.float32)
        return None


def _contrast(image: Luma, quad: Floats) -> float:
    low, high = np.maximum(quad.min(0), 0).astype(int), np.ceil(quad.max(0)).astype(int)
    return float(np.std(image[low[1] : high[1], low[0] : high[0]]))


def _near(quad: Floats, centre: Floats, reach: float) -> bool:
    return bool(np.abs(quad.mean(0) - centre).max() < reach)


def _window(frame: Luma, origin: NDArray, scale: float, width: int, height: int) -> Luma:
    """Return a scaled window of a frame; areas outside the frame are grey, as in a letterbox."""
    if scale < 0.7:
        frame = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        origin, scale = origin * scale, 1.0
    transform = np.array(
        [[scale, 0, (0.5 - origin[0]) * scale - 0.5], [0, scale, (0.5 - origin[1]) * scale - 0.5]], np.float32
    )
    mode = cv2.INTER_CUBIC if scale > 1.5 else cv2.INTER_LINEAR
    return cv2.warpAffine(
        frame, transform, (width, height), flags=mode, borderMode=cv2.BORDER_CONSTANT, borderValue=114
    )


def _visibility(boxes: Floats, width: int, height: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which boxes are entirely inside and large enough, and which are partly inside or too small."""
    size = boxes[:, 2:] - boxes[:, :2]
    inside = (boxes[:, 0] > -0.06 * size[:, 0]) & (boxes[:, 2] < width + 0.06 * size[:, 0])
    inside &= (
        (boxes[:, 1] > -0.06 * size[:, 1]) & (boxes[:, 3] < height + 0.06 * size[:, 1]) & (size[:, 0] >= LEAST_WIDTH_PX)
    )
    touching = (boxes[:, 2] > 0) & (boxes[:, 0] < width) & (boxes[:, 3] > 0) & (boxes[:, 1] < height)
    return inside, touching & ~inside


def _all_inside(quad: Floats, width: int, height: int) -> bool:
    return bool(quad.min() > -1 and quad[:, 0].max() < width + 1 and quad[:, 1].max() < height + 1)


def _quads_of(boxes: Floats) -> Floats:
    x0, y0, x1, y1 = boxes.T
    return np.stack([x0, y0, x1, y0, x1, y1, x0, y1], 1).reshape(-1, 4, 2).astype(np.float32)


def _patch(image: Luma, box: Floats) -> Luma:
    x0, y0, x1, y1 = (int(v) for v in np.round(box))
    return image[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)].copy()


def _erase(image: Luma, boxes: Floats) -> None:
    """Erase boxes by interpolating between the rows above and below them."""
    height, width = image.shape
    for box in boxes:
        grow = (box[2:] - box[:2]) * 0.07 + 1
        x0, y0 = (int(v) for v in np.maximum(np.floor(box[:2] - grow), 0))
        x1, y1 = (int(v) for v in np.minimum(np.ceil(box[2:] + grow), (width, height)))
        if x1 - x0 < 1 or y1 - y0 < 1:
            continue
        above, below = (
            image[max(0, y0 - 1), x0:x1].astype(np.float32),
            image[min(height - 1, y1), x0:x1].astype(np.float32),
        )
        t = np.linspace(0, 1, y1 - y0, dtype=np.float32)[:, None]
        fill = above * (1 - t) + below * t
        image[y0:y1, x0:x1] = cv2.blur(fill, (max(1, (x1 - x0) // 6), 1)).astype(np.uint8)
