"""A frame source that plays a script: frames, pauses and errors."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from edge_agent.camera.source import SourceStatus, StreamInfo
from edge_agent.types import Frame
from shared.heartbeat import CameraState


class FakeSource:
    """A ``FrameSource`` that yields ``frames`` one by one and then ends, or with ``endless`` gives no more frames."""

    live = True

    def __init__(self, frames: Sequence[Frame | Exception], *, endless: bool = True) -> None:
        self._frames = list(frames)
        self._endless = endless
        self._silence = threading.Event()
        self._size = (320, 180)
        self.state: CameraState = "online"
        self.error: str | None = None
        self.closed = False

    def add(self, frames: Sequence[Frame | Exception]) -> None:
        """Append frames, while the source is being read."""
        self._frames.extend(frames)

    def read(self, timeout_s: float) -> Frame | None:
        if not self._frames:
            self._silence.wait(min(timeout_s, 0.01))
            return None
        item = self._frames.pop(0)
        if isinstance(item, Exception):
            raise item
        self._size = (item.width, item.height)
        return item

    @property
    def remaining(self) -> int:
        """Frames that have not been read yet."""
        return len(self._frames)

    @property
    def ended(self) -> bool:
        return not self._frames and not self._endless

    def info(self) -> StreamInfo:
        return StreamInfo(source="fake", width=self._size[0], height=self._size[1], fps=10.0, codec="fake")

    def status(self) -> SourceStatus:
        return SourceStatus(state=self.state, error=self.error, fps_actual=9.5)

    def close(self) -> None:
        self.closed = True
        self._silence.set()


class FakeSources:
    """Stands for ``open_source``: returns the given sources, or raises the given errors, in order."""

    def __init__(self, *prepared: FakeSource | Exception) -> None:
        self._prepared = list(prepared)
        self.opened: list[str] = []

    def __call__(self, text: str, **_: Any) -> FakeSource:
        self.opened.append(text)
        item = self._prepared.pop(0) if len(self._prepared) > 1 else self._prepared[0]
        if isinstance(item, Exception):
            raise item
        return item
