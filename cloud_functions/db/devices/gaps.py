"""Selects the open gaps that are due for a resend request, and those to give up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from cloud_functions.db.devices.sequences import Range
from cloud_functions.db.types import Connection
from shared.commands import MAX_RESEND_RANGES

if TYPE_CHECKING:
    from cloud_functions.settings import GapSettings


class DueResend(NamedTuple):
    """The ranges to request again from one outbox."""

    site_id: str
    device_id: str
    sequence_epoch: str
    ranges: list[Range]


# SKIP LOCKED: skip gaps that another session is requesting or filling.
_CLAIM: Final = """
WITH due AS (
    SELECT gap_id FROM sequence_gaps
    WHERE state = 'open' AND next_request_at <= now() AND (%(devices)s::text[] IS NULL OR device_id = ANY (%(devices)s))
    ORDER BY next_request_at, gap_id
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE sequence_gaps AS gap
SET requested_at = now(), attempts = gap.attempts + 1,
    next_request_at = now() + make_interval(secs =>
        LEAST(%(first_retry_s)s::float8 * 2 ^ LEAST(gap.attempts, 30), %(longest_retry_s)s::float8))
FROM due WHERE gap.gap_id = due.gap_id
RETURNING gap.site_id, gap.device_id, gap.sequence_epoch,
          ARRAY(SELECT lower(part) FROM unnest(gap.missing) AS part ORDER BY 1),
          ARRAY(SELECT upper(part) - 1 FROM unnest(gap.missing) AS part ORDER BY 1)
"""

# Only devices seen recently can reply; the others are handled when they reconnect.
_REACHABLE: Final = """
SELECT DISTINCT gap.device_id FROM sequence_gaps AS gap JOIN devices USING (device_id)
WHERE gap.state = 'open' AND gap.next_request_at <= now() AND devices.last_seen_at > now() - interval '5 minutes'
ORDER BY 1 LIMIT %s
"""

_GIVE_UP: Final = """
UPDATE sequence_gaps SET state = 'lost', lost = lost + missing, missing = '{}', closed_at = now()
WHERE gap_id IN (
    SELECT gap_id FROM sequence_gaps WHERE state = 'open' AND opened_at < now() - make_interval(secs => %s)
    LIMIT %s FOR UPDATE SKIP LOCKED)
"""


def claim_due_gaps(
    connection: Connection, devices: Sequence[str] | None, settings: GapSettings, *, limit: int = 1000
) -> list[DueResend]:
    """Claim the gaps that are due (of these devices, or of all) and schedule their next request.

    A request covers at most ``sequences_per_request`` numbers per device; the rest is due later.
    """
    parameters = {
        "devices": None if devices is None else list(devices),
        "limit": limit,
        "first_retry_s": settings.first_retry_s,
        "longest_retry_s": settings.longest_retry_s,
    }
    due: dict[tuple[str, str, str], list[Range]] = {}
    for site_id, device_id, epoch, firsts, lasts in connection.execute(_CLAIM, parameters):
        due.setdefault((site_id, device_id, epoch), []).extend(zip(firsts, lasts, strict=True))
    return [
        DueResend(*key, ranges=_first_numbers(sorted(ranges), settings.sequences_per_request))
        for key, ranges in sorted(due.items())
    ]


def reachable_devices_with_due_gaps(connection: Connection, *, limit: int = 1000) -> list[str]:
    """Return the devices that have a due gap and were seen in the last five minutes."""
    return [device_id for (device_id,) in connection.execute(_REACHABLE, [limit])]


def give_up_old_gaps(connection: Connection, settings: GapSettings, *, limit: int = 1000) -> int:
    """Mark gaps that have been open for too long as lost; return how many (at most ``limit``)."""
    return connection.execute(_GIVE_UP, [settings.give_up_after_s, limit]).rowcount


def _first_numbers(ranges: list[Range], limit: int) -> list[Range]:
    """Return the first ``limit`` numbers of the ranges, as at most ``MAX_RESEND_RANGES`` ranges."""
    chosen: list[Range] = []
    for first, last in ranges[:MAX_RESEND_RANGES]:
        if limit <= 0:
            break
        last = min(last, first + limit - 1)  # noqa: PLW2901
        chosen.append((first, last))
        limit -= last - first + 1
    return chosen
