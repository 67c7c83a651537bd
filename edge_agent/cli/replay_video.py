"""``edge-agent replay --video``: writes the recording with boxes, zones, lines and counts drawn on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_agent.events.settings import EventSettings
from edge_agent.images.annotate import BoxLabel, class_color, draw_boxes
from edge_agent.images.overlay import LineOverlay, ZoneOverlay, draw_corners, draw_overlay
from edge_agent.images.video_file import VideoFile
from edge_agent.pipeline.pipeline import SceneView
from edge_agent.types import Frame
from shared.events import Event, RuleEvent

CAPTION_S = 2.0
"""Display time of a rule event in the caption at the bottom of the picture."""


class ReplayVideo:
    """Draws each frame of a replay after the pipeline has processed it."""

    def __init__(self, path: Path, *, settings: EventSettings, fps: float | None) -> None:
        self._settings = settings
        self._file = VideoFile(path, fps=fps or 0.0)
        self._crossings: dict[str, Counter[str]] = {line.name: Counter() for line in settings.lines}
        self._captions: list[tuple[float, str]] = []
        self._now_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def note(self, event: Event) -> None:
        """Add an event: line crossings are counted, and rule events are shown in the caption."""
        if not isinstance(event, RuleEvent):
            return
        data = event.event_data
        if data.rule == "line_crossed":
            self._crossings[data.name][data.direction or "any"] += 1
        self._captions.append(
            (self._now_s, " ".join(filter(None, (data.class_name, data.rule, data.name, data.direction))))
        )

    def add(self, frame: Frame, scene: SceneView, *, off: Collection[str] = ()) -> None:
        """Draw one frame and append it. Frame times must not decrease.

        ``off`` names the zones and lines whose schedules are inactive: ``zone NAME``, ``line NAME``.
        """
        self._now_s = frame.time_s
        self._captions = [shown for shown in self._captions if frame.time_s - shown[0] <= CAPTION_S]
        boxes = [
            BoxLabel(each.xyxy, each.class_name, each.score, each.track_id)
            for each in scene.objects
            if each.track_id not in scene.uncertain
        ]
        uncertain = [
            (each.xyxy, class_color(each.class_name)) for each in scene.objects if each.track_id in scene.uncertain
        ]
        drawn = draw_overlay(
            draw_boxes(draw_corners(frame.picture.bgr(), uncertain), boxes),
            zones=self._zones(scene, off),
            lines=self._lines(off),
            caption=_caption(frame, [text for _, text in self._captions]),
        )
        self._file.write(drawn, time_s=frame.time_s)

    def _zones(self, scene: SceneView, off: Collection[str]) -> list[ZoneOverlay]:
        return [
            ZoneOverlay(
                zone.name, zone.polygon, scene.occupancy.get(zone.name, 0), active=f"zone {zone.name}" not in off
            )
            for zone in self._settings.zones
        ]

    def _lines(self, off: Collection[str]) -> list[LineOverlay]:
        return [
            LineOverlay(line.name, line.corners, self._crossings[line.name], active=f"line {line.name}" not in off)
            for line in self._settings.lines
        ]


def _caption(frame: Frame, reports: Sequence[str]) -> str:
    minutes, seconds = divmod(frame.time_s, 60)
    return "   ".join((f"{int(minutes):02d}:{seconds:04.1f}", *reports[-3:]))
