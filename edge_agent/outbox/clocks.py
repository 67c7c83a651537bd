"""Clock history of an outbox: steps of the wall clock, and a time scale that continues across reboots.

Wall time is monotonic time plus an offset. The offset changes only when the wall clock is set. The table ``clocks`` has
one row per observed offset, and each event refers to the row that stamped it. After a clock step, an event stamped by
an older offset of the same boot is corrected by the difference to the newest offset.

Ages are measured in *outbox time*: monotonic time, continued from one boot to the next by the table ``boots``. The time
for which the machine is off is unknown without a clock, and is not counted.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from shared.clock import CLOCK_STEP_S, Clock, boot_id_of, clock_offset_s

BELIEVABLE_S = 1_735_689_600.0
"""2025-01-01. A clock that shows an earlier time has not been set since power-on."""
_SLACK_S = 1.0
CLOCK_TABLES = """
CREATE TABLE IF NOT EXISTS boots (
    id INTEGER PRIMARY KEY,
    boot_id TEXT NOT NULL,                -- the kernel's boot id
    began_s REAL NOT NULL                 -- outbox time at monotonic time 0 of this boot
);
CREATE TABLE IF NOT EXISTS clocks (
    id INTEGER PRIMARY KEY,
    boot INTEGER NOT NULL REFERENCES boots,
    offset_s REAL NOT NULL                -- wall time minus monotonic time
);
"""


@dataclass(frozen=True, slots=True)
class TimeCorrection:
    """How to correct an event's times."""

    shift_s: float
    clock: int | None
    """Row of the clock that the corrected times belong to. None: the times are final."""


class ClockHistory:
    """The clocks recorded in one outbox file. The caller serialises writes."""

    def __init__(self, *, clock: Clock, boot: int, began_s: float, offset_s: float, row: int | None) -> None:
        self._clock = clock
        self._boot = boot
        self._began_s = began_s
        self.offset_s = offset_s
        """Wall time minus monotonic time, in seconds, for the current setting of the clock."""
        self.current = row
        """Row of the current clock setting; None if it could not be written."""

    @classmethod
    def open(cls, connection: sqlite3.Connection, clock: Clock) -> ClockHistory:
        """Record this boot and its clock, inside the caller's transaction."""
        offset_s = clock_offset_s(clock)
        boot, began_s = _record_boot(connection, clock)
        row = _record_offset(connection, boot, offset_s)
        return cls(clock=clock, boot=boot, began_s=began_s, offset_s=offset_s, row=row)

    @classmethod
    def unwritten(cls, connection: sqlite3.Connection, clock: Clock) -> ClockHistory:
        """Return a history for a file that cannot be written at the moment. It corrects nothing."""
        began_s = _last_known_s(connection) - clock.monotonic()
        return cls(clock=clock, boot=0, began_s=began_s, offset_s=clock_offset_s(clock), row=None)

    def now_s(self) -> float:
        """Return outbox time."""
        return self._began_s + self._clock.monotonic()

    @property
    def is_set(self) -> bool:
        """Whether the wall clock shows a plausible time (2025 or later)."""
        return self._clock.now().timestamp() >= BELIEVABLE_S

    def step_s(self) -> float:
        """Return the step of the wall clock since this history was created, in seconds; 0 if there was none."""
        step_s = clock_offset_s(self._clock) - self.offset_s
        return step_s if abs(step_s) > CLOCK_STEP_S else 0.0

    def after_step(self, connection: sqlite3.Connection, step_s: float) -> ClockHistory:
        """Record the offset after a step and return the updated history, inside the caller's transaction."""
        offset_s = self.offset_s + step_s
        row = _record_offset(connection, self._boot, offset_s)
        return ClockHistory(clock=self._clock, boot=self._boot, began_s=self._began_s, offset_s=offset_s, row=row)

    def correction(self, connection: sqlite3.Connection, clock: int) -> TimeCorrection:
        """Return how to correct times that were stamped by this clock.

        Times of the current boot follow its newest offset. Times of an earlier boot follow the newest offset of that
        boot, and are then final. If the clock of that boot was never set (it ended before 2025), its end is assumed to
        be the start of this boot; the error is the time for which the device was off.
        """
        row = connection.execute("SELECT boot, offset_s FROM clocks WHERE id = ?", (clock,)).fetchone()
        if row is None:
            return TimeCorrection(0.0, None)
        boot, offset_s = int(row[0]), float(row[1])
        if boot == self._boot:
            return TimeCorrection(self.offset_s - offset_s, self.current)
        newest = "SELECT offset_s FROM clocks WHERE boot = ? ORDER BY id DESC LIMIT 1"
        last_s = float(connection.execute(newest, (boot,)).fetchone()[0])
        lasted_s = _lasted_s(connection, boot)
        if last_s + lasted_s >= BELIEVABLE_S:
            return TimeCorrection(last_s - offset_s, None)
        if self.offset_s < BELIEVABLE_S - self._clock.monotonic():
            return TimeCorrection(0.0, clock)  # the clock of this boot is not set either; try again later
        return TimeCorrection(self.offset_s - lasted_s - offset_s, self.current)


def _lasted_s(connection: sqlite3.Connection, boot: int) -> float:
    """Return the monotonic time at the end of an earlier boot, as far as it is known, in seconds."""
    began_s = "SELECT began_s FROM boots WHERE id >= ? ORDER BY id LIMIT 2"
    (this,), (following,) = connection.execute(began_s, (boot,)).fetchall()
    return float(following - this)


def _record_boot(connection: sqlite3.Connection, clock: Clock) -> tuple[int, float]:
    """Return the row of the current boot, and outbox time at its start."""
    boot_id, now_s = boot_id_of(clock), clock.monotonic()
    last = connection.execute("SELECT id, boot_id, began_s FROM boots ORDER BY id DESC LIMIT 1").fetchone()
    if last is None:
        began_s = -now_s  # outbox time is 0 now
    else:
        known_s = _last_known_s(connection)
        if last[1] == boot_id and last[2] + now_s >= known_s - _SLACK_S:
            return int(last[0]), float(last[2])
        began_s = known_s
    new = "INSERT INTO boots (boot_id, began_s) VALUES (?, ?) RETURNING id"
    row = connection.execute(new, (boot_id, began_s)).fetchone()
    _clamp_to_new_boot(connection, began_s + now_s)
    return int(row[0]), began_s


def _clamp_to_new_boot(connection: sqlite3.Connection, now_s: float) -> None:
    """Limit stored times to ``now_s`` (an old agent stored wall time) and clear the due times of deferred items."""
    for table, column in (("events", "put_at_s"), ("events", "sent_at_s"), ("images", "put_at_s")):
        later = f"UPDATE {table} SET {column} = ? WHERE {column} > ?"  # noqa: S608 - names from this line
        connection.execute(later, (now_s, now_s))
    for table in ("events", "images"):
        connection.execute(f"UPDATE {table} SET due_at_s = 0 WHERE due_at_s > 0")  # noqa: S608


def _record_offset(connection: sqlite3.Connection, boot: int, offset_s: float) -> int:
    """Return the row of this offset. Adds a row unless it equals the newest offset of the boot."""
    newest = "SELECT id, offset_s FROM clocks WHERE boot = ? ORDER BY id DESC LIMIT 1"
    last = connection.execute(newest, (boot,)).fetchone()
    if last is not None and abs(last[1] - offset_s) <= CLOCK_STEP_S:
        return int(last[0])
    new = "INSERT INTO clocks (boot, offset_s) VALUES (?, ?) RETURNING id"
    return int(connection.execute(new, (boot, offset_s)).fetchone()[0])


def _last_known_s(connection: sqlite3.Connection) -> float:
    """Return the latest outbox time recorded in the file, in seconds."""
    noted = connection.execute("SELECT value FROM meta WHERE key = 'outbox_time_s'").fetchone()
    put = connection.execute("SELECT max(put_at_s) FROM events").fetchone()[0]
    return max(0.0 if noted is None else float(noted[0]), put or 0.0)
