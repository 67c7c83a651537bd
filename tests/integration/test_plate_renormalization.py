"""Stored reads of an earlier release are converted to the current normal form; nothing else changes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic_core import to_json

from cloud_functions.db.events.insert import EventRow, insert_events
from cloud_functions.db.migrate import downgrade, upgrade
from cloud_functions.db.plates import normal_form_conversion
from cloud_functions.db.plates.normal_form_conversion import convert_unprotected_reads, limit_transaction
from cloud_functions.db.plates.search import near_plates
from cloud_functions.db.types import Connection, Transaction
from cloud_functions.plates.site_key import SiteKey
from cloud_functions.privacy.cli import main
from cloud_functions.privacy.vault import PlateVault
from shared.errors import TransientError
from tests.support.ingest_harness import RECOUNT, rows
from tests.support.plate_reads import PLATE_RECOUNT, plate_read
from tests.support.protected_sites import SITE, api, keys, protect, protection, setting

CYRILLIC, OTHER, DIGITS = "А123ВС77", "О123КК77", "12377"
BEFORE = "0007"
"""The last migration of the release that dropped letters."""

Cli = Callable[..., int]


@pytest.fixture
def cli(database_url: str, tmp_path: Path) -> Cli:
    variables = {"DATABASE_URL": database_url, "PLATE_MASTER_KEY": setting(tmp_path)}
    return lambda *arguments, **more: main(arguments, variables=variables | more)


def row_of(read: dict[str, Any], plate: str) -> EventRow:
    """Return the row that an earlier release stored for a read, with the normal form that it computed."""
    data = read["event_data"] | {"plate_normalized": plate}
    return EventRow(
        read["event_id"], read["site_id"], read["device_id"], read["camera_id"], "anpr", read["timestamp"], 1, None,
        None, None, None, to_json(data).decode(),
    )  # fmt: skip


def store_earlier(url: str, *reads: tuple[dict[str, Any], str]) -> None:
    with psycopg.connect(url) as connection:
        insert_events(connection, [row_of(read, plate) for read, plate in reads], at_most=len(reads))


def sealed_earlier(read: dict[str, Any], plate: str, key: SiteKey) -> EventRow:
    """Return the row of a read of a protected site, as the earlier release sealed it."""
    row, token = row_of(read, plate), key.token(plate)
    readable = {
        "anpr_result": {"license_plate": None, "confidence": 0.93},
        "plate_normalized": token,
        "plate_protected": True,
        "candidates": [],
    }
    sealed = key.seal(row.event_data_json, event_id=row.event_id, token=token)
    return row._replace(event_data_json=json.dumps(readable), plate_sealed=sealed)


def store_sealed(url: str, folder: Path, *reads: tuple[str, str]) -> None:
    vault = PlateVault(master_keys=keys(folder))
    with psycopg.connect(url) as connection:
        vault.refresh(connection)
        key = vault.key_of(SITE)
        sealed = [sealed_earlier(plate_read(text, minute=at), plate, key) for at, (text, plate) in enumerate(reads)]
        insert_events(connection, sealed, at_most=len(sealed))


def short_transactions(connection: Connection) -> Transaction:
    """Return a factory of transactions with the conversion's time limits on an autocommit connection."""

    @contextmanager
    def transaction() -> Generator[Connection]:
        with connection.transaction():
            limit_transaction(connection)
            yield connection

    return transaction


def plates(url: str) -> list[tuple[str, str]]:
    return rows(url, "SELECT plate_text, plate_normalized_text FROM plate_events ORDER BY captured_at, id")


def assert_counts_are_exact(url: str) -> None:
    assert rows(url, PLATE_RECOUNT) == rows(url, RECOUNT) == []


def pattern(url: str, kind: str, text: str, max_distance: int | None = None) -> int:
    [(number,)] = rows(
        url,
        "WITH list AS (INSERT INTO watchlists (name) VALUES (%s) RETURNING watchlist_id)"
        " INSERT INTO watchlist_patterns (watchlist_id, kind, pattern, max_distance)"
        " SELECT watchlist_id, %s, %s, %s FROM list RETURNING pattern_id",
        [f"{kind} {text}", kind, text, max_distance],
    )
    return number


def test_cloud_a3_stored_reads_are_converted_by_the_migration(
    database_url: str, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    """The form is computed from the text as read. A form of the device's own stays. Patterns to check are reported."""
    downgrade(database_url, BEFORE)
    reads = [
        (CYRILLIC, DIGITS),
        (OTHER, DIGITS),
        (DIGITS, DIGITS),
        ("京A 1234", "A1234"),
        ("Mü 1", "OWN1"),
        ("B-1", "B1"),
    ]
    store_earlier(database_url, *((plate_read(text, minute=at), plate) for at, (text, plate) in enumerate(reads)))
    affected = [pattern(database_url, "exact", DIGITS), pattern(database_url, "fuzzy", "12378", 1)]
    unaffected = [pattern(database_url, "glob", "*77"), pattern(database_url, "exact", "B1")]
    before = rows(database_url, "SELECT event_id, id, timestamp, created_at FROM events ORDER BY event_id")
    upgrade(database_url)
    assert plates(database_url) == [
        (CYRILLIC, "A123BC77"),
        (OTHER, "O123KK77"),
        (DIGITS, DIGITS),
        ("京A 1234", "京A1234"),
        ("Mü 1", "OWN1"),
        ("B-1", "B1"),
    ]
    assert rows(database_url, "SELECT event_id, id, timestamp, created_at FROM events ORDER BY event_id") == before
    assert_counts_are_exact(database_url)
    assert [
        number for number, _ in rows(database_url, "SELECT * FROM plate_conversion_patterns ORDER BY 1")
    ] == affected
    assert cli("status", PLATE_MASTER_KEY="") == 0
    stdout = capsys.readouterr().out
    for number in affected:
        assert f"Pattern {number} of watch-list" in stdout
    assert not any(f"Pattern {number} " in stdout for number in unaffected)
    stored = rows(database_url, "SELECT pattern FROM watchlist_patterns ORDER BY pattern_id")
    assert [text for (text,) in stored] == [DIGITS, "12378", "*77", "B1"]
    downgrade(database_url, BEFORE)
    assert plates(database_url)[0] == (CYRILLIC, "A123BC77")
    upgrade(database_url)
    assert_counts_are_exact(database_url)


def test_cloud_a3_reads_stored_during_the_roll_out_are_converted_by_the_command(
    database_url: str, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    """An earlier release still stores reads then. The command can be repeated and needs no key."""
    store_earlier(database_url, (plate_read(CYRILLIC), DIGITS))
    assert cli("renormalize", PLATE_MASTER_KEY="") == 0
    assert plates(database_url) == [(CYRILLIC, "A123BC77")]
    store_earlier(database_url, (plate_read(OTHER, minute=-60), DIGITS))
    assert cli("renormalize", PLATE_MASTER_KEY="") == 0
    assert cli("renormalize", PLATE_MASTER_KEY="") == 0
    assert plates(database_url) == [(OTHER, "O123KK77"), (CYRILLIC, "A123BC77")]
    assert_counts_are_exact(database_url)
    stdout = capsys.readouterr().out
    assert stdout.count("1 reads and 0 protected reads") == 2
    assert stdout.count("0 reads and 0 protected reads") == 1


def test_cloud_a3_an_interrupted_conversion_continues_where_it_stopped(database_url: str) -> None:
    """Each batch is a separate transaction, and completed batches are not read again."""
    reads = [(plate_read(f"Б{number}", minute=number), str(number)) for number in range(7)]
    store_earlier(database_url, *reads)
    batches = 0

    class StoppedError(Exception):
        pass

    with psycopg.connect(database_url, autocommit=True) as connection:
        complete = short_transactions(connection)

        def interrupted() -> Any:
            nonlocal batches
            batches += 1
            if batches == 3:
                raise StoppedError
            return complete()

        connection.execute("UPDATE plate_conversion SET captured_at = '1900-01-01T00:00Z', id = 0, completed_at = NULL")
        with pytest.raises(StoppedError):
            convert_unprotected_reads(interrupted, at_once=2)
        assert [plate for _, plate in plates(database_url)] == ["Б0", "Б1", "Б2", "Б3", "4", "5", "6"]
        assert convert_unprotected_reads(complete, at_once=2) == 3
    assert [plate for _, plate in plates(database_url)] == [f"Б{number}" for number in range(7)]
    assert_counts_are_exact(database_url)


def test_cloud_a3_a_conversion_does_not_wait_long_for_locks(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It retries if another transaction has locked an event, and raises a transient error after too many attempts."""
    store_earlier(database_url, (plate_read(CYRILLIC), DIGITS))
    monkeypatch.setattr(normal_form_conversion, "LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(normal_form_conversion, "_PAUSE_S", 0.05)
    with (
        psycopg.connect(database_url, autocommit=True) as connection,
        psycopg.connect(database_url) as holder,
    ):
        connection.execute("UPDATE plate_conversion SET captured_at = '1900-01-01T00:00Z', id = 0, completed_at = NULL")
        holder.execute("SELECT FROM events FOR UPDATE")
        with pytest.raises(TransientError, match="too busy"):
            convert_unprotected_reads(short_transactions(connection))
        assert rows(database_url, "SELECT count(*) FROM plate_events WHERE plate_normalized_text = %s", [DIGITS]) == [
            (1,)
        ]
        later = threading.Timer(0.2, holder.rollback)
        later.start()
        assert convert_unprotected_reads(short_transactions(connection)) == 1
        later.join()


def test_cloud_a3_protected_reads_are_found_before_they_are_converted(database_url: str, tmp_path: Path) -> None:
    """Several plates share the token of an earlier release; a search or deletion still affects only one of them."""
    protect(database_url, tmp_path)
    store_sealed(database_url, tmp_path, (CYRILLIC, DIGITS), (OTHER, DIGITS), (DIGITS, DIGITS), ("京A1", "A1"))
    mark_for_conversion(database_url)
    with api(database_url, tmp_path, reader=True) as calls:
        for text in (CYRILLIC, "A123BC77", OTHER, DIGITS, "京A1"):
            answer = calls.get("/api/plates", plate=text).json()
            assert answer["total"] == 1, text
            assert calls.get("/api/events", license_plate=text, site_id=SITE).json()["total"] == 1, text
            assert calls.get(f"/api/plates/{text}").json()["total_events"] == 1, text
        [read] = calls.get("/api/plates", plate="a123bc77").json()["plates"]
        assert (read["plate_text"], read["plate_normalized_text"]) == (CYRILLIC, "A123BC77")
        assert calls.get("/api/plates", plate="沪A1").json()["total"] == 0
        assert calls.post("/api/events/delete", {"license_plate": CYRILLIC}).json()["deleted"] == 1
        assert calls.get("/api/plates", plate=DIGITS).json()["total"] == 1
        assert calls.get("/api/plates", plate=OTHER).json()["total"] == 1
    with api(database_url, tmp_path, reader=True, max_opened=1) as calls:
        assert calls.get("/api/plates", plate=DIGITS).status == 422
    assert_counts_are_exact(database_url)


def mark_for_conversion(url: str) -> None:
    """Mark the sites with keys as having reads of an earlier release, as the migration does."""
    rows(url, "INSERT INTO plate_conversion_sites (site_id) SELECT DISTINCT site_id FROM site_keys RETURNING site_id")


def test_cloud_a3_protected_reads_are_converted_by_the_command(
    database_url: str, tmp_path: Path, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    """This needs the site's key. Without it the site is listed and not converted."""
    protect(database_url, tmp_path)
    store_sealed(database_url, tmp_path, (CYRILLIC, DIGITS), (OTHER, DIGITS), (DIGITS, DIGITS))
    mark_for_conversion(database_url)
    [(token,)] = rows(database_url, "SELECT DISTINCT plate_normalized_text FROM plate_events")
    number = pattern(database_url, "exact", token)
    assert cli("renormalize", PLATE_MASTER_KEY="") == 2
    assert cli("status") == 0
    out, err = capsys.readouterr()
    assert "vedette-plates renormalize" in out
    assert f"their keys are unavailable: {SITE}" in err
    assert cli("renormalize") == 0
    out, err = capsys.readouterr()
    assert "0 reads and 2 protected reads" in out
    assert f"Pattern {number} of watch-list" in out
    assert rows(database_url, "SELECT * FROM plate_conversion_sites") == []
    assert len(rows(database_url, "SELECT DISTINCT plate_normalized_text FROM plate_events")) == 3
    with api(database_url, tmp_path) as calls:
        for text in (CYRILLIC, OTHER, DIGITS):
            assert calls.get("/api/plates", plate=text).json()["total"] == 1, text
    with protection(database_url, tmp_path) as one:
        assert one.unprotect(SITE) == 3
    assert plates(database_url) == [(CYRILLIC, "A123BC77"), (OTHER, "O123KK77"), (DIGITS, DIGITS)]
    assert_counts_are_exact(database_url)


def test_cloud_a3_protecting_and_unprotecting_correct_the_normal_form(database_url: str, tmp_path: Path) -> None:
    """Sealing or decrypting a read of an earlier release converts it to the current form."""
    store_earlier(database_url, (plate_read(CYRILLIC), DIGITS))
    protect(database_url, tmp_path)
    with api(database_url, tmp_path) as calls:
        assert calls.get("/api/plates", plate=CYRILLIC).json()["total"] == 1
        assert calls.get("/api/plates", plate=DIGITS).json()["total"] == 0
    with protection(database_url, tmp_path) as one:
        one.unprotect(SITE)
    store_sealed(database_url, tmp_path, (OTHER, DIGITS))
    with protection(database_url, tmp_path) as one:
        one.unprotect(SITE)
    assert sorted(plate for _, plate in plates(database_url)) == ["A123BC77", "O123KK77"]


def test_cloud_a3_fuzzy_search_supports_every_alphabet(database_url: str) -> None:
    """Similar plates in another alphabet are found, also if the database's locale does not know its letters."""
    stored = ["١٢٣أبج", "١٢٣أبد", "١٢٩نسص", "京A12345", "沪A12345", "Б123ГД77", "A12345", "~AAAAAAAAAAAAAAAAAAAAAA"]
    with psycopg.connect(database_url) as connection:
        with connection.cursor().copy("COPY plates (plate_normalized_text, events) FROM STDIN") as copy:
            for plate in stored:
                copy.write_row((plate, 1))

        def near(plate: str, max_distance: int = 1) -> list[tuple[str, float]]:
            return [(one.plate, one.distance) for one in near_plates(connection, plate, max_distance=max_distance)]

        assert near("١٢٣أبج") == [("١٢٣أبج", 0), ("١٢٣أبد", 1)]
        assert near("京A12345") == [("京A12345", 0), ("A12345", 1), ("沪A12345", 1)]
        assert near("A12345") == [("A12345", 0), ("京A12345", 1), ("沪A12345", 1)]
        assert near("Б123ГД71") == [("Б123ГД77", 1)]
        assert near("ГД12399") == []
