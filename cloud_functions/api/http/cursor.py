"""The keyset cursor of a list: the position after the last item of a page, as an opaque token.

It holds only values that the page showed, so it is checked for format and range but not signed. The cursor of a caller
who is limited to camera groups also holds a mark of these groups, and is rejected for a caller with other groups.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_LAYOUT = struct.Struct(">Bqq")
_SCOPED_LAYOUT = struct.Struct(">Bqq6s")
_MARK_BYTES = 6
_CHECKSUM_BYTES = 4
_VERSION = 1
_SCOPED_VERSION = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST_MICROSECOND = (datetime(3000, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
TOKEN_LENGTH = 36
"""Maximum length of a token, in characters: of one with a mark. A token without a mark has 28."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last item of a page. The next page starts with the first item that is older, or as old with a smaller id."""

    timestamp: datetime
    id: int
    scope_mark: int = 0
    """``db.cameras.scope.mark_of`` the caller's limit to camera groups; 0 without a limit."""

    def encode(self) -> str:
        """Return the URL-safe token."""
        microseconds = (self.timestamp - _EPOCH) // _MICROSECOND
        if self.scope_mark:
            body = _SCOPED_LAYOUT.pack(_SCOPED_VERSION, microseconds, self.id, self.scope_mark.to_bytes(_MARK_BYTES))
        else:
            body = _LAYOUT.pack(_VERSION, microseconds, self.id)
        return base64.urlsafe_b64encode(body + struct.pack(">I", zlib.crc32(body))).decode("ascii")


def decode_cursor(token: str) -> Cursor:
    """Return the cursor in ``token``; raise ValueError for a token that ``encode`` did not create."""
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        body, (checksum,) = raw[:-_CHECKSUM_BYTES], struct.unpack(">I", raw[-_CHECKSUM_BYTES:])
        is_scoped = len(body) == _SCOPED_LAYOUT.size
        version, microseconds, row_id, *mark = (_SCOPED_LAYOUT if is_scoped else _LAYOUT).unpack(body)
    except (UnicodeEncodeError, binascii.Error, struct.error):
        raise ValueError("cursor is not one that this API issued") from None
    scope_mark = int.from_bytes(mark[0]) if mark else 0
    is_intact = checksum == zlib.crc32(body) and version == (_SCOPED_VERSION if is_scoped else _VERSION)
    if not is_intact or not 0 <= microseconds < _LAST_MICROSECOND or row_id < 1 or is_scoped != (scope_mark > 0):
        raise ValueError("cursor is not one that this API issued")
    return Cursor(timestamp=_EPOCH + microseconds * _MICROSECOND, id=row_id, scope_mark=scope_mark)
