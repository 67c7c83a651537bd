"""Size limits of responses, and how a list is made to fit: the largest items are replaced by smaller ones first."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

LAMBDA_RESPONSE_BYTES = 6 * 1024 * 1024
"""Lambda's limit for one response, including the JSON envelope and base64 encoding."""
LAMBDA_IMAGE_BYTES = LAMBDA_RESPONSE_BYTES // 4 * 3 - 64 * 1024
LAMBDA_EXPORT_BYTES = LAMBDA_RESPONSE_BYTES - 1024 * 1024
_SERVER_RESPONSE_BYTES = 64 * 1024 * 1024
_MAX_JSON_BYTES_PER_CHARACTER = 12
"""JSON escapes a character outside the Basic Multilingual Plane as two escapes of six bytes."""
_ENVELOPE_BYTES = 4096
"""Reserved for the JSON around the items and for headers."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Maximum sizes of responses."""

    image_bytes: int
    """Largest image that is returned directly. A larger one is a redirect to its signed URL."""
    export_bytes: int | None
    """Largest export response. None means that exports are streamed without a limit."""
    signed_url_s: int = 900
    """Lifetime of signed URLs in seconds."""
    in_json: bool = True
    """Whether the response body is a string inside JSON, as on Lambda, where escaping makes it larger."""

    @property
    def response_bytes(self) -> int:
        """Maximum size of a response that is not an image, in bytes as sent."""
        return _SERVER_RESPONSE_BYTES if self.export_bytes is None else self.export_bytes

    def sent_bytes(self, text: str) -> int:
        """Return the size of ``text`` as sent. Lambda's runtime may escape every character outside ASCII."""
        return len(json.dumps(text)) - 2 if self.in_json else len(text.encode())

    def surely_fits(self, characters: int) -> bool:
        """Return whether a response of this many characters fits, whichever characters they are."""
        return characters * (_MAX_JSON_BYTES_PER_CHARACTER if self.in_json else 4) < self.response_bytes // 2


LAMBDA_LIMITS = Limits(image_bytes=LAMBDA_IMAGE_BYTES, export_bytes=LAMBDA_EXPORT_BYTES)
SERVER_LIMITS = Limits(image_bytes=64 * 1024 * 1024, export_bytes=None, in_json=False)


def fit_items(texts: list[str], smaller: Callable[[int], str], limits: Limits) -> list[str]:
    """Return the JSON texts, with the largest replaced by ``smaller(index)`` until all fit into one response."""
    if limits.surely_fits(sum(map(len, texts)) + len(texts)):
        return texts
    sizes = [limits.sent_bytes(text) for text in texts]
    excess = sum(sizes) + len(texts) + _ENVELOPE_BYTES - limits.response_bytes
    fitted = list(texts)
    for index in sorted(range(len(texts)), key=sizes.__getitem__, reverse=True):
        if excess <= 0:
            break
        fitted[index] = smaller(index)
        excess -= sizes[index] - limits.sent_bytes(fitted[index])
    return fitted
