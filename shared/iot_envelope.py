"""The envelope that the IoT rule puts on the ingest queue for each MQTT message.

The rule is ``SELECT encode(*, 'base64') AS payload_base64, topic() AS topic, clientid() AS client_id, timestamp() AS
received_at_ms FROM 'vedette/+/+/…'``: base64 preserves the device's exact bytes. A payload that is not JSON
therefore reaches the dead letters with a reason, instead of failing inside the rule. The local IoT rule produces the
same format.
"""

from __future__ import annotations

import base64
import json


def encode_ingest_message(*, topic: str, payload: bytes, client_id: str, received_at_ms: int) -> str:
    """Return the body of the queue message."""
    return json.dumps(
        {
            "payload_base64": base64.b64encode(payload).decode("ascii"),
            "topic": topic,
            "client_id": client_id,
            "received_at_ms": received_at_ms,
        },
        separators=(",", ":"),
    )
