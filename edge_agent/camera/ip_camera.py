"""Network cameras: RTSP over TCP (or UDP), and streams over HTTP such as MJPEG and HLS, decoded by FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import av.error
from av.video.frame import VideoFrame

from edge_agent.camera.decode.av_picture import AvPicture, PictureConverter
from edge_agent.camera.decode.decoder import NoVideoError, OpenVideo, check_hardware_decoder, open_video
from edge_agent.camera.live import (
    AccessRefusedError,
    Connection,
    ConnectionLostError,
    LiveSource,
    ReceivedPicture,
    no_data_error,
)
from edge_agent.camera.rtsp_login import fitting_login
from edge_agent.camera.server_contact import NO_ROUTE
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import StreamInfo
from shared.clock import Clock
from shared.commands import ConnectionFailure
from shared.errors import TransientError
from shared.stream_address import StreamAddress, parse_address

PROBE_OPTIONS = {
    # Detect the frame size from the first packets and keep them: with a key frame every few seconds, discarding them
    # would delay the first frame by as long. The frame rate is the declared one.
    "analyzeduration": "2000000",
    "probesize": "524288",
    "fpsprobesize": "0",
}
RTSP_OPTIONS = PROBE_OPTIONS | {"allowed_media_types": "video"}

FORMATS_WITHOUT_CLOCK = frozenset(["mpjpeg", "mjpeg", "hls", "dash"])
"""FFmpeg invents the timestamps of MJPEG, and receives HLS and DASH segment by segment instead of in real time."""

ERRORS: tuple[tuple[type[Exception], ConnectionFailure, str], ...] = (
    (
        av.error.HTTPNotFoundError,
        "no_such_stream",
        "the camera has no stream at this path (404); check the part after the host",
    ),
    (av.error.HTTPBadRequestError, "failed", "the camera rejected the request (400)"),
    (av.error.HTTPClientError, "failed", "the camera rejected the request"),
    (av.error.HTTPServerError, "failed", "the camera reported an internal error (5xx)"),
    (av.error.ConnectionRefusedError, "connection_refused", "connection refused; check host and port"),
    (av.error.ConnectionResetError, "failed", "the camera closed the connection"),
    (av.error.BrokenPipeError, "failed", "the camera closed the connection"),
    (av.error.EOFError, "failed", "the camera closed the connection"),
    (av.error.TimeoutError, "timed_out", "the camera did not answer in time"),
    (av.error.InvalidDataError, "not_video", "the camera closed the connection, or FFmpeg does not support its data"),
    (av.error.ProtocolNotFoundError, "failed", "the installed FFmpeg does not support this protocol"),
)
"""Causes and texts, as shown to the user, of FFmpeg's errors; the first match is used."""


def check_ip_camera(text: str, *, settings: SourceSettings) -> None:
    """Raise ConfigurationError if the address or the decoder is invalid; do not connect."""
    fitting_login(parse_address(text))
    check_hardware_decoder(settings.hardware_decoder)


def open_ip_camera(
    text: str, *, settings: SourceSettings, clock: Clock, start_time: datetime | None = None
) -> LiveSource:
    """Start reading a network camera; raise ConfigurationError if the address is invalid.

    ``start_time`` is ignored for cameras.
    """
    del start_time
    check_ip_camera(text, settings=settings)
    address = fitting_login(parse_address(text))

    def connect() -> Connection:
        return NetworkConnection(address=address, settings=settings, clock=clock)

    return LiveSource(connect=connect, source=address.shown, settings=settings, clock=clock)


class NetworkConnection:
    """One connection to a camera. All waits are bounded: opening by its timeout, reading by the watchdog."""

    def __init__(self, *, address: StreamAddress, settings: SourceSettings, clock: Clock) -> None:
        """Connect; raise ConnectionLostError or AccessRefusedError if that fails."""
        self._address = address
        self._settings = settings
        self._clock = clock
        self._converter = PictureConverter()
        started_s = clock.monotonic()
        try:
            self._video = open_video(
                address.url,
                hardware_decoder=settings.hardware_decoder,
                threads=settings.decode_threads,
                threading="SLICE",
                options=_options(address.url, settings),
                timeout_s=(settings.open_timeout_s, settings.watchdog_s),
            )
        except NoVideoError:
            raise ConnectionLostError("the stream contains no video", cause="not_video") from None
        except (av.error.FFmpegError, OSError, ValueError) as error:
            if clock.monotonic() - started_s >= settings.open_timeout_s:
                raise no_data_error(settings.open_timeout_s) from None
            raise self._explained(error) from None
        self._clocked = self._video.container.format.name not in FORMATS_WITHOUT_CLOCK
        self._damaged = 0
        self._pictures = self._decoded(self._video)

    def read(self) -> ReceivedPicture:
        """Return the next picture; raise ConnectionLostError if none arrives within the watchdog's time."""
        try:
            frame = next(self._pictures, None)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise self._explained(error) from None
        if frame is None:
            raise ConnectionLostError("the camera ended the stream")
        damaged, self._damaged = self._damaged, 0
        return ReceivedPicture(
            AvPicture(frame, converter=self._converter, rotation=frame.rotation),
            pts_s=frame.time,
            clocked=self._clocked,
            damaged=damaged,
        )

    def info(self) -> StreamInfo:
        context = self._video.stream.codec_context
        return StreamInfo(
            source=self._address.shown,
            width=context.width,
            height=context.height,
            fps=self._video.fps,
            codec=context.name,
        )

    def close(self) -> None:
        self._video.container.close()

    def _decoded(self, video: OpenVideo) -> Iterator[VideoFrame]:
        """Yield undamaged pictures. Packets without a picture do not reset the watchdog."""
        last_picture_s = self._clock.monotonic()
        # A single photograph must not set the camera online: the first picture is held until there is a second one.
        single, held = video.holds_stills, list[VideoFrame]()
        for packet in video.container.demux(video.stream):
            quiet_s = self._clock.monotonic() - last_picture_s
            try:
                frames = video.decode(packet)
            except av.error.InvalidDataError:
                frames = []
                self._damaged += 1
            clean = [frame for frame in frames if not frame.is_corrupt]
            self._damaged += len(frames) - len(clean)
            # Checked before pictures are yielded: after a read timeout, FFmpeg returns pictures that it had buffered.
            if quiet_s >= self._settings.watchdog_s:
                if self._damaged:
                    raise ConnectionLostError(f"data is received, but no frame for {self._settings.watchdog_s:g} s")
                raise no_data_error(self._settings.watchdog_s)
            for frame in clean:
                last_picture_s = self._clock.monotonic()
                held.append(frame)
            if len(held) > 1 or not single:
                single = False
                yield from held
                held.clear()
        if held:
            raise ConnectionLostError(
                f"this address returns a single image ({video.picture_format}), not a stream; use the "
                "camera's RTSP or MJPEG address, and `edge-agent read-plates` for the plates in a photograph",
                cause="not_video",
            )

    def _explained(self, error: Exception) -> TransientError:
        """Convert FFmpeg's error to one for the user, without the address that FFmpeg adds to its texts."""
        if isinstance(error, av.error.HTTPUnauthorizedError):
            if self._address.has_login:
                return AccessRefusedError(
                    "the camera refused the user name or password (401); correct them in the address"
                )
            return AccessRefusedError(
                "the camera requires a user name and password (401): rtsp://USER:PASSWORD@HOST/PATH"
            )
        if isinstance(error, av.error.HTTPForbiddenError):
            return AccessRefusedError("the camera denies this user access to the stream (403)")
        if isinstance(error, av.error.ExitError):
            return no_data_error(self._settings.watchdog_s)
        for kind, cause, text in ERRORS:
            if isinstance(error, kind):
                return ConnectionLostError(text, cause=cause)
        reason = str(getattr(error, "strerror", None) or type(error).__name__)
        return ConnectionLostError(
            f"cannot be reached ({self._address.mask(reason)}); check the address and the network",
            cause="host_unreachable" if getattr(error, "errno", None) in NO_ROUTE else "failed",
        )


def _options(url: str, settings: SourceSettings) -> dict[str, str]:
    if url.lower().startswith("rtsp"):
        return RTSP_OPTIONS | {"rtsp_transport": settings.rtsp_transport}
    return dict(PROBE_OPTIONS)
