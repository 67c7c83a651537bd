"""Tracks the sequence numbers of each device's outbox: the highest received, and the gaps.

The row in ``device_sequences`` is a lock: it is taken, in key order, before the gaps of that outbox are changed, and
the later statements see what the previous holder has committed. This keeps gaps exact under concurrent, repeated and
out-of-order batches.

Ranges are pairs of first and last, both inclusive, sorted and disjoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cloud_functions.db.types import Connection

if TYPE_CHECKING:
    from cloud_functions.settings import GapSettings

Range = tuple[int, int]
MAX_SEQUENCE: Final = 2**62
"""Maximum valid sequence number; the successor of a much larger one would not fit into 64 bits."""


class OutboxKey(NamedTuple):
    """Identifies one device's outbox by its sequence epoch."""

    device_id: str
    sequence_epoch: str


class ReceivedSequences(NamedTuple):
    """The sequence numbers of one outbox in a batch."""

    site_id: str
    ranges: Sequence[Range]


def to_ranges(sequences: Iterable[int]) -> list[Range]:
    """Return the sequence numbers, which may be unsorted and repeated, as ranges."""
    ordered = sorted(set(sequences))
    if not ordered:
        return []
    if ordered[-1] - ordered[0] == len(ordered) - 1:
        return [(ordered[0], ordered[-1])]
    ranges: list[Range] = []
    first = last = ordered[0]
    for sequence in ordered[1:]:
        if sequence != last + 1:
            ranges.append((first, last))
            first = sequence
        last = sequence
    ranges.append((first, last))
    return ranges


def missing_ranges(ranges: Sequence[Range], *, above: int) -> list[Range]:
    """Return the ranges that are missing between ``above`` and the end of ``ranges``."""
    missing: list[Range] = []
    for first, last in ranges:
        if first > above + 1:
            missing.append((above + 1, first - 1))
        above = max(above, last)
    return missing


_ADVANCE: Final = """
INSERT INTO device_sequences AS known (device_id, sequence_epoch, site_id, highest)
SELECT unnest(%b::text[]), unnest(%b::text[]), unnest(%b::text[]), unnest(%b::bigint[])
ON CONFLICT (device_id, sequence_epoch) DO UPDATE
    SET previous_highest = known.highest, highest = GREATEST(known.highest, EXCLUDED.highest), changed_at = now()
RETURNING device_id, sequence_epoch, previous_highest,
    EXISTS (SELECT FROM sequence_gaps AS gap WHERE gap.device_id = known.device_id AND gap.state = 'open'
            AND gap.next_request_at <= now())
"""

_OPEN: Final = """
INSERT INTO sequence_gaps (device_id, sequence_epoch, site_id, first_sequence, last_sequence, missing, next_request_at)
SELECT device_id, epoch, site_id, first, last, int8multirange(int8range(first, last, '[]')),
       now() + make_interval(secs => %b::float8)
FROM unnest(%b::text[], %b::text[], %b::text[], %b::bigint[], %b::bigint[])
    AS gap (device_id, epoch, site_id, first, last)
"""

# A gap that closes before its first request was two batches out of order: its row is deleted.
_FORGET: Final = """
DELETE FROM sequence_gaps AS gap USING unnest(%b::text[], %b::text[], %b::text[]) AS arrived (device_id, epoch, ranges)
WHERE gap.device_id = arrived.device_id AND gap.sequence_epoch = arrived.epoch AND gap.state = 'open'
  AND gap.attempts = 0 AND isempty(gap.lost) AND gap.missing <@ arrived.ranges::int8multirange
"""

_FILL: Final = """
UPDATE sequence_gaps AS gap
SET missing = gap.missing - arrived.ranges::int8multirange,
    lost = gap.lost - arrived.ranges::int8multirange,
    state = CASE WHEN NOT isempty(gap.missing - arrived.ranges::int8multirange) THEN 'open'
                 WHEN NOT isempty(gap.lost - arrived.ranges::int8multirange) THEN 'lost' ELSE 'closed' END,
    closed_at = CASE WHEN isempty(gap.missing - arrived.ranges::int8multirange) THEN now() END,
    next_request_at = now() + make_interval(secs => %b::float8)
FROM unnest(%b::text[], %b::text[], %b::text[]) AS arrived (device_id, epoch, ranges)
WHERE gap.device_id = arrived.device_id AND gap.sequence_epoch = arrived.epoch AND gap.state <> 'closed'
  AND (gap.missing && arrived.ranges::int8multirange OR gap.lost && arrived.ranges::int8multirange)
"""

_LOSE: Final = """
UPDATE sequence_gaps AS gap
SET missing = gap.missing - gone.ranges::int8multirange,
    lost = gap.lost + gap.missing * gone.ranges::int8multirange,
    state = CASE WHEN isempty(gap.missing - gone.ranges::int8multirange) THEN 'lost' ELSE 'open' END,
    closed_at = CASE WHEN isempty(gap.missing - gone.ranges::int8multirange) THEN now() END
FROM (SELECT %b::text AS device_id, %b::text AS epoch, %b::text AS ranges) AS gone
WHERE gap.device_id = gone.device_id AND gap.sequence_epoch = gone.epoch AND gap.state = 'open'
  AND gap.missing && gone.ranges::int8multirange
"""

_LOCK: Final = "SELECT highest FROM device_sequences WHERE device_id = %s AND sequence_epoch = %s FOR UPDATE"


def record_sequences(
    connection: Connection, received: Mapping[OutboxKey, ReceivedSequences], settings: GapSettings
) -> list[str]:
    """Record received sequence numbers: open a gap for each missing range, and fill gaps that have now arrived.

    Call inside a transaction, after all its other locks. Return the devices with gaps that are due for a request, as of
    the state before this batch.
    """
    if not received:
        return []
    outboxes = sorted(received)
    values = [received[outbox] for outbox in outboxes]
    before: dict[OutboxKey, int] = {}
    due: set[str] = set()
    for device_id, epoch, previous, is_due in connection.execute(
        _ADVANCE,
        [
            [outbox.device_id for outbox in outboxes],
            [outbox.sequence_epoch for outbox in outboxes],
            [value.site_id for value in values],
            [value.ranges[-1][1] for value in values],
        ],
    ):
        before[OutboxKey(device_id, epoch)] = previous
        if is_due:
            due.add(device_id)
    missing = [
        (*outbox, value.site_id, *gap)
        for outbox, value in zip(outboxes, values, strict=True)
        for gap in missing_ranges(value.ranges, above=before[outbox])
    ]
    late = [
        (*outbox, _multirange(value.ranges))
        for outbox, value in zip(outboxes, values, strict=True)
        if value.ranges[0][0] <= before[outbox]
    ]
    if late:
        columns = _columns(late)
        connection.execute(_FORGET, columns)
        connection.execute(_FILL, [settings.first_retry_s, *columns])
    if missing:
        connection.execute(_OPEN, [settings.grace_s, *_columns(missing)])
    return sorted(due)


def record_highest_sequence(
    connection: Connection, outbox: OutboxKey, settings: GapSettings, *, site_id: str, highest: int
) -> None:
    """Record that the device has sent all numbers up to ``highest``; numbers missing at the end become a gap."""
    row = connection.execute(_ADVANCE, [[outbox.device_id], [outbox.sequence_epoch], [site_id], [highest]]).fetchone()
    previous = row[2] if row else highest
    if highest > previous:
        gap = (*outbox, site_id, previous + 1, highest)
        connection.execute(_OPEN, [settings.grace_s, *_columns([gap])])


def mark_lost(connection: Connection, outbox: OutboxKey, ranges: Sequence[Range]) -> int:
    """Record that the device no longer has these numbers; return the number of gaps that changed."""
    if not ranges:
        return 0
    connection.execute(_LOCK, outbox)
    return connection.execute(_LOSE, [*outbox, _multirange(ranges)]).rowcount


def _multirange(ranges: Sequence[Range]) -> str:
    return "{" + ",".join(f"[{first},{last}]" for first, last in ranges) + "}"


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
