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
    silent,
)
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import StreamInfo
from shared.clock import Clock
from shared.errors import TransientError
from shared.stream_address import StreamAddress, parse_address

PROBE_OPTIONS = {
    # Learn the picture's size from the first few packets and keep them: with a key frame only every few seconds, a
    # camera whose first packets are thrown away shows nothing for as long. The frame rate is what it announces.
    "analyzeduration": "2000000",
    "probesize": "524288",
    "fpsprobesize": "0",
}
RTSP_OPTIONS = PROBE_OPTIONS | {"allowed_media_types": "video"}

FORMATS_WITHOUT_CLOCK = frozenset(["mpjpeg", "mjpeg", "hls", "dash"])
"""FFmpeg makes up the timestamps of MJPEG, and takes the others segment by segment, not as they are recorded."""

TROUBLES: tuple[tuple[type[Exception], str], ...] = (
    (av.error.HTTPNotFoundError, "the camera has no stream at this path (404); check the part after the host"),
    (av.error.HTTPBadRequestError, "the camera rejects the request (400)"),
    (av.error.HTTPClientError, "the camera rejects the request"),
    (av.error.HTTPServerError, "the camera reports an error of its own (5xx)"),
    (av.error.ConnectionRefusedError, "nothing listens there (connection refused); check host and port"),
    (av.error.ConnectionResetError, "the camera hung up"),
    (av.error.BrokenPipeError, "the camera hung up"),
    (av.error.EOFError, "the camera hung up"),
    (av.error.TimeoutError, "no answer in time"),
    (av.error.InvalidDataError, "it hangs up, or what it sends is not video that FFmpeg knows"),
    (av.error.ProtocolNotFoundError, "this FFmpeg does not speak that protocol"),
)
"""What FFmpeg's errors mean to the person who mounted the camera; first match wins."""


def check_ip_camera(text: str, *, settings: SourceSettings) -> None:
    """Raise ConfigurationError where ``text`` or the decoder cannot work; connects to nothing."""
    parse_address(text)
    check_hardware_decoder(settings.hardware_decoder)


def open_ip_camera(
    text: str, *, settings: SourceSettings, clock: Clock, start_time: datetime | None = None
) -> LiveSource:
    """Begin to read a network camera; raise ConfigurationError for an address that cannot be one.

    ``start_time`` has no meaning for cameras and is passed over.
    """
    del start_time
    check_ip_camera(text, settings=settings)
    address = parse_address(text)

    def connect() -> Connection:
        return NetworkConnection(address=address, settings=settings, clock=clock)

    return LiveSource(connect=connect, source=address.shown, settings=settings, clock=clock)


class NetworkConnection:
    """One conversation with a camera. Every wait in it is bounded: opening by its timeout, reading by the watchdog."""

    def __init__(self, *, address: StreamAddress, settings: SourceSettings, clock: Clock) -> None:
        """Connect; raise ConnectionLostError or AccessRefusedError."""
        self._address = address
        self._settings = settings
        self._clock = clock
        self._converter = PictureConverter()
        began_s = clock.monotonic()
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
            raise ConnectionLostError("the stream contains no video") from None
        except (av.error.FFmpegError, OSError, ValueError) as error:
            if clock.monotonic() - began_s >= settings.open_timeout_s:
                raise silent(settings.open_timeout_s) from None
            raise self._trouble(error) from None
        self._clocked = self._video.container.format.name not in FORMATS_WITHOUT_CLOCK
        self._damaged = 0
        self._pictures = self._decoded(self._video)

    def read(self) -> ReceivedPicture:
        """Return the next picture; raise ConnectionLostError when the watchdog's time passes without one."""
        try:
            frame = next(self._pictures, None)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise self._trouble(error) from None
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
        """Yield clean pictures; packets that come but show nothing do not feed the watchdog."""
        last_picture_s = self._clock.monotonic()
        # A photograph must not make the camera online: it is handed on once a second picture has shown it to be none.
        still, held = video.holds_stills, list[VideoFrame]()
        for packet in video.container.demux(video.stream):
            quiet_s = self._clock.monotonic() - last_picture_s
            try:
                frames = video.decode(packet)
            except av.error.InvalidDataError:
                frames = []
                self._damaged += 1
            clean = [frame for frame in frames if not frame.is_corrupt]
            self._damaged += len(frames) - len(clean)
            # Looked at before anything is handed on: when a read times out, FFmpeg gives what it had held back.
            if quiet_s >= self._settings.watchdog_s:
                if self._damaged:
                    raise ConnectionLostError(f"data is received, but no frame for {self._settings.watchdog_s:g} s")
                raise silent(self._settings.watchdog_s)
            for frame in clean:
                last_picture_s = self._clock.monotonic()
                held.append(frame)
            if len(held) > 1 or not still:
                still = False
                yield from held
                held.clear()
        if held:
            raise ConnectionLostError(
                f"this address returns a single image ({video.picture_format}), not a stream; use the "
                "camera's RTSP or MJPEG address, and `edge-agent read-plates` for the plates in a photograph"
            )

    def _trouble(self, error: Exception) -> TransientError:
        """Say in plain words what went wrong, without the address that FFmpeg puts into its errors."""
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
            return silent(self._settings.watchdog_s)
        for kind, words in TROUBLES:
            if isinstance(error, kind):
                return ConnectionLostError(words)
        reason = str(getattr(error, "strerror", None) or type(error).__name__)
        return ConnectionLostError(
            f"cannot be reached ({self._address.mask(reason)}); check the address and the network"
        )


def _options(url: str, settings: SourceSettings) -> dict[str, str]:
    if url.lower().startswith("rtsp"):
        return RTSP_OPTIONS | {"rtsp_transport": settings.rtsp_transport}
    return dict(PROBE_OPTIONS)
