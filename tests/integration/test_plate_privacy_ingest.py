"""Protected plates during ingest: what is stored, published, matched and rejected."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import psycopg
import pytest

from cloud_functions.privacy.cli import main
from cloud_functions.privacy.plate_store import NewPlate, get_events_by_plate, insert_event
from cloud_functions.privacy.vault import PlateVault
from shared.errors import ConfigurationError
from tests.support.ingest_harness import RECOUNT, IngestHarness, open_ingest, rows
from tests.support.plate_reads import PLATE_RECOUNT, plate_read
from tests.support.protected_sites import SITE, api, dump, keys, protect, protection, setting
from tests.support.revealing_reads import OTHER_READING, PLATE, TEXT, assert_no_plate_revealed, revealing_read
from tests.support.wire_events import NOON, batch, failures, record, wire_event


def test_no_table_message_or_log_line_contains_a_protected_plate(
    database_url: str, tmp_path: Path, sealing_ingest: IngestHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """All tables, all published messages and all log lines are searched for the plate."""
    caplog.set_level(logging.DEBUG)
    protect(database_url, tmp_path)
    reads = [revealing_read(), revealing_read(minute=1, region="ro"), plate_read("PUBLIC 1", site_id="yard")]
    reads[0]["snapshot"] |= {"shows": PLATE}
    broken = revealing_read()
    broken["event_data"]["anpr_result"]["confidence"] = PLATE
    assert failures(sealing_ingest.handle(batch([*reads, broken]))) == []
    assert failures(sealing_ingest.handle(batch(reads))) == []  # a repeated delivery

    tables = dump(database_url)
    assert "PUBLIC1" in tables
    assert_no_plate_revealed(tables)
    assert_no_plate_revealed("".join(f"{one.document}{one.attributes}" for one in sealing_ingest.publisher.published))
    assert_no_plate_revealed(caplog.text)
    assert len(sealing_ingest.publisher.published) == 6
    assert sealing_ingest.dead_letters.reasons() == ["invalid"]
    assert_no_plate_revealed(sealing_ingest.dead_letters.sent[0].detail)
    assert rows(database_url, PLATE_RECOUNT) == rows(database_url, RECOUNT) == []


def test_subscribers_receive_a_token(database_url: str, tmp_path: Path, sealing_ingest: IngestHarness) -> None:
    """The document has all readable fields. One plate always has the same token, and subscribers can filter by it."""
    protect(database_url, tmp_path)
    sealing_ingest.handle(batch([revealing_read(), revealing_read(minute=1), revealing_read("GQ 778 ZX")]))
    first, second, third = sealing_ingest.publisher.documents()
    data = first["event_data"]
    assert data["plate_normalized"].startswith("~")
    assert (
        data["plate_normalized"] == second["event_data"]["plate_normalized"] != third["event_data"]["plate_normalized"]
    )
    assert data["anpr_result"] == {"license_plate": None, "confidence": 0.93, "region": "ro"}
    assert data["vehicle"] == {"type": "car", "make": None, "model": None, "color": "blue"}
    assert (data["plate_protected"], data["reads"], data["host"], data["track_uid"]) == (True, 5, None, "camera-1-77")
    attributes = sealing_ingest.publisher.published[0].attributes
    assert attributes["plate_token"] == data["plate_normalized"]
    assert "license_plate" not in attributes


def test_plates_that_cannot_be_sealed_stay_in_the_queue(database_url: str, tmp_path: Path) -> None:
    """Without the key a protected plate is neither stored nor lost, and the other messages are stored."""
    protect(database_url, tmp_path)
    invocation = batch([wire_event("motion"), revealing_read(), plate_read("PUBLIC 1", site_id="yard")])
    with open_ingest(database_url) as one:
        assert failures(one.handle(invocation)) == [invocation["Records"][1]["messageId"]]
        assert_no_plate_revealed(dump(database_url) + str(one.publisher.published))
    assert rows(database_url, "SELECT count(*) FROM events") == [(2,)]
    with open_ingest(database_url, PLATE_MASTER_KEY=setting(tmp_path)) as one:
        assert failures(one.handle(invocation)) == []
    assert rows(database_url, "SELECT count(*), count(plate_sealed) FROM events") == [(3, 1)]


def test_the_database_rejects_unsealed_plates(database_url: str, tmp_path: Path) -> None:
    """Also plates that another program inserts with SQL."""
    protect(database_url, tmp_path)
    insert = (
        "INSERT INTO events (event_id, site_id, device_id, camera_id, event_type, timestamp, event_data)"
        " VALUES (gen_random_uuid(), %s, 'd', 'c', 'anpr', now(), %s)"
    )
    data = json.dumps({"plate_normalized": TEXT, "anpr_result": {"license_plate": PLATE, "confidence": 1}})
    with psycopg.connect(database_url, autocommit=True) as connection:
        with pytest.raises(psycopg.Error, match="the plates of site hq are protected") as raised:
            connection.execute(insert, [SITE, data])
        assert raised.value.sqlstate == "VD001"
        connection.execute(insert, ["yard", data])
    assert rows(database_url, "SELECT site_id FROM plate_events") == [("yard",)]


def test_a_running_ingest_applies_a_change_of_protection(
    database_url: str, tmp_path: Path, sealing_ingest: IngestHarness
) -> None:
    """The next batch after ``protect`` or ``unprotect`` uses the new setting."""
    sealing_ingest.handle(batch([revealing_read()]))
    assert protect(database_url, tmp_path) == 1
    sealing_ingest.handle(batch([revealing_read(minute=1)]))
    assert_no_plate_revealed(dump(database_url))
    with protection(database_url, tmp_path) as one:
        assert one.unprotect(SITE) == 2
    sealing_ingest.handle(batch([revealing_read(minute=2)]))
    assert rows(database_url, "SELECT plate_text, events FROM plate_events, plates") == [(PLATE, 3)] * 3
    assert rows(database_url, PLATE_RECOUNT) == rows(database_url, RECOUNT) == []


def test_storing_a_protected_plate_requires_the_vault(database_url: str, tmp_path: Path) -> None:
    """With the vault, reads that a program stores are sealed and can be found; without it they are rejected."""
    protect(database_url, tmp_path)
    plate = NewPlate(site_id=SITE, device_id="d", camera_id="c", captured_at=NOON, plate_text=PLATE, confidence=1)
    vault = PlateVault(master_keys=keys(tmp_path))
    with psycopg.connect(database_url, autocommit=True) as connection:
        with pytest.raises(ConfigurationError, match="PLATE_MASTER_KEY"):
            insert_event(connection, plate)
        assert insert_event(connection, plate, vault=vault) is not None
        assert get_events_by_plate(connection, PLATE) == []
        [read] = get_events_by_plate(connection, PLATE, vault=vault)
    assert read.plate_text is None
    assert_no_plate_revealed(dump(database_url))


def test_watch_lists_match_protected_plates_without_revealing_them(
    database_url: str, tmp_path: Path, sealing_ingest: IngestHarness
) -> None:
    """Patterns of all kinds match. The message has the pattern's id and not its text."""
    protect(database_url, tmp_path)
    with api(database_url, tmp_path) as calls:
        number = calls.post("/api/plates/watchlists", {"name": f"has {TEXT}"}).json()["watchlist_id"]
        patterns = [
            {"kind": "exact", "pattern": PLATE, "reason": f"owner of {PLATE}"},
            {"kind": "fuzzy", "pattern": OTHER_READING, "max_distance": 1, "reason": "wanted"},
            {"kind": "glob", "pattern": "GQ*"},
            {"kind": "regex", "pattern": "777ZX$"},
        ]
        assert calls.post(f"/api/plates/watchlists/{number}/patterns", {"patterns": patterns}).status == 201
    sealing_ingest.handle(batch([revealing_read()]))
    _, match = sealing_ingest.publisher.published
    assert_no_plate_revealed(match.document)
    data = json.loads(match.document)["event_data"]
    assert data["watchlist_match_count"] == 4
    assert [one["reason"] for one in data["watchlist_matches"]] == [None, "wanted", None, None]
    assert {one["pattern"] for one in data["watchlist_matches"]} == {None}


def test_a_pattern_can_be_stored_as_a_token(database_url: str, tmp_path: Path, sealing_ingest: IngestHarness) -> None:
    """An exact pattern for one protected site matches there, and no table contains the plate."""
    protect(database_url, tmp_path)
    with api(database_url, tmp_path) as calls:
        number = calls.post("/api/plates/watchlists", {"name": "stolen"}).json()["watchlist_id"]
        path = f"/api/plates/watchlists/{number}/patterns"
        answer = calls.post(path, {"patterns": [{"kind": "exact", "pattern": PLATE, "site_id": SITE}]})
        assert answer.status == 201
        assert answer.json()["patterns"][0]["pattern"].startswith("~")
        assert_no_plate_revealed(answer.body.decode() + calls.get(path).body.decode())
        for invalid in (
            {"kind": "glob", "pattern": "GQ*", "site_id": SITE},
            {"kind": "exact", "pattern": PLATE, "site_id": "yard"},
        ):
            assert calls.post(path, {"patterns": [invalid]}).status == 422
    sealing_ingest.handle(batch([revealing_read(), plate_read(PLATE, site_id="yard"), revealing_read("GQ 778 ZX")]))
    matches = [one for one in sealing_ingest.publisher.documents() if one["event_type"] == "plate_match"]
    assert [one["site_id"] for one in matches] == [SITE]
    assert matches[0]["event_data"]["watchlist_matches"][0]["kind"] == "exact"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM events WHERE site_id = 'yard'")
        connection.execute("DELETE FROM plates WHERE events = 0")
    assert_no_plate_revealed(dump(database_url))


def test_rejected_messages_of_a_protected_site_are_stored_sealed(
    database_url: str,
    tmp_path: Path,
    sealing_ingest: IngestHarness,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An operator with the key can open the dead letter. Those of other sites are not sealed."""
    protect(database_url, tmp_path)
    broken = [read | {"schema_version": 99} for read in (revealing_read(), plate_read("PUBLIC 1", site_id="yard"))]
    invocation = batch(broken)
    invocation["Records"].append(record(f"no envelope, {PLATE}"))
    assert failures(sealing_ingest.handle(invocation)) == []
    of_no_site, sealed, plain = sealing_ingest.dead_letters.sent
    assert_no_plate_revealed(of_no_site.body)
    assert plain.body == invocation["Records"][1]["body"]
    payload = json.loads(invocation["Records"][0]["body"])["payload_base64"]
    assert payload[:100] not in sealed.body
    variables = {"DATABASE_URL": database_url, "PLATE_MASTER_KEY": setting(tmp_path)}
    monkeypatch.setattr("sys.stdin", io.StringIO(sealed.body))
    assert main(["open-letter"], variables=variables) == 0
    assert capsys.readouterr().out.strip() == invocation["Records"][0]["body"]
    monkeypatch.setattr("sys.stdin", io.StringIO(plain.body))
    assert main(["open-letter"], variables=variables) == 1
    assert "not a rejected message" in capsys.readouterr().err


def test_rejected_messages_are_retried_while_their_site_is_unknown(tmp_path: Path) -> None:
    """Without the database the protected sites are unknown, so the messages return to the queue."""
    invocation = batch([revealing_read() | {"schema_version": 99}])
    with open_ingest("postgresql://127.0.0.1:1/nowhere", PLATE_MASTER_KEY=setting(tmp_path)) as one:
        assert failures(one.handle(invocation)) == [invocation["Records"][0]["messageId"]]
        assert one.dead_letters.sent == []
