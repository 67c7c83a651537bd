"""Detects truncated recordings from the sizes that their containers declare.

FFmpeg reports no error for a truncated AVI, transport stream or GIF: their index was at the missing end, or they have
none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

_TS_SYNC = 0x47
_TS_PACKETS = ((188, 0), (192, 4), (204, 0))
"""Packet sizes of transport streams, with the offset of the synchronisation byte in a packet."""
_TS_PROBED = 5
_PES_TAIL = 70_000
"""More than the maximum packet size of a programme stream."""
_Y4M_SAMPLES = {"420": (2, 2, 3), "422": (2, 1, 3), "444": (1, 1, 3), "mono": (1, 1, 1)}
"""Horizontal and vertical chroma subsampling, and the number of planes."""
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675


def is_truncated(path: Path, format_name: str) -> bool:
    """Return whether the file is shorter than its container declares; False if that cannot be determined.

    ``format_name`` is FFmpeg's name of the demuxer, such as ``avi`` or ``mov,mp4,m4a,3gp,3g2,mj2``.
    """
    check = next((_CHECKS[name] for name in format_name.split(",") if name in _CHECKS), None)
    if check is None:
        return False
    try:
        with path.open("rb") as file:
            return check(file, path.stat().st_size)
    except (OSError, ValueError, LookupError):
        # An invalid header declares no sizes.
        return False


def _riff_truncated(file: BinaryIO, size: int) -> bool:
    """Check an AVI: one RIFF chunk, or several above one gigabyte."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(8)
        length = int.from_bytes(head[4:], "little")
        if head[:4] != b"RIFF" or not length:
            return False
        at += 8 + length + length % 2
    return at - size > 1


def _boxes_truncated(file: BinaryIO, size: int) -> bool:
    """Check an ISO base media file such as MP4: a sequence of boxes (ISO/IEC 14496-12, section 4.2)."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 0:
            return False
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:
            return False
        at += length
    return at > size


def _ebml_truncated(file: BinaryIO, size: int) -> bool:
    """Check Matroska and WebM (RFC 8794): skip elements of known size, enter those of unknown size."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(12)
        id_length = _vint_length(head[:1])
        size_length = _vint_length(head[id_length : id_length + 1])
        if not id_length or not size_length:
            return False
        body = at + id_length + size_length
        if len(head) < id_length + size_length:
            return True
        length = int.from_bytes(head[id_length : id_length + size_length], "big") & ((1 << 7 * size_length) - 1)
        unknown = length == (1 << 7 * size_length) - 1
        if unknown and int.from_bytes(head[:id_length], "big") not in (_SEGMENT, _CLUSTER):
            return False
        at = body if unknown else body + length
    return at > size


def _vint_length(first: bytes) -> int:
    """Return the length in bytes of a variable-length integer, given its first byte; 0 if it is invalid."""
    return 9 - first[0].bit_length() if first and first[0] else 0


def _packets_truncated(file: BinaryIO, size: int) -> bool:
    """Check a transport stream: packets of one size."""
    start = file.read(204 * _TS_PROBED)
    for packet, sync in _TS_PACKETS:
        marks = start[sync::packet][:_TS_PROBED]
        if len(marks) >= min(_TS_PROBED, size // packet) and set(marks) == {_TS_SYNC}:
            return size % packet != 0
    return False


def _pes_truncated(file: BinaryIO, size: int) -> bool:
    """Check a programme stream: the last packet declares its length (ISO/IEC 13818-1, section 2.4.3.6)."""
    file.seek(max(0, size - _PES_TAIL))
    tail = file.read()
    for at in _starts_backwards(tail):
        kind = tail[at + 3 : at + 4]
        if kind == b"\xb9":
            return False
        if kind and (kind[0] == 0xBD or 0xC0 <= kind[0] <= 0xEF):
            length = tail[at + 4 : at + 6]
            return len(length) < 2 or at + 6 + int.from_bytes(length, "big") > len(tail)
    return False


def _starts_backwards(data: bytes) -> Iterator[int]:
    at = data.rfind(b"\0\0\1")
    while at >= 0:
        yield at
        at = data.rfind(b"\0\0\1", 0, at + 2)


def _y4m_truncated(file: BinaryIO, size: int) -> bool:
    """Check YUV4MPEG2: a header line with the format, then frames of one size, each after a marker line."""
    head = file.read(256)
    fields = {field[:1]: field[1:] for field in head.partition(b"\n")[0].decode("ascii", "replace").split(" ")}
    samples = next((s for name, s in _Y4M_SAMPLES.items() if fields.get("C", "420").startswith(name)), None)
    if samples is None or "p1" in fields.get("C", "") or b"\nFRAME\n" not in head:
        return False
    width, height = int(fields["W"]), int(fields["H"])
    across, down, planes = samples
    frame = width * height + (planes - 1) * (-(-width // across)) * (-(-height // down))
    return (size - head.index(b"\nFRAME\n") - 1) % (frame + len(b"FRAME\n")) != 0


def _ends_without(*endings: bytes) -> Callable[[BinaryIO, int], bool]:
    def check(file: BinaryIO, size: int) -> bool:
        file.seek(max(0, size - 64))
        return not file.read().rstrip(b"\0\r\n").endswith(endings)

    return check


_CHECKS: dict[str, Callable[[BinaryIO, int], bool]] = {
    "avi": _riff_truncated,
    "mov": _boxes_truncated,
    "mp4": _boxes_truncated,
    "matroska": _ebml_truncated,
    "webm": _ebml_truncated,
    "mpegts": _packets_truncated,
    "mpeg": _pes_truncated,
    "yuv4mpegpipe": _y4m_truncated,
    "gif": _ends_without(b";"),
    "mjpeg": _ends_without(b"\xff\xd9"),
}
