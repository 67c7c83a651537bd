"""Runs drawn scenes through the pipeline of one camera without a model and collects the events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.config import CameraSettings
from edge_agent.device.camera_counters import CameraCounters
from edge_agent.pipeline.build import build_pipeline
from edge_agent.pipeline.context import CameraContext, DeviceContext
from edge_agent.pipeline.timing import StageTimer
from edge_agent.types import ArrayPicture, Frame
from shared.events import Event, MotionEvent, TrackingEvent
from tests.support.edge.builders import START

FPS = 10.0
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Reported:
    """The events of a scene."""

    events: list[Event]

    @property
    def motion(self) -> list[MotionEvent]:
        return [event for event in self.events if isinstance(event, MotionEvent)]

    def ids(self, action: str) -> list[int]:
        """Return the track ids of the tracking events with this action, in order."""
        return [
            event.event_data.track_id
            for event in self.events
            if isinstance(event, TrackingEvent) and event.event_data.tracking_action == action
        ]


def watch(pictures: Iterable[Image], *, fps: float = FPS, counters: CameraCounters | None = None) -> Reported:
    """Run BGR pictures through a new pipeline with the default settings and no model."""
    counters = counters or CameraCounters()
    camera = CameraSettings.model_validate({"id": "yard", "source": "none", "model": {"name": "none"}})
    events: list[Event] = []
    pipeline = build_pipeline(
        camera,
        context=CameraContext(
            device=DeviceContext(
                site_id="site", device_id="device", publish=lambda built: events.append(built.event), new_id=uuid4
            ),
            counters=counters,
            timer=StageTimer(counters=counters),
        ),
        model=None,
        run_id="test",
    )
    for index, picture in enumerate(pictures):
        time_s = index / fps
        pipeline.process(
            Frame(
                number=index + 1,
                timestamp=START + timedelta(seconds=time_s),
                time_s=time_s,
                picture=ArrayPicture(picture),
            )
        )
    pipeline.finish()
    pipeline.close()
    return Reported(events)


def street(width: int = 960, height: int = 540, *, seed: int = 5) -> Image:
    """A scene with texture and hard edges everywhere."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(rng.uniform(70.0, 150.0, (height // 12, width // 12)).astype(np.float32), (width, height))
    for _ in range(60):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        corner = (x + int(rng.integers(20, 120)), y + int(rng.integers(20, 90)))
        cv2.rectangle(ground, (x, y), corner, float(rng.integers(30, 225)), cv2.FILLED)
    return np.asarray(cv2.cvtColor(cv2.convertScaleAbs(ground), cv2.COLOR_GRAY2BGR), np.uint8)


def grainy(picture: Image, index: int, *, levels: float = 2.5) -> Image:
    """Return the picture with a sensor's noise."""
    height, width = picture.shape[:2]
    rng = np.random.default_rng([9, index])
    grain = cv2.resize(rng.normal(0.0, levels, (height, width // 2)).astype(np.float32), (width, height))
    return np.asarray(cv2.convertScaleAbs(picture.astype(np.float32) + grain[..., None]), np.uint8)


def with_walker(picture: Image, x: float, *, y: int = 200, width: int = 50, height: int = 130) -> Image:
    """Return the picture with a person in dark clothes whose left side is at ``x``."""
    painted = picture.copy()
    left, right = max(0, round(x)), max(0, round(x) + width)
    painted[y : y + height, left:right] = (25, 22, 20)
    painted[y : y + height // 5, left:right] = (140, 170, 205)
    return painted
