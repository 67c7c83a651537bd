"""Events as messages of SNS and SQS: compressed above a size, and marked if they are sent again.

The publisher of ingest and replays write them; every fan-out function reads them.
"""

from __future__ import annotations

import gzip
import json
import zlib
from base64 import b64decode, b64encode
from typing import Final

from shared.errors import ContractError

CONTENT_ENCODING: Final = "content_encoding"
"""Message attribute of a compressed document."""
GZIP_BASE64: Final = "gzip+base64"
"""Its value: the document as UTF-8, compressed with gzip (RFC 1952), in base64 (RFC 4648)."""
REPLAY_ID: Final = "replay_id"
"""Message attribute of an event that a replay sends again."""
WEBHOOK_ID: Final = "webhook_id"
"""Message attribute of a replay to one webhook; without it, the whole target receives the event."""
MAX_DOCUMENT_BYTES: Final = 2 * 1024 * 1024
"""What a compressed document may have when it is decompressed. The largest stored event is far smaller."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_LEVEL: Final = 6


def compressed(document: str) -> str:
    """Return the document compressed; the same text always gives the same result."""
    return b64encode(gzip.compress(document.encode(), compresslevel=_LEVEL, mtime=0)).decode()


def decompressed(body: str) -> str:
    """Return the document; raise ContractError if the body is not one, or more than ``MAX_DOCUMENT_BYTES``."""
    try:
        reader = zlib.decompressobj(_GZIP)
        content = reader.decompress(b64decode(body, validate=True), MAX_DOCUMENT_BYTES)
        if not reader.eof:
            raise ContractError("a compressed document is incomplete or too large", reason="bad_encoding")
        return content.decode()
    except (zlib.error, ValueError) as error:
        raise ContractError("a message is not gzip in base64", reason="bad_encoding") from error


def for_xml(document: str) -> str:
    """Return the same JSON without characters that SNS and SQS refuse: those that XML 1.0 does not have."""
    if document.isascii():
        return document
    return document.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def as_replayed(document: str, replay_id: str) -> str:
    """Return the flat event, a JSON object, marked as sent again by a replay."""
    return f"{document[:-1]},{json.dumps({'replayed': True, 'replay_id': replay_id}, separators=(',', ':'))[1:]}"
