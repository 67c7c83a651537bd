"""How sources behave: timeouts, reconnecting, decoding. One section of the agent's configuration."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class SourceSettings(BaseModel):
    """Defaults suit a network camera; files and the synthetic scene use only the decoding part and ``pace``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    open_timeout_s: Seconds = Field(default=10.0, description="How long a camera may take to answer.")
    watchdog_s: Seconds = Field(
        default=10.0, description="A connected camera that gives no fresh picture for this long is connected anew."
    )
    max_lateness_s: Seconds = Field(
        default=1.0,
        description="A picture that arrives later than this, by the timestamps of its stream, was held back by a stall "
        "or a cache and is dropped. Raising it lets older pictures through, stamped with the time of their capture. "
        "Cameras only.",
    )
    backoff_min_s: Seconds = Field(
        default=0.5,
        description="First wait before connecting again. It doubles with each failure, and a random part of up to half "
        "is taken off. Raising it asks a failing camera less often.",
    )
    backoff_max_s: Seconds = Field(
        default=10.0,
        description="Longest wait before connecting again: with `open_timeout_s`, how long a camera that is back may "
        "stay unnoticed. Raising it asks an absent camera less often.",
    )
    auth_backoff_s: Seconds = Field(
        default=300.0,
        description="Wait after a refused password: cameras lock their accounts after a handful of wrong ones. A tenth "
        "of it after the first refusal of a login that has worked before, as cameras that start refuse everybody.",
    )
    stable_after_s: Seconds = Field(
        default=10.0, description="A connection that lasted this long makes the backoff start from the bottom again."
    )
    rtsp_transport: Literal["tcp", "udp"] = Field(default="tcp", description="TCP loses nothing and passes firewalls.")
    decode_threads: int = Field(
        default=2,
        ge=0,
        le=64,
        description="Decoder threads for each source; 0 lets FFmpeg choose. Files are decoded ahead, a frame a thread; "
        "cameras in slices (where they send any), which adds no delay.",
    )
    hardware_decoder: str | None = Field(
        default=None,
        min_length=1,
        description="An FFmpeg hardware device (cuda, vaapi, …) or decoder (h264_v4l2m2m, …); None: software.",
    )
    elementary_stream_fps: float | None = Field(
        default=None,
        ge=0.1,
        le=480,
        allow_inf_nan=False,
        description="Frames a second of a recording that is a bare video stream (.h264, .h265, .m4v, .mjpeg) and has "
        "no timestamps. None: the rate that the stream announces, or 25 with a warning where it announces none. "
        "Raising it plays the recording faster, so that stays are shorter. Containers such as MP4 have their own "
        "times.",
    )
    pace: bool = Field(default=False, description="Play a file at its own speed instead of as fast as it decodes.")

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.backoff_min_s > self.backoff_max_s:
            raise ValueError(
                f"backoff_min_s ({self.backoff_min_s:g}) is above backoff_max_s ({self.backoff_max_s:g}); swap them"
            )
        return self
