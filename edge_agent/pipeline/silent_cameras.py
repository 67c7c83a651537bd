"""What a managed device remembers of the cameras that did not answer when it refused their configuration.

The refused version is tried again when they answer, and they do not hold up later versions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.config import CameraSettings
from edge_agent.pipeline.proof import same_source
from shared.commands import ConfigureCommand
from shared.retry import Backoff

FIRST_RETRY_S: Final = 10.0
LONGEST_PAUSE_S: Final = 600.0
"""Maximum seconds between two attempts, and so until a camera that is switched on is taken into use."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a camera failed its proof."""

    camera: CameraSettings
    reason: str
    is_silent: bool
    """Whether it does not answer, as opposed to settings or a model that do not work."""


class RefusedVersion:
    """A configuration that only cameras without an answer keep from being used, and when it is tried again."""

    def __init__(self, command: ConfigureCommand, *, now_s: float) -> None:
        self.command = command
        self.awaited: Sequence[CameraSettings] = ()
        """The cameras that must answer first."""
        self._backoff = Backoff(min_s=FIRST_RETRY_S, max_s=LONGEST_PAUSE_S)
        self._due_s = 0.0
        self.postpone(now_s)

    def is_due(self, now_s: float) -> bool:
        """Return whether it is time for the next attempt."""
        return now_s >= self._due_s

    def postpone(self, now_s: float, *, least_s: float = 0.0) -> None:
        """Count an attempt: the next one follows after a pause, which doubles, and not before ``least_s``."""
        self._due_s = now_s + max(self._backoff.failed(), least_s)


class SilentCameras:
    """The new cameras that did not answer, with the version that was refused because of each."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, CameraSettings]] = {}

    def excuses(self, camera: CameraSettings, *, version: int) -> bool:
        """Return whether an earlier version than ``version`` was refused because of the camera, at the same address."""
        refused = self._known.get(camera.id)
        return refused is not None and refused[0] < version and same_source(refused[1], camera)

    def remember(
        self, version: int, faults: Sequence[Fault], *, cameras: Sequence[CameraSettings], running: Collection[str]
    ) -> None:
        """Add the new cameras among the faults of a version; forget those that are not in its ``cameras`` any more.

        ``running`` are the ids of the cameras that are proved. A change of one of them is never excused.
        """
        ids = {camera.id for camera in cameras}
        self._known = {name: known for name, known in self._known.items() if name in ids}
        for fault in faults:
            if fault.is_silent and fault.camera.id not in running:
                self._known[fault.camera.id] = (version, fault.camera)

    def clear(self) -> None:
        """Forget all cameras: a later version was proved."""
        self._known = {}
