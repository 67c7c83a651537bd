"""A client of the events API for a web application, for example one made with Django. Needs Python only.

client = AnalyticsClient("http://localhost:8069")
for event in client.get_events(event_type="anpr", page_size=10)["events"]:
    ...
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen


class AnalyticsClient:
    """Reads events, their snapshots and statistics. Each method raises ``urllib.error.HTTPError`` for an error."""

    def __init__(
        self, base_url: str = "http://localhost:8069", *, token: str | None = None, timeout_s: float = 30
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._timeout_s = timeout_s

    def get_events(self, camera_id: str | None = None, event_type: str | None = None, **filters: Any) -> dict[str, Any]:
        """Return one page of events, newest first, with the total."""
        return json.loads(self._get("/api/events", camera_id=camera_id, event_type=event_type, **filters))

    def get_snapshot(self, event_id: int | str) -> bytes:
        """Return the annotated image of an event."""
        return self._get(f"/api/events/{event_id}/snapshot")

    def get_stats(self, camera_id: str | None = None) -> dict[str, Any]:
        """Return the numbers of events by type and by camera, and the times of the first and the last."""
        return json.loads(self._get("/api/events/stats", camera_id=camera_id))

    def _get(self, path: str, **parameters: Any) -> bytes:
        query = urlencode({name: value for name, value in parameters.items() if value is not None})
        address = f"{self.base_url}{path}?{query}" if query else self.base_url + path
        with urlopen(Request(address, headers=self._headers), timeout=self._timeout_s) as response:  # noqa: S310
            return response.read()
