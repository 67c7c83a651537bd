"""The publications of canaries, which pass through the topic and the queues as events do."""

from __future__ import annotations

import json
from collections.abc import Iterable

from cloud_functions.db.devices.canaries import SentCanary
from cloud_functions.ingest.publish import Publication
from shared.clock import format_utc
from shared.event_types import CANARY


def canary_publications(canaries: Iterable[SentCanary]) -> list[Publication]:
    """Return the publication of each canary. Its type is no event type."""
    return [
        Publication(
            str(canary.canary_id),
            json.dumps(
                {
                    "event_type": CANARY,
                    "event_id": str(canary.canary_id),
                    "site_id": canary.site_id,
                    "device_id": canary.device_id,
                    "camera_id": "",
                    "timestamp": format_utc(canary.sent_at),
                }
            ),
            {"event_type": CANARY, "site_id": canary.site_id},
        )
        for canary in canaries
    ]
