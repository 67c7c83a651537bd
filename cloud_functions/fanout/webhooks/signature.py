"""Signs deliveries as Standard Webhooks 1.0 prescribes (https://www.standardwebhooks.com)."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterable


def signed_headers(message_id: str, body: bytes, *, timestamp_s: int, secrets: Iterable[bytes]) -> dict[str, str]:
    """Return the headers that identify and sign a message: one signature for each secret, the current one first.

    ``message_id`` is the same for each attempt, so that a receiver can ignore repetitions. ``timestamp_s`` is the Unix
    time of the attempt.
    """
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp_s, body)
    signatures = [b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
