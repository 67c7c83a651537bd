"""This machine's clock against those of the database, the object store and the devices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from infra.admin.doctor.context import DoctorContext
from shared.diagnosis import Finding, Status

WARN_S: Final = 5.0
FAULT_S: Final = 300.0
"""AWS refuses requests whose time is off by more than five minutes (S3: fifteen)."""
DEVICE_WARN_S: Final = 120.0
_LISTED: Final = 5
_REMEDY: Final = "synchronise the clocks (chrony, systemd-timesyncd); Vedette orders events by them"
# ``status_at`` is the cloud's time when the heartbeat arrived. A time of a device that is far off is stored as sent.
_DEVICES: Final = """
SELECT device_id, extract(epoch FROM (heartbeat ->> 'timestamp')::timestamptz - status_at)::float8 AS ahead_s
FROM devices WHERE status = 'online' AND heartbeat ? 'timestamp' AND status_at IS NOT NULL
  AND abs(extract(epoch FROM (heartbeat ->> 'timestamp')::timestamptz - status_at)) > %s
ORDER BY abs(extract(epoch FROM (heartbeat ->> 'timestamp')::timestamptz - status_at)) DESC, device_id
"""


def database_clock(context: DoctorContext) -> Iterator[Finding]:
    """This machine's clock against the database's."""
    with context.connection() as connection:
        before = context.clock.now()
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        after = context.clock.now()
    assert row is not None  # noqa: S101 - a SELECT without FROM returns one row
    yield _compared("clock-database", "the database", row[0], before + (after - before) / 2, exact_s=0.0)


def store_clock(context: DoctorContext) -> Iterator[Finding]:
    """This machine's clock against the Date header of the object store."""
    name = context.variable("SNAPSHOT_BUCKET")
    if name is None:
        yield Finding("clock-store", "skipped", "SNAPSHOT_BUCKET is not set")
        return
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = context.aws("s3").head_bucket(Bucket=name)
    except ClientError as error:
        answer = error.response  # a refusal has a date too
    except BotoCoreError:
        yield Finding("clock-store", "skipped", "not checked: the object store cannot be used")
        return
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if not date:
        yield Finding("clock-store", "skipped", "the object store sends no Date header")
        return
    yield _compared("clock-store", "the object store", parsedate_to_datetime(date), context.clock.now(), exact_s=1.0)


def device_clocks(context: DoctorContext) -> Iterator[Finding]:
    """The times in the devices' last heartbeats against the times of their arrival."""
    with context.connection() as connection:
        rows = connection.execute(_DEVICES, [DEVICE_WARN_S]).fetchall()
        total = connection.execute("SELECT count(*) FROM devices WHERE status = 'online'").fetchone()
    if not rows:
        yield Finding("clock-devices", "ok", f"{total[0] if total else 0} devices online, none off by two minutes")
        return
    named = [f"{device} {_words(ahead_s)}" for device, ahead_s in rows[:_LISTED]]
    more = f" and {len(rows) - _LISTED} more" if len(rows) > _LISTED else ""
    text = f"clocks of devices are wrong: {', '.join(named)}{more}"
    yield Finding("clock-devices", "warning", text, "set their clocks; see edge-agent doctor on the device")


def _compared(name: str, what: str, theirs: datetime, ours: datetime, *, exact_s: float) -> Finding:
    """``exact_s``: the resolution of their time."""
    off_s = max(0.0, abs((ours - theirs).total_seconds()) - exact_s)
    if off_s < WARN_S:
        return Finding(name, "ok", f"this machine and {what} differ by less than {WARN_S:g} s")
    status: Status = "fault" if off_s >= FAULT_S else "warning"
    return Finding(name, status, f"this machine's clock {_words((ours - theirs).total_seconds())} of {what}", _REMEDY)


def _words(ahead_s: float) -> str:
    return f"is {timedelta(seconds=round(abs(ahead_s)))} {'ahead' if ahead_s > 0 else 'behind'}"
