"""Operators' actions on protected plates: protecting, changing and destroying keys, retention, the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from cloud_functions.aws import AwsClients
from cloud_functions.db.migrate import downgrade, upgrade
from cloud_functions.db.retention.holds import HeldItem, NewHold, place_hold, release_hold
from cloud_functions.maintenance.handler import build_maintenance
from cloud_functions.plates.master_keys import KmsMasterKey, make_key_file
from cloud_functions.privacy.cli import main
from cloud_functions.privacy.protection import Protection
from shared.clock import ManualClock, format_utc
from shared.errors import ConfigurationError, TransientError
from tests.support.ingest_harness import RECOUNT, open_database, rows
from tests.support.plate_reads import PLATE_RECOUNT, plate_read
from tests.support.protected_sites import (
    SITE,
    api,
    dump,
    key_file,
    keys,
    open_sealing_ingest,
    protect,
    protection,
    setting,
)
from tests.support.waiting import WAITS_FOR_ADVISORY_LOCK, eventually
from tests.support.wire_events import NOON, batch, failures, wire_event

ROWS = "SELECT * FROM events ORDER BY id"


def stored(url: str, folder: Path, *events: dict[str, Any]) -> None:
    with open_sealing_ingest(url, folder) as ingest:
        assert failures(ingest.handle(batch(events))) == []


def assert_counts_are_exact(url: str) -> None:
    assert rows(url, PLATE_RECOUNT) == rows(url, RECOUNT) == []


def texts(url: str, folder: Path) -> list[str | None]:
    """Return the plates that a reader gets, newest first."""
    with api(url, folder, reader=True) as calls:
        return [read["plate_text"] for read in calls.get("/api/plates", limit=500).json()["plates"]]


@pytest.fixture
def cli(database_url: str, tmp_path: Path) -> Callable[..., int]:
    variables = {"DATABASE_URL": database_url, "PLATE_MASTER_KEY": setting(tmp_path)}
    return lambda *arguments, **more: main(arguments, variables=variables | more)


def test_stored_reads_are_sealed_and_decrypted_again(database_url: str, tmp_path: Path) -> None:
    """More than one batch. After sealing no table contains a plate, and after decrypting every row is as before."""
    reads = [plate_read(f"GQ {1000 + number % 700} ZX", minute=number / 60) for number in range(1200)]
    stored(database_url, tmp_path, *reads, plate_read("PUBLIC 1", site_id="yard"), wire_event("motion"))
    before = rows(database_url, ROWS)
    assert protect(database_url, tmp_path) == 1200
    tables = dump(database_url)
    plate = re.compile(r"GQ ?1\d{3} ?ZX")  # a random token may contain a part of it
    assert not plate.search(tables)
    assert "PUBLIC 1" in tables
    assert_counts_are_exact(database_url)
    assert rows(database_url, "SELECT count(*) FROM plates WHERE plate_normalized_text >= '~'") == [(700,)]
    assert protect(database_url, tmp_path) == 0  # nothing is left to seal
    assert len(texts(database_url, tmp_path)) == 500
    with protection(database_url, tmp_path) as one:
        assert one.unprotect(SITE) == 1200
    assert rows(database_url, ROWS) == before
    assert_counts_are_exact(database_url)
    assert rows(database_url, "SELECT count(*) FROM plates WHERE plate_normalized_text >= '~'") == [(0,)]


def test_plates_sealed_with_a_destroyed_key_are_unreadable(database_url: str, tmp_path: Path) -> None:
    """They cannot be searched either. Later reads are sealed with a new key, and counts stay exact."""
    protect(database_url, tmp_path)
    stored(database_url, tmp_path, plate_read("GQ 777 ZX"))
    with api(database_url, tmp_path, reader=True) as calls:
        assert calls.get("/api/plates", plate="GQ777ZX").json()["total"] == 1
        with protection(database_url, tmp_path) as one:
            assert one.destroy(SITE) == 1
        stored(database_url, tmp_path, plate_read("GQ 777 ZX", minute=1))
        answer = calls.get("/api/plates", plate="GQ777ZX").json()  # the same process, which had cached the key
        assert [read["plate_text"] for read in answer["plates"]] == ["GQ 777 ZX"]
        listed = calls.get("/api/plates").json()
        assert [read["plate_text"] for read in listed["plates"]] == ["GQ 777 ZX", None]
        assert calls.get("/api/plates", plate="GQ7", match="prefix").json()["total"] == 1
    with protection(database_url, tmp_path) as one:
        assert one.unprotect(SITE) == 1
    assert texts(database_url, tmp_path) == ["GQ 777 ZX", None]
    assert_counts_are_exact(database_url)
    with protection(database_url, tmp_path) as one:
        assert one.destroy(SITE) == 1
    assert rows(database_url, "SELECT * FROM site_keys") == []


@pytest.mark.parametrize("hold_of", ["event", "camera", "everything"])
def test_keys_of_held_plates_are_not_destroyed(database_url: str, tmp_path: Path, hold_of: str) -> None:
    """A hold on the read, its camera or everything keeps the keys; one on another day, camera or type does not."""
    protect(database_url, tmp_path)
    stored(database_url, tmp_path, plate_read("GQ 777 ZX"))
    [(event_id, camera_id, at)] = rows(database_url, 'SELECT event_id, camera_id, "timestamp" FROM events')
    day = timedelta(days=1)
    unrelated = [
        HeldItem(None, "another-camera", None, None),
        HeldItem(None, camera_id, at + day, None),
        HeldItem(None, None, None, at - day),
        HeldItem(uuid4(), None, None, None),
    ]
    held = {
        "event": HeldItem(event_id, None, None, None),
        "camera": HeldItem(None, camera_id, at, at),
        "everything": HeldItem(None, None, None, None),
    }[hold_of]
    with psycopg.connect(database_url) as connection:
        place_hold(connection, NewHold("unrelated", "a test", "admin", None, unrelated))
        hold_id = place_hold(connection, NewHold("case 12", "a test", "admin", None, [held])).hold_id
    with protection(database_url, tmp_path) as one:
        with pytest.raises(ConfigurationError, match=f"site {SITE} are on legal hold: case 12; nothing was destroyed"):
            one.destroy(SITE)
        assert texts(database_url, tmp_path) == ["GQ 777 ZX"]
        with psycopg.connect(database_url) as connection:
            release_hold(connection, hold_id, by="admin", reason=None)
        assert one.destroy(SITE) == 1


def test_reads_are_found_after_a_new_data_key(database_url: str, tmp_path: Path) -> None:
    """A search uses the tokens of all keys of the site."""
    protect(database_url, tmp_path)
    stored(database_url, tmp_path, plate_read("GQ 777 ZX"))
    with protection(database_url, tmp_path) as one:
        one.renew(SITE)
    stored(database_url, tmp_path, plate_read("GQ 777 ZX", minute=1))
    assert texts(database_url, tmp_path) == ["GQ 777 ZX"] * 2
    with api(database_url, tmp_path) as calls:
        reads = calls.get("/api/plates", plate="GQ777ZX").json()["plates"]
    assert len({read["plate_token"] for read in reads}) == 2


def test_changing_the_master_key_changes_no_read(
    database_url: str, tmp_path: Path, moto_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file to KMS: the data key is wrapped again, the file is no longer needed, and tokens stay the same."""
    protect(database_url, tmp_path)
    stored(database_url, tmp_path, plate_read("GQ 777 ZX"))
    before = rows(database_url, ROWS)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    aws = AwsClients()
    kms = KmsMasterKey(aws.client("kms").create_key()["KeyMetadata"]["Arn"], aws=aws)
    database = open_database(database_url)
    assert Protection(database=database, master_keys=kms).rewrap(old=keys(tmp_path)) == 1
    key_file(tmp_path).unlink()
    assert rows(database_url, ROWS) == before
    assert Protection(database=database, master_keys=kms).unprotect(SITE) == 1
    assert rows(database_url, "SELECT plate_text FROM plate_events") == [("GQ 777 ZX",)]
    database.close()


def test_a_site_is_not_protected_if_its_key_is_unavailable(
    database_url: str, tmp_path: Path, cli: Callable[..., int]
) -> None:
    """Otherwise its plates would stay in the queue, because ingest has no key either."""
    protect(database_url, tmp_path)
    with protection(database_url, tmp_path) as one:
        one.unprotect(SITE)
    stored(database_url, tmp_path, plate_read("GQ 777 ZX"))
    other = tmp_path / "other.key"
    make_key_file(other)
    assert cli("protect", SITE, PLATE_MASTER_KEY=f"file:{other}") == 2
    assert rows(database_url, "SELECT plates_protected FROM sites") == [(False,)]
    assert rows(database_url, "SELECT plate_text FROM plate_events") == [("GQ 777 ZX",)]
    assert cli("protect", SITE) == 0
    assert rows(database_url, "SELECT count(*) FROM plate_events WHERE starts_with(plate_text, 'GQ')") == [(0,)]


def test_changed_and_moved_data_is_not_decrypted(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A sealed plate in another row stays sealed, and the other rows are decrypted. The log names the row."""
    protect(database_url, tmp_path)
    stored(database_url, tmp_path, *(plate_read(f"GQ 77{number} ZX", minute=number) for number in range(3)))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE events SET plate_sealed = (SELECT plate_sealed FROM events ORDER BY timestamp LIMIT 1)"
            " WHERE timestamp = (SELECT max(timestamp) FROM events)"
        )
    assert texts(database_url, tmp_path) == [None, "GQ 771 ZX", "GQ 770 ZX"]
    assert "cannot be decrypted" in caplog.text
    assert "GQ77" not in caplog.text.replace(" ", "")
    with protection(database_url, tmp_path) as one:
        assert one.unprotect(SITE) == 2


OLD = NOON - timedelta(days=10)


def events_of(site_id: str, day: datetime, number: int, **fields: Any) -> list[dict[str, Any]]:
    times = [day + timedelta(minutes=minute) for minute in range(number)]
    kinds = ("anpr", "tracking")
    return [
        wire_event(kinds[minute % 2], site_id=site_id, timestamp=format_utc(moment), **fields)
        for minute, moment in enumerate(times)
    ]


def test_each_site_has_its_own_retention(database_url: str, tmp_path: Path) -> None:
    """Plates can expire before other events. Counts stay exact, and plates without reads are deleted."""
    for site_id in ("hq", "yard", "gate"):
        for days in (1, 10, 40):
            moment = NOON - timedelta(days=days)
            stored(
                database_url, tmp_path, *events_of(site_id, moment, 6), plate_read(f"{site_id} {days}", site_id=site_id)
            )
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO sites (site_id, plate_retention_days, event_retention_days)"
            " VALUES ('hq', 5, 30), ('yard', NULL, 5), ('other', 1, 1)"
        )
    maintenance = build_maintenance(
        {"DATABASE_URL": database_url}, database=(database := open_database(database_url)), clock=ManualClock(NOON)
    )
    deleted = maintenance.handle({"task": "retention"})["retention"]
    assert deleted == 6 + 3 + 6 + 6
    remaining = rows(
        database_url,
        "SELECT site_id, event_type, count(*), min(timestamp) FROM events WHERE timestamp < %s"
        " GROUP BY 1, 2 ORDER BY 1, 2",
        [NOON - timedelta(hours=1)],
    )
    assert remaining == [
        ("gate", "anpr", 9, NOON - timedelta(days=40)),
        ("gate", "tracking", 9, NOON - timedelta(days=40, minutes=-1)),
        ("hq", "anpr", 3, NOON - timedelta(days=1)),
        ("hq", "tracking", 6, NOON - timedelta(days=10, minutes=-1)),
        ("yard", "anpr", 3, NOON - timedelta(days=1)),
        ("yard", "tracking", 3, NOON - timedelta(days=1, minutes=-1)),
    ]
    assert_counts_are_exact(database_url)
    assert rows(database_url, "SELECT count(*) FROM plates WHERE events = 0") == [(0,)]
    assert maintenance.handle({"task": "retention"}) == {"retention": 0}
    database.close()


def test_retention_is_exact_to_the_minute(database_url: str, tmp_path: Path) -> None:
    """Also for protected plates, when the limit is within a day."""
    protect(database_url, tmp_path)
    limit = NOON - timedelta(days=1)
    reads = [plate_read(f"GQ {number} ZX", minute=(number - 3) - 24 * 60) for number in range(6)]
    stored(database_url, tmp_path, *reads)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE sites SET plate_retention_days = 1")
    maintenance = build_maintenance(
        {"DATABASE_URL": database_url}, database=(database := open_database(database_url)), clock=ManualClock(NOON)
    )
    assert maintenance.handle({"task": "retention"}) == {"retention": 3}
    assert rows(database_url, "SELECT min(timestamp) FROM events") == [(limit,)]
    assert rows(database_url, "SELECT count(*) FROM plates") == [(3,)]
    database.close()


def test_the_command_line_manages_keys_and_sites(
    database_url: str, tmp_path: Path, cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """From creating a key file to destroying keys. No command prints a key or a plate."""
    path = tmp_path / "new.key"
    assert main(["key", "new", str(path)]) == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert main(["key", "add", str(path)]) == 0
    assert main(["key", "new", str(path)]) == 2
    assert cli("status") == 0
    stored(database_url, tmp_path, plate_read("GQ 777 ZX"))
    assert cli("protect", SITE) == 0
    assert cli("retention", SITE, "--plates", "30") == 0
    assert cli("retention", "yard", "--events", "0") == 2
    assert cli("renew", SITE) == 0
    assert cli("rotate", "--from", setting(tmp_path), PLATE_MASTER_KEY=f"file:{path}") == 0
    assert cli("rotate", PLATE_MASTER_KEY=f"file:{path}") == 0
    assert cli("status") == 0
    assert cli("unprotect", SITE, PLATE_MASTER_KEY=f"file:{path}") == 0
    assert cli("destroy", SITE) == 2
    assert cli("destroy", SITE, "--yes") == 0
    assert cli("protect", SITE, PLATE_MASTER_KEY="") == 2
    out, err = capsys.readouterr()
    assert "1 stored reads were sealed" in out
    assert "hq: plates protected; keeps plates for 30 days, events for the deployment's default" in out
    assert "no plate is protected" in out
    assert "1 stored reads were decrypted" in out
    assert "2 keys of site hq are destroyed" in out
    assert "confirm with --yes" in err
    assert "PLATE_MASTER_KEY must be" in err
    secrets = [line.split()[1] for line in path.read_text().splitlines() if not line.startswith("#")]
    assert len(secrets) == 2
    assert not any(secret in out + err for secret in [*secrets, "GQ 777", "GQ777"])
    with pytest.raises(SystemExit):
        cli("protect", "no/site")


def test_a_downgrade_is_rejected_while_plates_are_sealed(database_url: str, tmp_path: Path) -> None:
    """Dropping the column would destroy the only copy of the plates."""
    protect(database_url, tmp_path)
    stored(database_url, tmp_path, plate_read("GQ 777 ZX"), wire_event("motion"))
    with pytest.raises(Exception, match="open them first"):
        downgrade(database_url, "0005")
    with protection(database_url, tmp_path) as one:
        one.unprotect(SITE)
    downgrade(database_url, "0005")
    assert rows(database_url, "SELECT plate_text FROM plate_events") == [("GQ 777 ZX",)]
    upgrade(database_url)
    assert protect(database_url, tmp_path) == 1
    assert_counts_are_exact(database_url)


def test_a_new_partition_includes_the_sealed_data_of_its_events(database_url: str, tmp_path: Path) -> None:
    """Events in the default partition move to the partition of their month with their sealed data."""
    protect(database_url, tmp_path)
    old = wire_event("anpr", timestamp=format_utc(datetime(2020, 3, 3, tzinfo=UTC)))
    stored(database_url, tmp_path, old)
    assert rows(database_url, "SELECT count(*) FROM events_default") == [(1,)]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT events_ensure_partition('2020-03-03+00')")
    assert rows(database_url, "SELECT count(plate_sealed) FROM events_2020_03") == [(1,)]
    assert texts(database_url, tmp_path) == ["B 123 ABC"]


def test_protecting_waits_for_open_transactions(database_url: str, tmp_path: Path) -> None:
    """A plate of a transaction that began earlier is sealed with the stored ones, and later ones are rejected."""
    insert = (
        "INSERT INTO events (event_id, site_id, device_id, camera_id, event_type, timestamp, event_data)"
        " VALUES (gen_random_uuid(), 'hq', 'd', 'c', 'anpr', now(),"
        """ '{"plate_normalized": "GQ777ZX", "anpr_result": {"license_plate": "GQ 777 ZX", "confidence": 1}}')"""
    )
    with psycopg.connect(database_url) as writer, ThreadPoolExecutor(1) as pool:
        writer.execute(insert)
        protecting = pool.submit(protect, database_url, tmp_path)
        eventually(lambda: rows(database_url, WAITS_FOR_ADVISORY_LOCK) == [(1,)])
        assert not protecting.done()
        writer.commit()
        assert protecting.result() == 1
        with pytest.raises(psycopg.Error, match="protected"):
            writer.execute(insert)
    stored_values = dump(database_url)  # random tokens hold any two letters now and then
    assert "GQ777ZX" not in stored_values
    assert "GQ 777 ZX" not in stored_values


def test_protecting_times_out_behind_a_long_transaction(database_url: str, tmp_path: Path) -> None:
    """After some seconds it raises a transient error, so that other writers do not wait."""
    with psycopg.connect(database_url) as writer:
        writer.execute("SELECT pg_advisory_xact_lock_shared(8459402173)")
        with pytest.raises(TransientError):
            protect(database_url, tmp_path)
    assert rows(database_url, "SELECT * FROM sites") == []
