"""How sources behave: timeouts, reconnecting, decoding. One section of the agent's configuration."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.settings import Settings

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class SourceSettings(Settings):
    """Defaults suit a network camera; files and the synthetic scene use only the decoding part and ``pace``."""

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


class PictureHealthSettings(Settings):
    """When a camera's picture counts as frozen, covered or garbled; the camera is then `degraded` with that cause."""

    enabled: bool = Field(
        default=True,
        description="False for sources whose picture may stand still or be blank, such as a screen or a drawing.",
    )
    interval_s: Seconds = Field(
        default=1.0,
        description="A picture is examined this often. Raising it saves a little work and finds faults later.",
    )
    frozen_after_s: Seconds = Field(
        default=30.0,
        description="A picture that has not changed for this long is frozen. It must exceed the interval between the "
        "camera's key frames, since some cameras send nothing new in between. Raising it finds frozen pictures later.",
    )
    frozen_changed_ratio: float = Field(
        default=0.001,
        ge=0,
        lt=1,
        description="Share of the pixels that may change in a frozen picture. The noise of a living one changes more. "
        "Raising it finds pictures in which only a clock runs, and takes small movement in a noiseless picture for "
        "none.",
    )
    no_detail_after_s: Seconds = Field(
        default=10.0,
        description="A picture without any detail for this long is `covered`, `black` or `overexposed`, by its "
        "brightness. Raising it finds a covered lens later.",
    )
    detail_levels: float = Field(
        default=2.0,
        gt=0,
        le=64,
        description="What stands out from its surroundings by this many brightness levels (of 255) is detail. "
        "Raising it takes fainter pictures, such as in fog, for covered.",
    )
    garbled_after_s: Seconds = Field(
        default=5.0,
        description="A picture that is garbled for this long is `garbled`.",
    )
    grey_ratio: float = Field(
        default=0.4,
        gt=0,
        le=1,
        description="Share of the pixels that are exactly the grey that a decoder fills in (128) in a garbled picture.",
    )
    blockiness: float = Field(
        default=1.9,
        gt=1,
        le=100,
        description="Steps at the borders of blocks against steps elsewhere, in garbled pictures on average. Raising "
        "it overlooks more damage; sound pictures are near 1.",
    )
    recover_after_s: Seconds = Field(
        default=3.0, description="A fault has ended when the picture has been sound for this long."
    )
