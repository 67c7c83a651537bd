"""Replays: send stored events to a subscriber again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from vedette.client.paging import by_page
from vedette.client.session import Session
from vedette.client.types import ReplayResponse, WebhookFilter

PATH: Final = "/api/v1/replay"


class Replays:
    """``client.replays``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self) -> Iterator[ReplayResponse]:
        """Yield replays, newest first."""
        return by_page(self._session, PATH, {"page_size": 100})

    def create(
        self,
        target: str,
        *,
        start_time: datetime,
        end_time: datetime,
        webhook: str | None = None,
        events: WebhookFilter | None = None,
    ) -> ReplayResponse:
        """Send the events of at most 31 days that meet the conditions ``events`` again.

        ``webhook`` is the id of one, with the target ``webhook``; another target, such as ``redis``, has none.
        The times need a zone.

        Raises ConflictError if the webhook is disabled or too many replays are open, InvalidRequestError if more than
        100,000 events match.
        """
        body: dict[str, object] = {
            "target": target,
            "webhook": webhook,
            "start_time": start_time.isoformat(),
            "end_time": end_time.isoformat(),
            "filter": events or {},
        }
        return self._session.json("POST", PATH, body=body)["data"]

    def get(self, replay_id: str) -> ReplayResponse:
        """Return a replay with its progress."""
        return self._session.json("GET", f"{PATH}/{replay_id}")["data"]

    def cancel(self, replay_id: str) -> ReplayResponse:
        """Send no further events. Raises ConflictError if the replay has ended."""
        return self._session.json("POST", f"{PATH}/{replay_id}/cancel")["data"]
