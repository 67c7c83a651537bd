"""Webhooks and deliveries as values, and the limit of webhooks to camera groups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID

from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.events.filter import EventFilter
from cloud_functions.plates.master_keys import WrappedKey

MAX_WEBHOOKS: Final = 100
"""Webhooks of a deployment. Each can occupy a thread of the fan-out function, so that none waits for another."""
PLATE_MATCH: Final = "plate_match"
WEBHOOK_IN_SCOPE: Final[LiteralString] = "groups <> '{}' AND groups <@ %(scope)s::text[]"
"""Condition on ``webhooks``: limited to camera groups of the caller. A webhook without a limit does not meet it, and
one that has lost all its groups does not either."""
EFFECTIVE_GROUPS: Final[LiteralString] = """(
    SELECT CASE WHEN o.groups IS NULL THEN w.groups WHEN w.groups IS NULL THEN o.groups
        ELSE ARRAY(SELECT unnest(w.groups) INTERSECT SELECT unnest(o.groups)) END
    FROM (SELECT (SELECT groups FROM users WHERE id = w.owner_id) AS groups) AS o)"""
"""The camera groups to which ``webhooks AS w`` is limited: its own, as far as its owner still has them."""
OWNER_IS_ACTIVE: Final[LiteralString] = (
    "NOT EXISTS (SELECT FROM users AS u WHERE u.id = w.owner_id AND NOT u.is_active)"
)
"""Whether the owner of ``webhooks AS w`` may still receive something; true for a webhook without an owner."""
_CONDITIONS: Final = ("camera_id", "site_id", "event_type", "class_name", "min_confidence", "zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookFields:
    """What a caller sets."""

    name: str
    url: str
    filter: dict[str, Any]
    """Conditions on events by the names of the parameters of ``GET /events``; all must hold."""
    groups: list[str] | None
    """Slugs of the camera groups it is limited to; None for no limit."""
    enabled: bool
    format: str = "json"
    """``json`` for the document itself, or ``cloudevents``."""
    owner_id: UUID | None = None
    """The user who has set this; None if no user has, or the user was deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(WebhookFields):
    """A webhook without its secrets."""

    id: UUID
    disabled_reason: str | None
    previous_until: datetime | None
    """Until when the secret before the current one signs too."""
    created_at: datetime
    updated_at: datetime
    failures: int
    """Failed attempts since the last success."""
    failing_since: datetime | None
    last_success_at: datetime | None
    pending: int
    """Deliveries to make, now or later."""
    dropped: int
    """Deliveries that were dropped because too many were pending."""
    dropped_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ClaimedWebhook:
    """A webhook that this process delivers to. No repr, because an address may hold a secret."""

    id: UUID
    lease: UUID
    name: str
    url: str
    secrets: tuple[WrappedKey, ...]
    """Of the current secret, then of the one before while it is valid."""
    failures: int
    format: str
    groups: tuple[str, ...] | None
    """Camera groups of whose cameras it may get events now; None for no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedEvent:
    """One document that webhooks may receive, and the stored event to which their filters apply."""

    message_id: UUID
    """``event_id`` of the document."""
    event_id: int
    """``id`` of the stored event."""
    event_time: datetime
    event_type: str
    """Of the document."""
    document: str
    replay_id: UUID | None = None
    """The replay that sends it again; only ``replay_to`` receives it then."""
    replay_to: UUID | None = None
    """Id of the webhook that receives a replay."""
    low_value: bool = False
    """Whether it is dropped first if too many deliveries are pending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDelivery:
    """One delivery to attempt."""

    message_id: UUID
    event_type: str
    document: str
    attempts: int
    """How many have failed."""


def stored_filter(conditions: dict[str, Any], groups: list[str] | None) -> EventFilter:
    """Return the conditions as a database filter, within the camera groups.

    ``plate_match`` is not an event of its own in the database: its conditions apply to the ``anpr`` event it is of.
    """
    chosen = {name: conditions[name] for name in _CONDITIONS if conditions.get(name) is not None}
    if chosen.get("event_type") == PLATE_MATCH:
        chosen["event_type"] = "anpr"
    return EventFilter(
        **chosen,
        plate=conditions.get("license_plate"),
        scope=None if groups is None else CameraScope(tuple(groups)),
    )
