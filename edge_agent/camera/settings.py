"""Settings of frame sources: timeouts, reconnection, decoding and image health."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.settings import Settings

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class SourceSettings(Settings):
    """Connection and decoding of a source. Files and synthetic scenes use only the decoding settings and ``pace``."""

    open_timeout_s: Seconds = Field(
        default=10.0,
        description="Maximum seconds to wait for a camera to answer. Raising it tolerates slow cameras and detects "
        "absent ones later.",
    )
    watchdog_s: Seconds = Field(
        default=10.0,
        description="Seconds without a fresh frame after which the connection is closed and opened again. Raising it "
        "tolerates longer stalls and detects a dead connection later.",
    )
    max_lateness_s: Seconds = Field(
        default=1.0,
        description="Maximum delay of a frame against its stream timestamp, in seconds. Later frames, held back by a "
        "stall or a cache, are dropped. Raising it accepts older frames, stamped with their capture time. "
        "Cameras only.",
    )
    backoff_min_s: Seconds = Field(
        default=0.5,
        description="First delay before reconnecting, in seconds. It doubles with each failure, less a random part of "
        "up to one half. Raising it contacts a failing camera less often.",
    )
    backoff_max_s: Seconds = Field(
        default=10.0,
        description="Maximum delay before reconnecting, in seconds. Together with `open_timeout_s` it bounds how long "
        "a recovered camera stays offline. Raising it contacts an absent camera less often.",
    )
    auth_backoff_s: Seconds = Field(
        default=300.0,
        description="Delay after rejected credentials, in seconds, because cameras lock accounts after a few failed "
        "logins. After the first rejection of credentials that worked before, one tenth of it, because "
        "some cameras reject every login while they start. Raising it makes a lockout less likely.",
    )
    stable_after_s: Seconds = Field(
        default=10.0,
        description="Seconds after which a connection counts as stable and the reconnection delay is reset. Raising "
        "it keeps longer delays for unstable cameras.",
    )
    rtsp_transport: Literal["tcp", "udp"] = Field(
        default="tcp",
        description="RTSP transport protocol. `tcp` loses no packets and passes firewalls; `udp` suits cameras that "
        "do not support TCP.",
    )
    decode_threads: int = Field(
        default=2,
        ge=0,
        le=64,
        description="Decoder threads per source; 0 lets FFmpeg choose. Files use frame threading; cameras use slice "
        "threading, which adds no delay. Raising it decodes large frames faster on idle cores.",
    )
    hardware_decoder: str | None = Field(
        default=None,
        min_length=1,
        description="FFmpeg hardware device (`cuda`, `vaapi`, …) or decoder (`h264_v4l2m2m`, …). None: software "
        "decoding.",
    )
    elementary_stream_fps: float | None = Field(
        default=None,
        ge=0.1,
        le=480,
        allow_inf_nan=False,
        description="Frame rate, in frames per second, of a recording that is an elementary video stream (.h264, "
        ".h265, .m4v, .mjpeg) without timestamps. None: the rate declared by the stream, or 25 with a "
        "warning if it declares none. Raising it plays the recording faster, so dwell times become "
        "shorter. Containers such as MP4 have their own timestamps.",
    )
    pace: bool = Field(default=False, description="Play a file in real time instead of as fast as it can be decoded.")

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.backoff_min_s > self.backoff_max_s:
            raise ValueError(
                f"backoff_min_s ({self.backoff_min_s:g}) is above backoff_max_s ({self.backoff_max_s:g}); swap them"
            )
        return self


class PictureHealthSettings(Settings):
    """When a camera's image is frozen, covered or garbled. The camera status is then `degraded`, with that cause."""

    enabled: bool = Field(
        default=True,
        description="Check the image for faults. Disable it for sources whose image may be static or blank, such as a "
        "screen or a drawing.",
    )
    interval_s: Seconds = Field(
        default=1.0,
        description="Interval between checks, in seconds. Raising it saves a little CPU time and detects faults later.",
    )
    frozen_after_s: Seconds = Field(
        default=30.0,
        description="Seconds without change after which the image is `frozen`. It must exceed the camera's key-frame "
        "interval, since some cameras send no changes in between. Raising it detects frozen images later.",
    )
    frozen_changed_ratio: float = Field(
        default=0.001,
        ge=0,
        lt=1,
        description="Maximum fraction of changed pixels in a frozen image. Sensor noise changes more than this. "
        "Raising it detects frozen images with a running clock, and mistakes small movements in a "
        "noise-free image for a frozen one.",
    )
    no_detail_after_s: Seconds = Field(
        default=10.0,
        description="Seconds without detail after which the image is `covered`, `black` or `overexposed`, depending "
        "on its brightness. Raising it detects a covered lens later.",
    )
    detail_levels: float = Field(
        default=2.0,
        gt=0,
        le=64,
        description="Minimum local contrast of detail, in brightness levels (0 to 255). Raising it reports "
        "low-contrast images, such as fog, as covered.",
    )
    garbled_after_s: Seconds = Field(
        default=5.0,
        description="Seconds of decoding artefacts after which the image is `garbled`. Raising it detects a garbled "
        "image later.",
    )
    grey_ratio: float = Field(
        default=0.4,
        gt=0,
        le=1,
        description="Minimum fraction of pixels with the exact grey (128) that decoders use for missing data, in a "
        "garbled image. Raising it overlooks smaller damaged areas.",
    )
    blockiness: float = Field(
        default=1.9,
        gt=1,
        le=100,
        description="Minimum ratio of brightness steps at block borders to steps elsewhere, in a garbled image. "
        "Intact images are near 1. Raising it overlooks more damage.",
    )
    recover_after_s: Seconds = Field(
        default=3.0,
        description="Seconds without a fault after which the fault is cleared. Raising it avoids frequent status "
        "changes.",
    )
