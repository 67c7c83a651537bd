"""The last results of deliveries to webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from infra.admin.doctor.context import DoctorContext
from shared.diagnosis import Finding

_LATE: Final = timedelta(minutes=5)
_WEBHOOKS: Final = """
SELECT name, enabled, disabled_reason, failures,
       (SELECT concat_ws(' ', response_status, error) FROM webhook_deliveries AS last
        WHERE last.webhook_id = webhooks.id AND last_attempt_at IS NOT NULL ORDER BY number DESC LIMIT 1),
       (SELECT min(created_at) FROM webhook_deliveries AS waiting
        WHERE waiting.webhook_id = webhooks.id AND status = 'pending')
FROM webhooks ORDER BY name
"""


def webhooks(context: DoctorContext) -> Iterator[Finding]:
    """Webhooks whose receivers fail, that were disabled because of that, or whose events are late."""
    with context.connection() as connection:
        rows = connection.execute(_WEBHOOKS).fetchall()
    healthy = 0
    for name, enabled, reason, failures, last, oldest in rows:
        title = f"webhook-{name}"
        if not enabled and reason:
            text = f"disabled because its receiver {'is gone' if reason == 'gone' else 'failed for too long'}: {last}"
            yield Finding(
                title, "fault", text, "correct the receiver, enable the webhook, and deliver again what failed"
            )
        elif enabled and failures:
            text = f"the last {failures} deliveries failed: {last}"
            yield Finding(title, "warning", text, "see its log of deliveries; they are repeated")
        elif enabled and oldest is not None and context.clock.now() - oldest > _LATE:
            age = timedelta(seconds=round((context.clock.now() - oldest).total_seconds()))
            text = f"an event has waited for {age}"
            yield Finding(title, "warning", text, "does the fan-out function for webhooks run? See its log")
        else:
            healthy += enabled
    if not rows:
        yield Finding("webhooks", "skipped", "there are no webhooks")
    elif healthy:
        yield Finding("webhooks", "ok", f"{healthy} of {len(rows)} webhooks deliver")
