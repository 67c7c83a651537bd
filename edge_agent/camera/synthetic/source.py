"""The synthetic scene as a frame source: in real time like a camera, or as fast as possible like a file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Annotated
from urllib.parse import parse_qsl

from pydantic import BeforeValidator, Field, ValidationError

from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import SourceStatus, StreamInfo
from edge_agent.camera.synthetic.gate import SyntheticGate
from edge_agent.types import ArrayPicture, Frame
from shared.clock import Clock
from shared.errors import ConfigurationError
from shared.settings import Settings

REPLAY_START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
"""Default start time of a scene that is not live. Fixed, so that replays give the same events."""
SCENES = ("gate",)


def _parse_size(value: object) -> object:
    return tuple(value.lower().split("x")) if isinstance(value, str) else value


Pixels = Annotated[int, Field(ge=64, le=4096)]


class GateOptions(Settings):
    """Options after ``synthetic:gate?``, as ``name=value`` joined by ``&``."""

    seed: int = Field(default=1, ge=0, le=2**31, description="Colours, plates, textures and noise.")
    vehicles: int = Field(default=8, ge=0, le=1000, description="Vehicles in one round; eight take a minute.")
    fps: float = Field(default=25.0, ge=1, le=240)
    size: Annotated[tuple[Pixels, Pixels], BeforeValidator(_parse_size)] = (1280, 720)
    live: bool | None = Field(default=None, description="Render in real time. Default: the setting ``pace``.")
    loop: bool | None = Field(default=None, description="Start again after a round. Default: the value of ``live``.")


def open_synthetic(
    text: str,
    *,
    settings: SourceSettings,
    clock: Clock,
    start_time: datetime | None = None,
    wait: Callable[[float], object] | None = None,
) -> SyntheticSource:
    """Open ``synthetic:gate[?options]``; raise ConfigurationError for an unknown scene or an invalid option."""
    options = _options(text)
    live = settings.pace if options.live is None else options.live
    gate = SyntheticGate(
        seed=options.seed,
        vehicles=options.vehicles,
        fps=options.fps,
        size=options.size,
        loop=live if options.loop is None else options.loop,
    )
    return SyntheticSource(gate=gate, text=text, live=live, clock=clock, start_time=start_time, wait=wait)


def check_synthetic(text: str, *, settings: SourceSettings) -> None:
    """Raise ConfigurationError for an unknown scene or an invalid option, without rendering the scene."""
    del settings
    _options(text)


def _options(text: str) -> GateOptions:
    scene, _, query = text.partition(":")[2].partition("?")
    if scene not in SCENES:
        raise ConfigurationError(f"there is no synthetic scene {scene!r}; expected synthetic:{SCENES[0]}")
    try:
        return GateOptions.model_validate(dict(parse_qsl(query, keep_blank_values=True)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"][:1])
        known = ", ".join(GateOptions.model_fields)
        raise ConfigurationError(f"{text}: option {name!r}: {first['msg']}; the options are {known}") from error


class SyntheticSource:
    """Frames of a ``SyntheticGate``. A frame's ``number`` is the index in the scene plus one, for the ground truth.

    If live, a late reader skips to the current frame; otherwise every frame is delivered, as fast as it is read.
    """

    def __init__(
        self,
        *,
        gate: SyntheticGate,
        text: str,
        live: bool,
        clock: Clock,
        start_time: datetime | None = None,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self.gate = gate
        self.live = live
        self._clock = clock
        self._closed = Event()
        self._wait = wait or self._closed.wait
        self._start_time = (start_time or (clock.now() if live else REPLAY_START)).astimezone(UTC)
        self._started_at_s: float | None = None
        self._next_index = 0
        self._last_frame_at: datetime | None = None
        self._info = StreamInfo(
            source=text,
            width=gate.width,
            height=gate.height,
            fps=gate.fps,
            codec="synthetic",
            frame_count=None if gate.loop else gate.frame_count,
        )

    def read(self, timeout_s: float) -> Frame | None:
        if self.live and not self._wait_until_due(timeout_s):
            return None
        if self.ended:
            return None
        index = self._next_index
        self._next_index = index + 1
        time_s = index / self.gate.fps
        self._last_frame_at = self._start_time + timedelta(seconds=time_s)
        return Frame(
            number=index + 1,
            timestamp=self._last_frame_at,
            time_s=time_s + (self._started_at_s or 0.0),
            picture=ArrayPicture(self.gate.render(index)),
        )

    @property
    def ended(self) -> bool:
        return self._closed.is_set() or (not self.gate.loop and self._next_index >= self.gate.frame_count)

    def info(self) -> StreamInfo:
        return self._info

    def status(self) -> SourceStatus:
        return SourceStatus(
            state="offline" if self.ended else "online", fps_actual=self.gate.fps, last_frame_at=self._last_frame_at
        )

    def close(self) -> None:
        self._closed.set()

    def _wait_until_due(self, timeout_s: float) -> bool:
        """Wait until the next frame is due, or skip to the current one; return False if none is due in time."""
        now_s = self._clock.monotonic()
        if self._started_at_s is None:
            self._started_at_s = now_s
        elapsed_s = now_s - self._started_at_s
        due_in_s = self._next_index / self.gate.fps - elapsed_s
        if due_in_s > 0:
            self._wait(min(due_in_s, timeout_s))
            return due_in_s <= timeout_s and not self._closed.is_set()
        self._next_index = max(self._next_index, int(elapsed_s * self.gate.fps + 1e-6))
        return True
