"""A small real RTSP server for tests: H.264 over TCP, with switchable faults of real cameras.

It plays a clip in a loop at its frame rate to every client. It can refuse connections, send nothing, stall, close
connections, and require a password (Basic or Digest, RFC 2617).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal
from urllib.parse import quote

import av
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
MAX_PAYLOAD = 1400
CLOCK_RATE = 90_000
REALM, NONCE = "camera", "0a4f113b8c"


@dataclass
class Behaviour:
    """The server's faults; may be changed while it runs."""

    refuse: bool = False
    """Close each new connection at once."""
    mute: bool = False
    """Accept connections and send nothing."""
    stall: bool = False
    """Keep connections open but send no more pictures."""
    status: int | None = None
    """Answer DESCRIBE with this status."""
    garbage: bool = False
    """Send corrupt pictures."""
    hold: bool = False
    """Keep connections open and withhold the pictures. When this ends, send them all at once, as after a stall of the
    network."""
    cached: int = 0
    """Begin with a burst of this many pictures from before the client connected."""
    other: bool = False
    """Send the pictures of ``other`` from its next key frame on."""


@dataclass
class Seen:
    """A record of the clients' requests."""

    connections: int = 0
    plays: int = 0
    unauthorized: int = 0
    lines: list[str] = field(default_factory=list)


class RtspServer:
    """Serves ``frames`` at ``fps`` on loopback. Use as a context manager; ``url()`` returns its address."""

    def __init__(
        self,
        frames: Iterable[Image],
        *,
        fps: float = 25.0,
        auth: Literal["basic", "digest"] | None = None,
        user: str = "viewer",
        password: str = "",
        behaviour: Behaviour | None = None,
        other: Iterable[Image] | None = None,
    ) -> None:
        self._access_units = encode_h264(frames, fps)
        self._other_units = encode_h264(other, fps) if other is not None else []
        self._interval_s = 1 / fps
        self._auth, self._user, self._password = auth, user, password
        self.behaviour = behaviour or Behaviour()
        self.seen = Seen()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]
        self._stopping = threading.Event()
        self._clients: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def __enter__(self) -> RtspServer:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.drop()
        for thread in list(self._threads):
            thread.join(5)
        self._listener.close()

    def url(self, *, user: str | None = None, password: str | None = None, raw: bool = False) -> str:
        """Return the address, with credentials percent-encoded unless ``raw``."""
        if user is None:
            return f"rtsp://127.0.0.1:{self.port}/live"
        word = password or ""
        login = f"{user}:{word}" if raw else f"{quote(user, safe='')}:{quote(word, safe='')}"
        return f"rtsp://{login}@127.0.0.1:{self.port}/live"

    def drop(self) -> None:
        """Close all connections."""
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.seen.connections += 1
            if self.behaviour.refuse:
                client.close()
                continue
            with self._lock:
                self._clients.add(client)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(None)
        try:
            _Session(self, client).run()
        except OSError:
            pass
        finally:
            with self._lock:
                self._clients.discard(client)
            client.close()


class _Session:
    """The requests and responses of one client."""

    def __init__(self, server: RtspServer, client: socket.socket) -> None:
        self._server = server
        self._client = client
        self._writing = threading.Lock()
        self._over = threading.Event()
        self._player: threading.Thread | None = None
        self._sequence = 0

    def run(self) -> None:
        try:
            for method, headers in self._requests():
                self._server.seen.lines.append(method)
                if self._server.behaviour.mute:
                    continue
                self._answer(method, headers)
                if method == "TEARDOWN":
                    return
        finally:
            self._over.set()
            if self._player is not None:
                self._player.join(5)

    def _requests(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield requests; skip interleaved packets from the client (RTCP)."""
        buffer = b""
        while True:
            if buffer[:1] == b"$" and len(buffer) >= 4:
                length = 4 + struct.unpack(">H", buffer[2:4])[0]
                if len(buffer) >= length:
                    buffer = buffer[length:]
                    continue
            elif b"\r\n\r\n" in buffer:
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                pairs = (line.partition(":") for line in lines[1:])
                yield lines[0].split(" ")[0], {name.strip().lower(): value.strip() for name, _, value in pairs}
                continue
            piece = self._client.recv(4096)
            if not piece:
                return
            buffer += piece

    def _answer(self, method: str, headers: dict[str, str]) -> None:
        sequence = headers.get("cseq", "0")
        if method != "OPTIONS" and not self._may(method, headers.get("authorization", "")):
            self._server.seen.unauthorized += 1
            challenge = (
                f'Basic realm="{REALM}"'
                if self._server._auth == "basic"
                else f'Digest realm="{REALM}", nonce="{NONCE}", algorithm="MD5"'
            )
            self._reply(401, "Unauthorized", sequence, f"WWW-Authenticate: {challenge}")
        elif method == "OPTIONS":
            self._reply(200, "OK", sequence, "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER")
        elif method == "DESCRIBE":
            self._describe(sequence)
        elif method == "SETUP":
            transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"
            self._reply(200, "OK", sequence, transport, "Session: 1234567;timeout=60")
        elif method == "PLAY":
            self._reply(200, "OK", sequence, "Session: 1234567", "Range: npt=0-")
            self._server.seen.plays += 1
            self._player = threading.Thread(target=self._play, daemon=True)
            self._player.start()
        else:
            self._reply(200, "OK", sequence, "Session: 1234567")

    def _describe(self, sequence: str) -> None:
        if (status := self._server.behaviour.status) is not None:
            self._reply(status, "No", sequence)
            return
        parameter_sets = [nal for nal in self._server._access_units[0] if nal[0] & 31 in (7, 8)]
        sprop = ",".join(base64.b64encode(nal).decode() for nal in parameter_sets)
        sdp = (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\na=control:*\r\n"
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
            f"a=framerate:{1 / self._server._interval_s:g}\r\n"
            f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sprop}\r\na=control:track1\r\n"
        )
        base = f"Content-Base: rtsp://127.0.0.1:{self._server.port}/live/"
        self._reply(200, "OK", sequence, base, "Content-Type: application/sdp", body=sdp)

    def _may(self, method: str, authorization: str) -> bool:
        if self._server._auth is None:
            return True
        user, password = self._server._user, self._server._password
        if self._server._auth == "basic":
            return authorization == "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        given = dict(re.findall(r'(\w+)="([^"]*)"', authorization))
        ha1 = _md5(f"{user}:{REALM}:{password}")
        ha2 = _md5(f"{method}:{given.get('uri', '')}")
        expected = _md5(f"{ha1}:{NONCE}:{ha2}")
        return given.get("response") == expected

    def _reply(self, status: int, reason: str, sequence: str, *headers: str, body: str = "") -> None:
        lines = [f"RTSP/1.0 {status} {reason}", f"CSeq: {sequence}", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self._send(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    def _send(self, data: bytes) -> None:
        with self._writing:
            self._client.sendall(data)

    def _play(self) -> None:
        stamp, sent = 0, 0
        step = round(CLOCK_RATE * self._server._interval_s)
        held: list[tuple[list[bytes], int]] = []
        with contextlib.suppress(OSError):
            while not self._over.is_set():
                for access_unit in self._units():
                    behaviour = self._server.behaviour
                    while behaviour.stall and not self._over.wait(0.01):
                        pass
                    if self._over.is_set():
                        return
                    held.append((access_unit, stamp))
                    if not behaviour.hold:
                        for unit, its_stamp in held:
                            self._send_picture(unit, its_stamp)
                        held.clear()
                    stamp, sent = stamp + step, sent + 1
                    if sent > behaviour.cached:
                        self._over.wait(self._server._interval_s)

    def _units(self) -> Iterator[list[bytes]]:
        """Yield the pictures of one loop of the clip, or of the other clip while ``behaviour.other`` is set."""
        if self._server.behaviour.other:
            yield from self._server._other_units
            return
        for access_unit in self._server._access_units:
            if self._server.behaviour.other:
                return
            yield access_unit

    def _send_picture(self, access_unit: list[bytes], stamp: int) -> None:
        for payload, last in packetize(access_unit):
            body = bytes(len(payload)) if self._server.behaviour.garbage else payload
            header = struct.pack(">BBHII", 0x80, 96 | (last << 7), self._sequence & 0xFFFF, stamp & 0xFFFFFFFF, 0x5EED)
            self._send(struct.pack(">cBH", b"$", 0, len(header) + len(body)) + header + body)
            self._sequence += 1


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def encode_h264(frames: Iterable[Image], fps: float) -> list[list[bytes]]:
    """Return the access units of a closed H.264 stream, each a list of NAL units; every twelfth is a key frame."""
    images = list(frames)
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = images[0].shape[1], images[0].shape[0]
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = 1 / Fraction(fps).limit_denominator(1001)
    encoder.framerate = Fraction(fps).limit_denominator(1001)
    encoder.gop_size = 12
    encoder.max_b_frames = 0
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "20"}
    units: list[list[bytes]] = []
    for index, image in enumerate(images):
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts = index
        units.extend(nal_units(bytes(packet)) for packet in encoder.encode(frame))
    units.extend(nal_units(bytes(packet)) for packet in encoder.encode(None))
    return units


def nal_units(annex_b: bytes) -> list[bytes]:
    """Split an Annex B byte stream at its start codes."""
    return [piece.rstrip(b"\0") for piece in re.split(rb"\x00\x00\x00?\x01", annex_b) if piece]


def packetize(access_unit: list[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield RTP payloads (RFC 6184: single NAL units and FU-A) and whether each is the last of its picture."""
    for index, nal in enumerate(access_unit):
        last_nal = index == len(access_unit) - 1
        if len(nal) <= MAX_PAYLOAD:
            yield nal, last_nal
            continue
        indicator, kind, body = nal[0] & 0xE0 | 28, nal[0] & 31, nal[1:]
        for offset in range(0, len(body), MAX_PAYLOAD):
            piece = body[offset : offset + MAX_PAYLOAD]
            start, end = offset == 0, offset + MAX_PAYLOAD >= len(body)
            yield bytes([indicator, kind | start << 7 | end << 6]) + piece, last_nal and end
