"""An upgrade migrates the database while the previous release runs; the functions are replaced afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cloud_functions.db.migrate import current_revision, downgrade, head_revision, upgrade
from tests.support.ingest_harness import RECOUNT, open_ingest, rows
from tests.support.previous_release import RunningRelease, extract_previous_release
from tests.support.wire_events import anpr_data, batch, failures, sequence_of, wire_event

_READS = (
    ("/api/events", "page_size=5"),
    ("/api/events/1", ""),
    ("/api/events/stats", ""),
    ("/api/plates", "match=fuzzy&plate=B123ABC"),
    ("/api/plates/stats", ""),
    ("/api/v1/devices", ""),
)


def test_the_previous_release_runs_on_the_next_schema(database_url: str, tmp_path: Path) -> None:
    """Its ingest and API answer before, during and after the migration; then this release reads what both stored.

    This release, deployed before the migration, either stores or says that the schema is missing; nothing is lost.
    """
    revision = extract_previous_release(tmp_path)
    assert revision < head_revision()
    downgrade(database_url, revision)
    too_early = batch([wire_event()])
    with open_ingest(database_url) as ingest:
        answer = ingest.handle(too_early)
        assert failures(answer) or rows(database_url, "SELECT count(*) FROM events") == [(1,)]

    with RunningRelease.start(tmp_path, url=database_url) as previous, ThreadPoolExecutor(1) as pool:
        sent = 1

        def use() -> None:
            nonlocal sent
            events = sequence_of(sent, sent + 3)
            events.append(wire_event("anpr", sequence=sent + 4, event_data=anpr_data()))
            assert failures(previous.ingest(batch(events))) == []
            sent += len(events)
            for path, query in _READS:
                status, content = previous.get(path, query)
                assert (path, status) == (path, 200), content

        use()
        migrating = pool.submit(upgrade, database_url)
        while not migrating.done():
            use()
        migrating.result()
        assert current_revision(database_url) == head_revision()
        use()
        _, page = previous.get("/api/events", "page_size=5")

    assert rows(database_url, RECOUNT) == []
    with RunningRelease.start(Path(__file__).resolve().parents[2], url=database_url) as next_release:
        assert failures(next_release.ingest(too_early)) == []
        stored = sent  # one more than the previous release has stored
        assert rows(database_url, "SELECT count(*) FROM events") == [(stored,)]
        for path, query in _READS:
            status, content = next_release.get(path, query)
            assert (path, status) == (path, 200), content
    assert rows(database_url, RECOUNT) == []
    assert len(page["events"]) == 5
