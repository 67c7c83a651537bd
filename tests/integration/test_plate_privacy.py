"""Protected plates in responses of the API: what readers and other callers can find and read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cloud_functions.api.security.plate_access import PlateAccess
from cloud_functions.api.security.plate_read_policy import PlateReadPolicy
from cloud_functions.api.security.roles import permissions_of
from cloud_functions.db.plates.search import trigram_similarity
from cloud_functions.privacy.vault import PlateVault
from tests.support.ingest_harness import RECOUNT, IngestHarness, open_ingest, rows
from tests.support.plate_reads import PLATE_RECOUNT, plate_read
from tests.support.protected_sites import SITE, api, keys, protect, setting
from tests.support.revealing_reads import PLATE, TEXT, assert_no_plate_revealed, revealing_read
from tests.support.users import add_key, bearer, users_api
from tests.support.wire_events import batch, failures, wire_event


def stored(url: str, *reads: dict[str, Any], folder: Path) -> list[int]:
    with open_ingest(url, PLATE_MASTER_KEY=setting(folder)) as one:
        assert failures(one.handle(batch(reads))) == []
    ids = [read["event_id"] for read in reads]
    return [row[0] for row in rows(url, "SELECT id FROM events WHERE event_id = ANY(%s) ORDER BY id", [ids])]


def test_exact_search_finds_protected_plates_for_every_caller(
    database_url: str, tmp_path: Path, sealing_ingest: IngestHarness
) -> None:
    """By the plate in any spelling and by its token; lists, history, events, statistics and counts agree."""
    protect(database_url, tmp_path)
    sealing_ingest.handle(
        batch([revealing_read(), revealing_read(minute=2), plate_read(PLATE, site_id="yard", minute=1)])
    )
    with api(database_url, tmp_path) as calls:
        answer = calls.get("/api/plates", plate="gq 777-zx").json()
        assert answer["total"] == 3
        masked, open_read, _ = answer["plates"]
        assert (masked["plate_text"], masked["plate_normalized_text"]) == (None, None)
        assert (open_read["plate_text"], open_read["plate_token"]) == (PLATE, None)
        token = masked["plate_token"]
        assert calls.get("/api/plates", plate=token).json()["total"] == 2
        assert calls.get("/api/plates", plate=PLATE, site_id=SITE).json()["total"] == 2
        assert calls.get("/api/plates", plate=PLATE, region="ro", limit=1).json()["total"] == 3
        history = calls.get(f"/api/plates/{TEXT}").json()
        assert (history["total_events"], len(history["cameras"]), len(history["plates"])) == (3, 2, 3)
        assert calls.get(f"/api/plates/{token}").json()["total_events"] == 2
        assert calls.get(f"/api/events/plate/{TEXT}").json()["total"] == 3
        events = calls.get("/api/events", license_plate=PLATE, site_id=SITE)
        assert events.json()["total"] == 2
        assert calls.get("/api/events/stats", license_plate=PLATE).json()["total_events"] == 3
        assert calls.get("/api/plates/stats").json()["unique_plates"] == 2
        for path in ("/api/events?site_id=hq", "/api/plates?site_id=hq", "/api/events/export?site_id=hq&format=csv"):
            assert_no_plate_revealed(calls.get(path).body.decode())
        assert calls.get("/api/plates", plate="GQ 778 ZX").json()["total"] == 0
        assert calls.get("/api/plates", plate=token, match="prefix").status == 422


def test_prefix_and_fuzzy_search_of_protected_plates_require_a_reader(
    database_url: str, tmp_path: Path, sealing_ingest: IngestHarness
) -> None:
    """Other callers search unprotected sites only, and a protected ``site_id`` is a 403; readers search all sites."""
    protect(database_url, tmp_path)
    sealing_ingest.handle(
        batch([revealing_read(), revealing_read("GQ 771 ZX", minute=1), plate_read(PLATE, site_id="yard", minute=2)])
    )
    with api(database_url, tmp_path) as calls:
        for match, plate in (("prefix", "GQ7"), ("fuzzy", "GQ77ZX")):
            answer = calls.get("/api/plates", plate=plate, match=match)
            assert [read["site_id"] for read in answer.json()["plates"]] == ["yard"]
            assert answer.json()["total"] == 1
            rejected = calls.get("/api/plates", plate=plate, match=match, site_id=SITE)
            assert (rejected.status, rejected.json()["type"]) == (403, "urn:vedette:problem:plates-protected")
    with api(database_url, tmp_path, reader=True) as calls:
        answer = calls.get("/api/plates", plate="GQ7", match="prefix").json()
        assert (answer["total"], len(answer["plates"])) == (3, 3)
        assert {read["plate_normalized_text"] for read in answer["plates"]} == {TEXT, "GQ771ZX"}
        assert calls.get("/api/plates", plate="GQ777", match="prefix", site_id=SITE).json()["total"] == 1
        answer = calls.get("/api/plates", plate="6Q777ZX", match="fuzzy").json()
        assert [read["plate_normalized_text"] for read in answer["plates"]] == [TEXT, TEXT, "GQ771ZX"]
        assert {read["distance"] for read in answer["plates"][:2]} == {0.25}
        assert answer["plates"][0]["similarity"] == answer["plates"][1]["similarity"]
        later = calls.get("/api/plates", plate="6Q777ZX", match="fuzzy", start_time="2026-11-20T12:01:00Z").json()
        assert [read["plate_text"] for read in later["plates"]] == [PLATE, "GQ 771 ZX"]
        first = calls.get("/api/plates", plate="6Q777ZX", match="fuzzy", limit=2).json()
        second = calls.get("/api/plates", plate="6Q777ZX", match="fuzzy", cursor=first["next_cursor"]).json()
        assert [read["plate_text"] for read in second["plates"]] == ["GQ 771 ZX"]


def test_readers_get_plates_as_the_device_sent_them(
    database_url: str, tmp_path: Path, sealing_ingest: IngestHarness
) -> None:
    """Plates are decrypted in every response with events or reads, including the fields of a newer agent."""
    protect(database_url, tmp_path)
    read = revealing_read()
    sealing_ingest.handle(batch([read, wire_event("motion")]))
    with api(database_url, tmp_path, reader=True) as calls:
        number = calls.get("/api/events", event_type="anpr").json()["events"][0]["id"]
        shown = [
            calls.get(f"/api/events/{number}").json(),
            calls.get("/api/events/recent").json()["events"][-1],
            calls.get("/api/events", license_plate=TEXT).json()["events"][0],
            calls.get("/api/events/camera/camera-1", event_type="anpr").json()["events"][0],
            json.loads(calls.get("/api/events/export", event_type="anpr").body),
        ]
        for event in shown:
            assert event["event_data"]["candidates"] == read["event_data"]["candidates"]
            assert event["event_data"]["newer"] == read["event_data"]["newer"]
        listed = calls.get("/api/plates").json()["plates"][0]
        assert (listed["plate_text"], listed["plate_normalized_text"]) == (PLATE, TEXT)
        assert listed["plate_token"].startswith("~")
        assert calls.get(f"/api/plates/{TEXT}").json()["plates"][0]["plate_text"] == PLATE


def test_snapshots_of_protected_plates_require_a_reader(
    database_url: str, tmp_path: Path, sealing_ingest: IngestHarness
) -> None:
    """The snapshot shows the plate. Other snapshots of a protected site are returned."""
    protect(database_url, tmp_path)
    sealing_ingest.handle(batch([revealing_read(), wire_event("motion")]))
    numbers = dict(rows(database_url, "SELECT event_type, id FROM events"))
    for reader, status in ((False, 403), (True, 404)):
        with api(database_url, tmp_path, reader=reader) as calls:
            for what in ("snapshot", "thumbnail", "snapshot-url"):
                assert calls.get(f"/api/events/{numbers['anpr']}/{what}").status == status
                assert calls.get(f"/api/events/{numbers['motion']}/{what}").status == 404


def test_an_api_without_the_key_returns_503(database_url: str, tmp_path: Path, sealing_ingest: IngestHarness) -> None:
    """It cannot know whether a protected plate matches, so it does not return an empty list."""
    protect(database_url, tmp_path)
    sealing_ingest.handle(batch([revealing_read(), plate_read(PLATE, site_id="yard")]))
    with api(database_url, None, reader=True) as calls:
        answer = calls.get("/api/plates", plate=PLATE)
        assert (answer.status, answer.json()["type"]) == (503, "urn:vedette:problem:plate-keys-away")
        assert_no_plate_revealed(answer.body.decode())
        assert calls.get("/api/plates", plate=PLATE, site_id="yard").json()["total"] == 1
        assert calls.get("/api/plates").status == 503  # a reader's list is decrypted
    with api(database_url, None) as calls:
        assert calls.get("/api/plates").json()["total"] == 2


def test_trigram_similarity_equals_that_of_the_database(database_url: str) -> None:
    """Protected plates are ranked by the same similarity as unprotected ones."""
    pairs = [("GQ777ZX", "6Q777ZX"), ("AB1", "AB1"), ("A1", "ZZ99"), ("AAAA", "AAAAAA"), ("AB12CD", "CD12AB")]
    with psycopg.connect(database_url) as connection:
        for one, other in pairs:
            [(expected,)] = connection.execute("SELECT similarity(%s, %s)::float8", [one, other]).fetchall()
            assert trigram_similarity(one, other) == pytest.approx(expected, abs=1e-6)


def test_a_search_that_decrypts_too_many_plates_is_rejected(
    database_url: str, tmp_path: Path, sealing_ingest: IngestHarness
) -> None:
    """The 422 names the reason, and a narrower search succeeds."""
    protect(database_url, tmp_path)
    sealing_ingest.handle(batch([revealing_read(f"GQ 77{number} ZX", minute=number) for number in range(3)]))
    with api(database_url, tmp_path, reader=True, max_opened=2) as calls:
        for match in ("prefix", "fuzzy"):
            answer = calls.get("/api/plates", plate="GQ77", match=match)
            assert (answer.status, answer.json()["type"]) == (422, "urn:vedette:problem:too-many-protected")
            later = calls.get(
                "/api/plates", plate="GQ77", match=match, max_distance=4, start_time="2026-11-20T12:01:00Z"
            )
            assert later.json()["total"] == 2
    with api(database_url, None, reader=True) as calls:
        assert calls.get("/api/plates", plate="GQ77", match="prefix").status == 503


def test_without_the_key_no_plate_is_stored_readable(
    database_url: str, tmp_path: Path, sealing_ingest: IngestHarness
) -> None:
    """A rejected message that cannot be sealed is retried, and a token pattern is not added."""
    protect(database_url, tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    invocation = batch([revealing_read() | {"schema_version": 99}])
    with open_ingest(database_url, PLATE_MASTER_KEY=setting(other)) as one:
        assert failures(one.handle(invocation)) == [invocation["Records"][0]["messageId"]]
        assert one.dead_letters.sent == []
    with api(database_url, None) as calls:
        number = calls.post("/api/plates/watchlists", {"name": "stolen"}).json()["watchlist_id"]
        pattern = {"kind": "exact", "pattern": PLATE, "site_id": SITE}
        assert calls.post(f"/api/plates/watchlists/{number}/patterns", {"patterns": [pattern]}).status == 503


def test_the_reads_of_one_plate_can_be_deleted(
    database_url: str, tmp_path: Path, sealing_ingest: IngestHarness
) -> None:
    """At protected and unprotected sites, also by a caller that may not read plates."""
    protect(database_url, tmp_path)
    sealing_ingest.handle(batch([revealing_read(), revealing_read("GQ 778 ZX"), plate_read(PLATE, site_id="yard")]))
    with api(database_url, tmp_path) as calls:
        assert calls.post("/api/events/delete", {"license_plate": PLATE}).json()["deleted"] == 2
        assert calls.get("/api/plates", plate=PLATE).json()["total"] == 0
    assert rows(database_url, "SELECT count(*) FROM events") == rows(database_url, "SELECT count(*) FROM plate_events")
    assert rows(database_url, PLATE_RECOUNT) == rows(database_url, RECOUNT) == []


def test_a_plate_in_a_path_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the failed route, not the path."""
    with api("postgresql://127.0.0.1:1/nowhere", None) as calls:
        for path in (f"/api/plates/{TEXT}", f"/api/events/plate/{TEXT}"):
            assert calls.get(path).status == 503
    assert "/plates/{text}" in caplog.text
    assert_no_plate_revealed(caplog.text)


def test_with_users_the_permission_to_reveal_decides(
    database_url: str, tmp_path: Path, sealing_ingest: IngestHarness
) -> None:
    """An admin reads protected plates on every route that lists them; a viewer, and a key without the scope, do not."""
    protect(database_url, tmp_path)
    sealing_ingest.handle(batch([revealing_read()]))
    access = PlateAccess(vault=PlateVault(master_keys=keys(tmp_path)), read_policy=PlateReadPolicy.require_permission())
    credentials = {
        "viewer": add_key(database_url, *permissions_of("viewer"), name="viewer"),
        "revealing": add_key(database_url, *permissions_of("viewer"), "plates:reveal", name="revealing"),
    }
    with users_api(database_url, plate_access=access) as calls:
        for path in ("/api/plates", "/api/events", "/events/recent", "/api/events/export"):
            answers = {name: calls.call("GET", path, headers=bearer(key)) for name, key in credentials.items()}
            assert {answer.status for answer in answers.values()} == {200}, path
            assert_no_plate_revealed(answers["viewer"].body.decode())
            assert PLATE in answers["revealing"].body.decode(), path
