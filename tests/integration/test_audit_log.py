"""The audit log in PostgreSQL: append-only, chained, and verified."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from cloud_functions.db.audit.chain import verify_chain
from cloud_functions.db.audit.log import AuditEntry, AuditFilter, add_entry, list_entries
from cloud_functions.db.audit.retention import remove_entries_before
from cloud_functions.db.connect import connect_to
from cloud_functions.db.types import Connection
from cloud_functions.maintenance.handler import build_maintenance
from infra.admin.cli import main
from shared.clock import ManualClock
from tests.support.ingest_harness import open_database

OFF = "ALTER TABLE audit_log DISABLE TRIGGER USER; ALTER TABLE audit_chains DISABLE TRIGGER USER; "


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect_to(database_url) as opened:
        yield opened


def _entry(number: int = 0, **fields: Any) -> AuditEntry:
    known: dict[str, Any] = {"target": f"event={number}", "details": {"n": number, "text": "Ä, 7:x - 'quoted'"}}
    known |= {"actor_kind": "user", "actor_name": "ana", "action": "delete_event"}
    return AuditEntry(**(known | fields))


def _fill(connection: Connection, count: int = 60) -> None:
    for number in range(count):
        add_entry(connection, _entry(number))


def _faults(connection: Connection) -> list[str]:
    with connection.transaction():
        return verify_chain(connection).faults


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor_name = 'ben'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "UPDATE audit_chains SET sequence = 0",
        "UPDATE audit_chains SET removed_sequence = sequence + 1",
        "UPDATE audit_chains SET removed_sequence = 1, sequence = sequence + 1 WHERE sequence > 0",
        "UPDATE audit_chains SET removed_hash = 'x'",
        "DELETE FROM audit_chains",
        "INSERT INTO audit_chains VALUES (16, 0, '')",
        "TRUNCATE audit_chains",
    ],
)
def test_entries_are_only_added(connection: Connection, statement: LiteralString) -> None:
    """A trigger refuses everything else."""
    _fill(connection, 3)
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        connection.execute(statement)
    assert _faults(connection) == []


def test_the_database_decides_number_time_and_hash(connection: Connection) -> None:
    """An insert that gives them is stored with others."""
    connection.execute(
        "INSERT INTO audit_log (chain, sequence, at, actor_kind, actor_name, action, outcome, previous, hash)"
        " VALUES (3, 700, '2001-01-01', 'user', 'eve', 'x', 'success', 'p', 'h')"
    )
    [(sequence, is_recent)] = connection.execute(
        "SELECT sequence, at > now() - interval '1 minute' FROM audit_log"
    ).fetchall()
    assert (sequence, is_recent) == (1, True)
    assert _faults(connection) == []


@pytest.mark.parametrize(
    ("tampering", "fault"),
    [
        ("UPDATE audit_log SET actor_name = 'ben' WHERE chain = %(c)s AND sequence = 1", "entry 1 was changed"),
        ("UPDATE audit_log SET details = '{}' WHERE chain = %(c)s AND sequence = 2", "entry 2 was changed"),
        ("UPDATE audit_log SET reason = '' WHERE chain = %(c)s AND sequence = 2", "entry 2 was changed"),
        ("UPDATE audit_log SET at = at + interval '1 us' WHERE chain = %(c)s AND sequence = 2", "entry 2 was changed"),
        ("DELETE FROM audit_log WHERE chain = %(c)s AND sequence = 1", "entry 1 is missing"),
        ("DELETE FROM audit_log WHERE chain = %(c)s AND sequence >= 2", "missing"),
        ("DELETE FROM audit_log WHERE chain = %(c)s", "entries 1 to "),
        (
            "UPDATE audit_log SET sequence = sequence + 10 WHERE chain = %(c)s AND sequence > 1",
            "entries 2 to 11 are missing",
        ),
        (
            "UPDATE audit_log SET sequence = CASE sequence WHEN 1 THEN -2 ELSE -1 END"
            " WHERE chain = %(c)s AND sequence <= 2;"
            "UPDATE audit_log SET sequence = -sequence WHERE chain = %(c)s AND sequence < 0",
            "entry 1 was changed",
        ),
        (
            "UPDATE audit_log SET hash = sha256('x') WHERE chain = %(c)s AND sequence = 1",
            "entry 2 does not follow entry 1",
        ),
        ("UPDATE audit_chains SET hash = sha256('x') WHERE chain = %(c)s", "its end is not entry"),
        ("DELETE FROM audit_chains WHERE chain = %(c)s", "its end is not in audit_chains"),
    ],
)
def test_a_change_behind_the_triggers_is_found(connection: Connection, tampering: str, fault: str) -> None:
    """A changed, missing or reordered entry, by someone who may disable triggers."""
    _fill(connection)
    row = connection.execute("SELECT chain FROM audit_chains ORDER BY sequence DESC LIMIT 1").fetchone()
    assert row is not None
    assert _faults(connection) == []
    connection.execute((OFF + tampering.replace("%(c)s", str(row[0]))).encode())
    found = _faults(connection)
    assert any(f"chain {row[0]}: " in one and fault in one for one in found), found
    assert all(f"chain {row[0]}: " in one for one in found)


def test_parallel_writers_do_not_wait_for_each_other(database_url: str) -> None:
    """Eight open transactions have each added an entry; all chains are intact afterwards."""
    reached = threading.Barrier(8, timeout=30)

    def write(number: int) -> None:
        with psycopg.connect(database_url) as connection, connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '10s'")
            add_entry(connection, _entry(number))
            reached.wait()  # every other transaction has added its entry while this one is open

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with connect_to(database_url) as connection:
        assert _faults(connection) == []
        [(entries, chains)] = connection.execute("SELECT count(*), count(DISTINCT chain) FROM audit_log").fetchall()
    assert (entries, chains) == (8, 8)


def test_more_writers_than_chains_wait(database_url: str) -> None:
    """While every chain is in use, the next writer waits for one."""
    with psycopg.connect(database_url) as holder, psycopg.connect(database_url) as writer:
        holder.execute("SELECT FROM audit_chains FOR UPDATE")
        writer.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            add_entry(writer, _entry())
        writer.rollback()
        holder.rollback()
        add_entry(writer, _entry())


def test_entries_are_listed_by_condition(connection: Connection) -> None:
    """Newest first; each condition alone selects what it names."""
    add_entry(connection, _entry(1, actor_name="Ben", outcome="denied", reason="forbidden"))
    add_entry(connection, _entry(2, action="event_snapshot", details={"plate": "AB1"}))
    add_entry(connection, _entry(3, target="camera=gate"))

    def targets(**conditions: Any) -> list[str | None]:
        entries, total = list_entries(connection, AuditFilter(**conditions), limit=10)
        assert total == len(entries)
        return [entry.target for entry in entries]

    assert targets() == ["camera=gate", "event=2", "event=1"]
    assert targets(actor="ben") == targets(outcome="denied") == ["event=1"]
    assert targets(action="event_snapshot") == targets(plate=["AB1"]) == targets(target="EVENT=2") == ["event=2"]


def test_the_command_verifies_the_log(
    connection: Connection, database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1 and each fault. With the ends of an earlier run, a log that was cut off consistently is found too."""
    _fill(connection, 40)
    heads = tmp_path / "heads.json"
    variables = {"DATABASE_URL": database_url}

    def verify(*options: str) -> tuple[int, str]:
        return main(("audit", "verify", *options), variables=variables), capsys.readouterr().out

    assert verify("--heads", str(heads)) == (0, "40 entries, none changed or missing\n")
    _fill(connection, 5)
    assert verify("--heads", str(heads)) == (0, "45 entries, none changed or missing\n")
    kept = heads.read_text()
    connection.execute(OFF + "DELETE FROM audit_log; UPDATE audit_chains SET sequence = 0, hash = ''")
    assert verify() == (0, "0 entries, none changed or missing\n")
    status, out = verify("--heads", str(heads))
    assert status == 1
    assert "of an earlier verification is missing" in out
    assert heads.read_text() == kept
    heads.write_text("[]")
    assert verify("--heads", str(heads))[0] == 2


REMOVED = "remove_audit_entries"


def _now(connection: Connection) -> datetime:
    [(now,)] = connection.execute("SELECT clock_timestamp()").fetchall()
    return now


def _retain(url: str, *, at: datetime, **variables: str) -> None:
    """Run the task ``retention`` at a time."""
    database = open_database(url)
    try:
        build_maintenance({"DATABASE_URL": url} | variables, database=database, clock=ManualClock(at)).handle(
            {"task": "retention"}
        )
    finally:
        database.close()


def test_retention_removes_the_beginning_and_the_rest_is_verified(
    connection: Connection, database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Entries from before the limit are removed, twice as once; each removal is an entry; new entries follow."""
    heads = tmp_path / "heads.json"
    variables = {"DATABASE_URL": database_url}
    _fill(connection, 60)
    limit = _now(connection)
    _fill(connection, 40)
    assert main(("audit", "verify", "--heads", str(heads)), variables=variables) == 0
    chains = len(connection.execute("SELECT DISTINCT chain FROM audit_log WHERE at < %s", [limit]).fetchall())
    _retain(database_url, at=limit + timedelta(days=400))
    assert list_entries(connection, AuditFilter(), limit=1)[1] == 100, "no retention, nothing is removed"
    for _ in range(2):
        _retain(database_url, at=limit + timedelta(days=400), AUDIT_RETENTION_DAYS="400")
        assert list_entries(connection, AuditFilter(action="delete_event"), limit=1)[1] == 40
        said, total = list_entries(connection, AuditFilter(action=REMOVED), limit=100)
        assert (total, sum(entry.details["entries"] for entry in said)) == (chains, 60)
        assert _faults(connection) == []
    _fill(connection, 20)
    capsys.readouterr()
    assert main(("audit", "verify", "--heads", str(heads)), variables=variables) == 0
    expected = f"{60 + chains} entries, none changed or missing; 60 older ones were removed by retention\n"
    assert capsys.readouterr().out == expected


def test_the_whole_log_may_expire(connection: Connection, database_url: str) -> None:
    """What remains are the entries that say so. Further ones follow the removed ones."""
    _fill(connection)
    _retain(database_url, at=_now(connection) + timedelta(days=9), AUDIT_RETENTION_DAYS="1")
    entries, _ = list_entries(connection, AuditFilter(), limit=100)
    assert {entry.action for entry in entries} == {REMOVED}
    _fill(connection)
    assert _faults(connection) == []


@pytest.mark.parametrize(
    ("tampering", "fault"),
    [
        ("DELETE FROM audit_log WHERE chain = %(c)s AND sequence = %(n)s + 1", "missing"),
        ("UPDATE audit_log SET actor_name = 'ben' WHERE chain = %(c)s AND sequence = %(n)s + 1", "was changed"),
        (
            "DELETE FROM audit_log WHERE chain = %(c)s AND sequence = %(n)s + 1;"
            "UPDATE audit_chains SET removed_sequence = removed_sequence + 1 WHERE chain = %(c)s",
            "does not follow",
        ),
        ("UPDATE audit_chains SET removed_hash = sha256('x') WHERE chain = %(c)s", "does not follow"),
        ("UPDATE audit_chains SET removed_sequence = removed_sequence - 1 WHERE chain = %(c)s", "is missing"),
    ],
)
def test_a_change_after_a_removal_is_found(connection: Connection, tampering: str, fault: str) -> None:
    """The remaining entries are bound to the last removed one."""
    _fill(connection, 200)
    limit = _now(connection)
    _fill(connection, 200)
    while remove_entries_before(connection, limit, limit=3):
        pass
    assert _faults(connection) == []
    [(chain, removed)] = connection.execute(
        "SELECT chain, removed_sequence FROM audit_chains"
        " WHERE removed_sequence > 0 AND sequence > removed_sequence + 2 ORDER BY chain LIMIT 1"
    ).fetchall()
    connection.execute((OFF + tampering.replace("%(c)s", str(chain)).replace("%(n)s", str(removed))).encode())
    found = _faults(connection)
    assert any(f"chain {chain}: " in one and fault in one for one in found), found


def test_a_removal_does_not_wait_for_a_writer(database_url: str) -> None:
    """The chain to which a transaction is writing is left to the next run."""
    with psycopg.connect(database_url) as writer, connect_to(database_url) as connection:
        _fill(connection)
        add_entry(writer, _entry())
        connection.execute("SET lock_timeout = '100ms'")
        limit = _now(connection)
        while remove_entries_before(connection, limit, limit=100):
            pass
        writer.commit()
        left = {chain for (chain,) in connection.execute("SELECT chain FROM audit_log WHERE at < %s", [limit])}
        assert len(left) <= 1
        assert _faults(connection) == []
