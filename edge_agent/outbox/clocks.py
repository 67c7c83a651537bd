"""Which clock stamped what: steps of the wall clock, and time that goes on through restarts of the machine.

Wall time is steady time plus an offset, and the offset changes only when somebody sets the wall clock. Each offset that
was ever seen is a row of ``clocks``; an event names the one that it was stamped by. When the wall clock is set, the
event's right time follows: it is stamped by an older offset of the same boot, and the newest offset is the best known.

Ages are counted on *outbox time*: steady time, carried on from one boot of the machine to the next by ``boots``. The
time for which the machine is off is not known without a clock, and is not counted.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from shared.clock import CLOCK_STEP_S, Clock, boot_id_of, clock_offset_s

BELIEVABLE_S = 1_735_689_600.0
"""2025-01-01: a clock that shows less has not been set since power-on."""
_SLACK_S = 1.0
CLOCK_TABLES = """
CREATE TABLE IF NOT EXISTS boots (
    id INTEGER PRIMARY KEY,
    boot_id TEXT NOT NULL,                -- the kernel's
    began_s REAL NOT NULL                 -- outbox time when the boot's steady time was 0
);
CREATE TABLE IF NOT EXISTS clocks (
    id INTEGER PRIMARY KEY,
    boot INTEGER NOT NULL REFERENCES boots,
    offset_s REAL NOT NULL                -- wall time less steady time
);
"""


@dataclass(frozen=True, slots=True)
class TimeCorrection:
    """What is to be done about an event's times."""

    shift_s: float
    clock: int | None
    """The clock that the event goes by from now on; None: nothing better will ever be known."""


class ClockHistory:
    """The clocks of one outbox file. The caller serialises writes."""

    def __init__(self, *, clock: Clock, boot: int, began_s: float, offset_s: float, row: int | None) -> None:
        self._clock = clock
        self._boot = boot
        self._began_s = began_s
        self.offset_s = offset_s
        """Wall time less steady time, as the clock is set."""
        self.current = row
        """The row of the clock as it is set now; None where it could not be written."""

    @classmethod
    def open(cls, connection: sqlite3.Connection, clock: Clock) -> ClockHistory:
        """Note this boot and its clock, inside the caller's transaction."""
        offset_s = clock_offset_s(clock)
        boot, began_s = _record_boot(connection, clock)
        row = _record_offset(connection, boot, offset_s)
        return cls(clock=clock, boot=boot, began_s=began_s, offset_s=offset_s, row=row)

    @classmethod
    def unwritten(cls, connection: sqlite3.Connection, clock: Clock) -> ClockHistory:
        """Return a clock_history for a file that cannot be written just now: nothing is corrected by it."""
        began_s = _last_known_s(connection) - clock.monotonic()
        return cls(clock=clock, boot=0, began_s=began_s, offset_s=clock_offset_s(clock), row=None)

    def now_s(self) -> float:
        """Return outbox time."""
        return self._began_s + self._clock.monotonic()

    @property
    def is_set(self) -> bool:
        """Tell whether the wall clock shows a time that can be."""
        return self._clock.now().timestamp() >= BELIEVABLE_S

    def step_s(self) -> float:
        """Return by how much the wall clock was set since this clock_history was made; 0 where it was not."""
        step_s = clock_offset_s(self._clock) - self.offset_s
        return step_s if abs(step_s) > CLOCK_STEP_S else 0.0

    def after_step(self, connection: sqlite3.Connection, step_s: float) -> ClockHistory:
        """Return a clock_history that goes by the clock as it was set, inside the caller's transaction."""
        offset_s = self.offset_s + step_s
        row = _record_offset(connection, self._boot, offset_s)
        return ClockHistory(clock=self._clock, boot=self._boot, began_s=self._began_s, offset_s=offset_s, row=row)

    def correction(self, connection: sqlite3.Connection, clock: int) -> TimeCorrection:
        """Return what is to be done about times that were stamped by this clock.

        Of the boot that goes on: they follow its newest offset. Of an earlier boot: the newest offset of that one,
        for good. Where that boot's clock was never set (it ended before 2025), its end is taken to be the beginning of
        this one, which is wrong by the time for which the device was off.
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
            return TimeCorrection(0.0, clock)  # neither is this boot's: perhaps later
        return TimeCorrection(self.offset_s - lasted_s - offset_s, self.current)


def _lasted_s(connection: sqlite3.Connection, boot: int) -> float:
    """Return steady time at the end of an earlier boot, as far as it is known."""
    began_s = "SELECT began_s FROM boots WHERE id >= ? ORDER BY id LIMIT 2"
    (this,), (following,) = connection.execute(began_s, (boot,)).fetchall()
    return float(following - this)


def _record_boot(connection: sqlite3.Connection, clock: Clock) -> tuple[int, float]:
    """Return the row of the boot that goes on, and outbox time at its beginning."""
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
    """Let what an agent put that counted in wall time count its age from now; nothing that was put off waits longer."""
    for table, column in (("events", "put_at_s"), ("events", "sent_at_s"), ("images", "put_at_s")):
        later = f"UPDATE {table} SET {column} = ? WHERE {column} > ?"  # noqa: S608 - names from this line
        connection.execute(later, (now_s, now_s))
    for table in ("events", "images"):
        connection.execute(f"UPDATE {table} SET due_at_s = 0 WHERE due_at_s > 0")  # noqa: S608


def _record_offset(connection: sqlite3.Connection, boot: int, offset_s: float) -> int:
    """Return the row of this offset: a new one, unless it is the boot's newest."""
    newest = "SELECT id, offset_s FROM clocks WHERE boot = ? ORDER BY id DESC LIMIT 1"
    last = connection.execute(newest, (boot,)).fetchone()
    if last is not None and abs(last[1] - offset_s) <= CLOCK_STEP_S:
        return int(last[0])
    new = "INSERT INTO clocks (boot, offset_s) VALUES (?, ?) RETURNING id"
    return int(connection.execute(new, (boot, offset_s)).fetchone()[0])


def _last_known_s(connection: sqlite3.Connection) -> float:
    """Return the latest outbox time that the file knows of."""
    noted = connection.execute("SELECT value FROM meta WHERE key = 'outbox_time_s'").fetchone()
    put = connection.execute("SELECT max(put_at_s) FROM events").fetchone()[0]
    return max(0.0 if noted is None else float(noted[0]), put or 0.0)
