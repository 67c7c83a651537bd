"""The body of a delivery: the document itself, or a CloudEvents 1.0 event in the structured JSON format."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import quote

from pydantic_core import from_json, to_json

from cloud_functions.db.webhooks.record import DueDelivery

CLOUDEVENTS = "cloudevents"


class Body(NamedTuple):
    """What a request sends."""

    content: bytes
    content_type: str


def body_of(delivery: DueDelivery, *, webhook_format: str) -> Body:
    """Return the body of a delivery in the format of its webhook."""
    document = delivery.document
    if webhook_format != CLOUDEVENTS:
        return Body(document.encode("utf-8", "surrogatepass"), "application/json")
    content = to_json(_envelope(delivery, from_json(document)))
    # The document is inserted as text, so that no number of it changes.
    return Body(
        content[:-1] + b',"data":' + document.encode("utf-8", "surrogatepass") + b"}",
        "application/cloudevents+json; charset=utf-8",
    )


def _envelope(delivery: DueDelivery, flat: dict[str, Any]) -> dict[str, str]:
    """Return the attributes of a CloudEvent: ``source`` and ``id`` together identify an event."""
    site, camera, event = flat.get("site_id"), flat.get("camera_id"), flat.get("id")
    source = "/vedette" if site is None else f"/vedette/sites/{quote(site)}/cameras/{quote(str(camera))}"
    attributes = {
        "specversion": "1.0",
        "id": str(delivery.message_id),
        "source": source,
        "type": f"vedette.event.{delivery.event_type}",
        "datacontenttype": "application/json",
    }
    if event is not None:
        attributes["subject"] = str(event)
    if flat.get("timestamp") is not None:
        attributes["time"] = flat["timestamp"]
    return attributes
