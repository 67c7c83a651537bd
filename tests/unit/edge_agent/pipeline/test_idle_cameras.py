"""The work that a camera causes when its scene is static or it is offline; work is counted, not timed."""

from __future__ import annotations

import random
from datetime import timedelta
from uuid import uuid4

import numpy as np

from edge_agent.camera.live import ConnectionLostError, LiveSource
from edge_agent.camera.settings import SourceSettings
from edge_agent.config import CameraSettings
from edge_agent.events.builder import BuiltEvent
from edge_agent.pipeline.build import build_pipeline
from edge_agent.pipeline.context import CameraContext, DeviceContext
from edge_agent.pipeline.timing import StageTimer
from edge_agent.types import ArrayPicture, Frame
from shared.clock import ManualClock
from tests.support.edge.builders import START
from tests.support.edge.pipeline_harness import Image, grainy, street
from tests.support.waiting import eventually
from tests.unit.edge_agent.pipeline.test_parked_cars import with_car


class CountingPicture(ArrayPicture):
    """A picture that counts the colour conversions that a decoder would have to do."""

    def __init__(self, image: Image, conversions: list[str]) -> None:
        super().__init__(image)
        self._conversions = conversions

    def bgr(self) -> Image:
        self._conversions.append("bgr")
        return super().bgr()

    def scaled_rgb(self, width: int, height: int) -> Image:
        self._conversions.append("rgb")
        return super().scaled_rgb(width, height)


class CountingTimer(StageTimer):
    """Counts how often each stage runs."""

    def __init__(self) -> None:
        super().__init__(self._count)
        self._readings = 0

    def _count(self) -> float:
        self._readings += 1
        return float(self._readings)

    def runs(self, stage: str) -> int:
        """Return the number of runs: each run takes one unit of this timer's time."""
        return round(self.seconds.get(stage, 0.0))


def run_pipeline(images: list[Image]) -> tuple[CountingTimer, list[str], list[BuiltEvent]]:
    """Run the pictures through a camera's pipeline; return stage counts, colour conversions and events."""
    timer, conversions, events = CountingTimer(), list[str](), list[BuiltEvent]()
    camera = CameraSettings.model_validate({"id": "yard", "source": "none", "model": {"name": "none"}})
    pipeline = build_pipeline(
        camera,
        context=CameraContext(
            device=DeviceContext(site_id="site", device_id="device", publish=events.append, new_id=uuid4), timer=timer
        ),
        model=None,
        run_id="test",
    )
    for index, image in enumerate(images):
        picture = CountingPicture(image, conversions)
        at = START + timedelta(seconds=index / 10)
        pipeline.process(Frame(number=index + 1, timestamp=at, time_s=index / 10, picture=picture))
    pipeline.close()
    return timer, conversions, events


def test_edge_40_a_static_scene_runs_no_detector_and_converts_no_colours() -> None:
    """In 30 s of noise, motion reads the luma of each frame, and no other stage runs."""
    scene = street(480, 270)
    timer, conversions, events = run_pipeline([grainy(scene, index) for index in range(300)])
    assert timer.runs("motion") == 300
    assert {stage: timer.runs(stage) for stage in ("detect", "track", "snapshot", "publish")} == {
        "detect": 0,
        "track": 0,
        "snapshot": 0,
        "publish": 0,
    }
    assert (conversions, events) == ([], [])


def test_edge_40_a_parked_car_is_detected_rarely() -> None:
    """In 30 s, the detector runs every two seconds, and a few times more while the car becomes background."""
    scene = street(480, 270)
    coming = [grainy(with_car(scene, min(-120 + i * 8.0, 200), y=70, shade=225), i) for i in range(150)]
    parked = [grainy(with_car(scene, 200, y=70, shade=225), i) for i in range(150, 450)]
    before, _, _ = run_pipeline(coming)
    after, _, _ = run_pipeline(coming + parked)
    assert before.runs("detect") > 20
    assert 5 <= after.runs("detect") - before.runs("detect") <= 30


def test_edge_40_an_offline_camera_is_retried_at_long_intervals() -> None:
    """In eight hours without an answer, attempts are at least 5 s apart, and no frame is returned."""
    clock = ManualClock()
    attempts: list[float] = []

    def connect() -> object:
        attempts.append(clock.monotonic())
        raise ConnectionLostError("no route")

    source = LiveSource(
        connect=connect,  # type: ignore[arg-type]
        source="cam",
        settings=SourceSettings(),
        clock=clock,
        rng=random.Random(3),
        wait=clock.advance,
    )
    eventually(lambda: clock.monotonic() > 8 * 3600, within_s=60)
    assert source.read(0.0) is None
    source.close()
    within = np.array([at for at in attempts if at <= 8 * 3600])
    assert len(within) < 8 * 3600 / 5
    assert np.diff(within)[5:].min() >= 4.9
