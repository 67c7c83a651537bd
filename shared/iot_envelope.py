"""The envelope that the IoT rule puts on the ingest queue for each MQTT message.

The rule is ``SELECT encode(*, 'base64') AS payload_base64, topic() AS topic, clientid() AS client_id, timestamp() AS
received_at_ms FROM 'vedette/+/+/…'``: base64 keeps the device's exact bytes, and lets a payload that is not JSON at all
reach the dead letters with a reason instead of failing inside the rule. The local IoT rule writes the same shape.
"""

from __future__ import annotations

import base64
import json


def encode_ingest_message(*, topic: str, payload: bytes, client_id: str, received_at_ms: int) -> str:
    """Return the queue message's body."""
    return json.dumps(
        {
            "payload_base64": base64.b64encode(payload).decode("ascii"),
            "topic": topic,
            "client_id": client_id,
            "received_at_ms": received_at_ms,
        },
        separators=(",", ":"),
    )
