"""Objects that cross the picture in about a second, processed by the whole pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from edge_agent.config import CameraSettings
from edge_agent.detect.blobs import BlobDetector
from edge_agent.detect.composite import BlobFrameDetector, Detector
from edge_agent.detect.gate import DetectionGate
from edge_agent.events.builder import BuiltEvent
from edge_agent.events.rules.stationary import Stationarity
from edge_agent.events.rules.track_lifecycle import TrackLifecycle
from edge_agent.motion.adaptive import AdaptiveBackground
from edge_agent.pipeline.context import CameraContext, DeviceContext
from edge_agent.pipeline.pipeline import CameraPipeline, TrackingStage
from edge_agent.pipeline.timing import StageTimer
from edge_agent.track.tracker import ByteTracker
from edge_agent.types import ArrayPicture, Detections, Frame, Motion, ViewChange
from shared.events import Event, ModelInfo, RuleEvent, TrackingEvent
from shared.ids import Uuid7Generator
from tests.support.edge.builders import START

WIDTH, HEIGHT, FPS = 320, 180, 10.0
SMALL_CAR, LARGE_CAR = (60, 30), (90, 70)
"""The large car covers a tenth of the picture, so motion delays its first frame."""
PASSES, PASS_S = 8, 3.5
PAINT = (40, 200, 90)


def _places(seconds: float, car_width: int) -> Iterator[float]:
    """Return the car's left edge for each frame of eight passes in alternating directions, each with another phase."""
    for number in range(PASSES):
        for step in range(round(PASS_S * FPS)):
            share = (step / FPS - 1.5 + number / PASSES / FPS) / seconds
            yield (share if number % 2 == 0 else 1.0 - share) * WIDTH - car_width / 2


def _scenes(count: int = 4) -> list[np.ndarray]:
    """Return copies of the empty scene, each with different noise."""
    noise = np.random.default_rng(3)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    scene = 100 + 20 * np.sin(columns / 9.0) * np.sin(rows / 7.0)
    planes = [scene + noise.normal(0.0, 2.0, scene.shape) for _ in range(count)]
    return [np.repeat(plane.astype(np.uint8)[:, :, None], 3, axis=2) for plane in planes]


def _image(scene: np.ndarray, left: float, car: tuple[int, int]) -> np.ndarray:
    image = scene.copy()
    start, end = max(round(left), 0), min(round(left) + car[0], WIDTH)
    if end > start:
        image[90 : 90 + car[1], start:end] = PAINT
        image[95:105, start:end:6] = 20
    return image


class PaintDetector:
    """Detects the car by its colour once half of it is in the picture."""

    labels = ("car",)
    model_info = ModelInfo(model_type="paint", version="1")

    def __init__(self, car_width: int) -> None:
        self._least_width = car_width / 2

    def detect(self, frame: Frame, motion: Motion) -> Detections:
        painted = (frame.picture.bgr() == np.array(PAINT, np.uint8)).all(axis=2)
        rows, columns = np.nonzero(painted)
        if len(columns) == 0 or np.ptp(columns) < self._least_width:
            return Detections()
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        return Detections(np.array([box], np.float32), np.array([0.85], np.float32), np.zeros(1, np.int32))

    def move_view(self, change: ViewChange) -> None:
        """Do nothing: the detector stores no positions."""

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def _events(detector: Detector, car: tuple[int, int], seconds: float, every: int) -> list[Event]:
    scenes = _scenes()
    places = _places(seconds, car[0])
    frames = (_image(scenes[number % len(scenes)], left, car) for number, left in enumerate(places))
    return _played(detector, frames, every)


def _played(detector: Detector, frames: Iterable[np.ndarray], every: int) -> list[Event]:
    """Process every n-th of these frames in a pipeline with two lines; return its events."""
    lines = [{"name": f"at-{x}", "points": [[x / 100, 1.0], [x / 100, 0.0]]} for x in (50, 53)]
    camera = CameraSettings.model_validate(
        {"id": "gate", "source": "x", "events": {"lines": lines}, "snapshots": {"enabled": False}}
    )
    built: list[BuiltEvent] = []
    timer = StageTimer()
    objects = TrackingStage(
        detector=detector,
        tracker=ByteTracker(camera.track, labels=detector.labels),
        lifecycle=TrackLifecycle(
            settings=camera.events, labels=detector.labels, uid_prefix="gate", stationarity=Stationarity()
        ),
        gate=DetectionGate(camera.gate),
        timer=timer,
    )
    device = DeviceContext(site_id="hq", device_id="box", publish=built.append, new_id=Uuid7Generator())
    context = CameraContext(device=device, timer=timer)
    pipeline = CameraPipeline(
        motion=AdaptiveBackground(settings=camera.motion),
        episodes=None,
        objects=objects,
        builder=context.event_builder(camera),
        context=context,
    )
    for number, image in enumerate(frames):
        if number % every == 0:
            time_s = number / FPS
            picture = ArrayPicture(image)
            timestamp = START.fromtimestamp(START.timestamp() + time_s, START.tzinfo)
            pipeline.process(Frame(number=number + 1, timestamp=timestamp, time_s=time_s, picture=picture))
    pipeline.finish()
    return [each.event for each in built]


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("seconds", [0.6, 0.8, 1.2])
@pytest.mark.parametrize("car", [SMALL_CAR, LARGE_CAR], ids=["small", "large"])
@pytest.mark.parametrize("detector", ["blobs", "paint"])
def test_edge_04_eight_of_eight_passes_cross_both_lines(
    detector: str, car: tuple[int, int], seconds: float, every: int
) -> None:
    """At 10 and at 5 frames per second, each pass enters, crosses both lines and leaves."""
    chosen = BlobFrameDetector(BlobDetector()) if detector == "blobs" else PaintDetector(car[0])
    events = _events(chosen, car, seconds, every)
    crossings = Counter(
        (each.event_data.name, each.event_data.direction) for each in events if isinstance(each, RuleEvent)
    )
    assert crossings == {(name, way): PASSES // 2 for name in ("at-50", "at-53") for way in ("left", "right")}
    actions = Counter(each.event_data.tracking_action for each in events if isinstance(each, TrackingEvent))
    assert (actions["entered"], actions["left"]) == (PASSES, PASSES)


@pytest.mark.parametrize("every", [1, 2])
def test_edge_04_two_objects_side_by_side_are_counted_separately(every: int) -> None:
    """Two objects cross side by side in 1.5 s: each line counts two crossings in each direction."""
    scenes = _scenes()
    frames = []
    for number in range(round(8 * FPS)):
        share = ((number / FPS) % 4.0 - 1.2) / 1.5
        image = scenes[number % len(scenes)].copy()
        place = round((share if number < 4 * FPS else 1.0 - share) * WIDTH)
        for top, size in ((20, (26, 56)), (110, (30, 50))):
            start, end = max(place - size[0] // 2, 0), min(place + size[0] // 2, WIDTH)
            if end > start:
                image[top : top + size[1], start:end] = PAINT
                image[top + 5 : top + 15, start:end:6] = 20
        frames.append(image)
    counts = Counter(
        (each.event_data.name, each.event_data.direction)
        for each in _played(BlobFrameDetector(BlobDetector()), frames, every)
        if isinstance(each, RuleEvent)
    )
    assert counts == {("at-50", "left"): 2, ("at-50", "right"): 2, ("at-53", "left"): 2, ("at-53", "right"): 2}
