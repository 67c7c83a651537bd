"""The outbox: pending events and images, in one SQLite file that survives power loss.

``store.py`` is the public class. ``state.py`` owns the open file, ``group_commit.py`` stores events, ``queues.py``
returns pending events and images, ``eviction.py`` frees space, ``resend.py`` serves the resend command,
``open_stays.py`` closes stays that a crash left open, ``clocks.py`` and ``event_times.py`` correct event times, and
``database.py`` opens, locks and quarantines the file. May import shared/, pydantic and the standard library only.
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
