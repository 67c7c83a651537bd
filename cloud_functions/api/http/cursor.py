"""The keyset cursor: where a page of events ended, as an opaque token.

It holds nothing that the page did not show, so it is checked for form and range but not signed.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_LAYOUT = struct.Struct(">Bqq")
_VERSION = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST_MICROSECOND = (datetime(3000, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
TOKEN_LENGTH = 28


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last event of a page; the next page begins right after it (older, or as old with a smaller id)."""

    timestamp: datetime
    id: int

    def encode(self) -> str:
        """Return the URL-safe token."""
        body = _LAYOUT.pack(_VERSION, (self.timestamp - _EPOCH) // _MICROSECOND, self.id)
        return base64.urlsafe_b64encode(body + struct.pack(">I", zlib.crc32(body))).decode("ascii")


def decode_cursor(token: str) -> Cursor:
    """Return the cursor in ``token``; raise ValueError for anything that ``encode`` did not make."""
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        version, microseconds, event_number = _LAYOUT.unpack(raw[: _LAYOUT.size])
        (checksum,) = struct.unpack(">I", raw[_LAYOUT.size :])
    except (UnicodeEncodeError, binascii.Error, struct.error):
        raise ValueError("is not a cursor that this API gave out") from None
    intact = checksum == zlib.crc32(raw[: _LAYOUT.size]) and version == _VERSION
    if not intact or not 0 <= microseconds < _LAST_MICROSECOND or event_number < 1:
        raise ValueError("is not a cursor that this API gave out")
    return Cursor(timestamp=_EPOCH + microseconds * _MICROSECOND, id=event_number)
