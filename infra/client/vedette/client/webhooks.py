"""Webhooks: register receivers of events, and look at what was delivered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from vedette.client.paging import by_page
from vedette.client.session import Session
from vedette.client.types import DeliveryResponse, WebhookFilter, WebhookResponse, WebhookWithSecret

PATH: Final = "/api/v1/webhooks"


class Webhooks:
    """``client.webhooks``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self) -> Iterator[WebhookResponse]:
        """Yield webhooks by name."""
        return by_page(self._session, PATH, {"page_size": 100})

    def create(
        self,
        name: str,
        url: str,
        *,
        events: WebhookFilter | None = None,
        groups: Sequence[str] | None = None,
        enabled: bool = True,
        event_format: str = "json",
    ) -> WebhookWithSecret:
        """Register a receiver of the events that meet the conditions ``events``.

        ``event_format`` is ``json`` or ``cloudevents``. Keep the secret: it is not shown again.

        Raises ConflictError if the name is in use.
        """
        return self._session.json(
            "POST", PATH, body=_body(name, url, events, groups, enabled) | {"format": event_format}
        )["data"]

    def get(self, webhook_id: str) -> WebhookResponse:
        """Return a webhook with the state of its deliveries."""
        return self._session.json("GET", f"{PATH}/{webhook_id}")["data"]

    def replace(
        self,
        webhook_id: str,
        name: str,
        url: str,
        *,
        events: WebhookFilter | None = None,
        groups: Sequence[str] | None = None,
        enabled: bool = True,
        event_format: str = "json",
    ) -> WebhookResponse:
        """Replace a webhook except its secret. One that was disabled or paused is attempted again at once."""
        body = _body(name, url, events, groups, enabled) | {"format": event_format}
        return self._session.json("PUT", f"{PATH}/{webhook_id}", body=body)["data"]

    def delete(self, webhook_id: str) -> None:
        """Delete a webhook with its deliveries."""
        self._session.json("DELETE", f"{PATH}/{webhook_id}")

    def rotate_secret(self, webhook_id: str, *, overlap_s: int = 86_400) -> WebhookWithSecret:
        """Replace the secret; the one before signs too for ``overlap_s``."""
        return self._session.json("POST", f"{PATH}/{webhook_id}/secret", body={"overlap_s": overlap_s})["data"]

    def test(self, webhook_id: str) -> DeliveryResponse:
        """Send a message of type ``test``. Raises ConflictError if the webhook is disabled."""
        return self._session.json("POST", f"{PATH}/{webhook_id}/test")["data"]

    def deliveries(self, webhook_id: str, *, status: str | None = None) -> Iterator[DeliveryResponse]:
        """Yield the deliveries, newest first: all, or those that are ``pending``, ``delivered`` or ``failed``."""
        return by_page(self._session, f"{PATH}/{webhook_id}/deliveries", {"status": status, "page_size": 100})

    def delivery(self, webhook_id: str, message_id: str) -> DeliveryResponse:
        """Return one delivery."""
        return self._session.json("GET", f"{PATH}/{webhook_id}/deliveries/{message_id}")["data"]

    def redeliver(self, webhook_id: str, message_id: str) -> DeliveryResponse:
        """Deliver a message again."""
        return self._session.json("POST", f"{PATH}/{webhook_id}/deliveries/{message_id}/redeliver")["data"]


def _body(
    name: str, url: str, events: WebhookFilter | None, groups: Sequence[str] | None, enabled: bool
) -> dict[str, object]:
    return {
        "name": name,
        "url": url,
        "filter": events or {},
        "groups": None if groups is None else [*groups],
        "enabled": enabled,
    }
