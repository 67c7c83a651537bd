"""The outbox: everything the device still owes the world, in one SQLite file that survives power loss.

``store.py`` is the outbox itself; ``lanes.py`` hands out what waits (events to MQTT, images to S3, each on its own);
``room.py`` decides what goes when there is no room; ``resend.py`` answers for what was sent; ``database.py`` opens,
locks and sets aside the file. May import shared/ and the standard library only.
"""

from edge_agent.outbox.queues import EventQueue, ImageQueue, WaitingEvent, WaitingImage
from edge_agent.outbox.resend import ResendOutcome
from edge_agent.outbox.settings import OutboxSettings
from edge_agent.outbox.store import Outbox, OutboxFullError

__all__ = [
    "EventQueue",
    "ImageQueue",
    "Outbox",
    "OutboxFullError",
    "OutboxSettings",
    "ResendOutcome",
    "WaitingEvent",
    "WaitingImage",
]
