"""Migrations and rollups on a real PostgreSQL."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_functions.db.migrate import current_revision, downgrade, head_revision, main, upgrade
from cloud_functions.maintenance.handler import build_maintenance
from infra.local.servers.postgres import PostgresBinaries, PostgresServer
from shared.clock import ManualClock
from shared.errors import ConfigurationError, TransientError
from tests.support.api_calls import store, stored_event
from tests.support.every_table import fill_every_table, walk_down
from tests.support.ingest_harness import RECOUNT, open_ingest, rows
from tests.support.ports import reserve_port
from tests.support.wire_events import (
    BOX,
    batch,
    detection_data,
    failures,
    mixed_traffic,
    motion_data,
    rule_data,
    tracking_data,
    wire_event,
)

SCHEMA = """
SELECT 'column', table_name, column_name, data_type, is_nullable, column_default, generation_expression
FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
UNION ALL SELECT 'index', tablename, indexname, indexdef, '', '', '' FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'function', proname, prosrc, '', '', '', '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger', tgname, tgrelid::regclass::text, pg_get_triggerdef(oid), '', '', '' FROM pg_trigger
WHERE NOT tgisinternal ORDER BY 1, 2, 3
"""


def up_down_up(url: str) -> None:
    assert current_revision(url) is None
    upgrade(url)
    assert current_revision(url) == head_revision()
    first = rows(url, SCHEMA)
    assert len(first) > 100
    upgrade(url)
    downgrade(url, "base")
    assert current_revision(url) is None
    assert rows(url, SCHEMA) == [row for row in rows(url, SCHEMA) if row[1] == "alembic_version"]
    upgrade(url)
    assert rows(url, SCHEMA) == first


def test_upgrade_downgrade_and_upgrade_give_the_same_schema(empty_url: str) -> None:
    """A downgrade removes everything, and the next upgrade creates the same schema."""
    up_down_up(empty_url)


def test_the_system_postgresql_supports_the_schema(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Aurora's versions are between the embedded PostgreSQL and the oldest one that distributions ship."""
    try:
        binaries = PostgresBinaries.choose("system")
    except ConfigurationError as missing:
        pytest.skip(f"needs a second, system-wide PostgreSQL: {missing}")
    folder = tmp_path_factory.mktemp("system-postgres")
    for one in (folder, *folder.parents[:3]):
        if os.access(one, os.W_OK) and str(one) != "/tmp":
            one.chmod(0o755)
    server = PostgresServer(folder=folder, binaries=binaries, durable=False, port=reserve_port())
    server.start()
    try:
        server.create_database("vedette")
        url = server.url_of("vedette")
        up_down_up(url)
        with open_ingest(url) as ingest:
            assert failures(ingest.handle(batch([wire_event(sequence=4), wire_event("anpr", sequence=2)]))) == []
        assert rows(url, RECOUNT) == []
        assert rows(url, "SELECT range_agg(missing)::text FROM sequence_gaps") == [("{[1,2),[3,4)}",)]
        with open_ingest(url) as ingest:
            assert (
                failures(ingest.handle(batch([*mixed_traffic(60), wire_event("rule", event_data=rule_data())]))) == []
            )
        fill_every_table(url)
        walk_down(url)
        upgrade(url)
        assert rows(url, RECOUNT) == []
    finally:
        server.process.stop()


def test_the_command_line_reads_the_url_from_the_environment(
    empty_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A deployment calls it. A failure is one line that does not contain the URL."""
    monkeypatch.setenv("DATABASE_URL", empty_url)
    assert main(["upgrade"]) == 0
    assert main(["current"]) == 0
    assert capsys.readouterr().out.split() == [head_revision(), head_revision()]
    assert main(["downgrade", "base"]) == 0
    with pytest.raises(SystemExit):
        main(["downgrade"])
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody:sesame@127.0.0.1:1/nowhere")
    assert main(["upgrade"]) == 1
    monkeypatch.delenv("DATABASE_URL")
    assert main(["upgrade"]) == 1
    stderr = capsys.readouterr().err
    assert "DATABASE_URL is not set" in stderr
    assert "sesame" not in stderr


def test_an_unavailable_database_is_a_transient_error() -> None:
    """Deployments retry after it."""
    with pytest.raises(TransientError):
        current_revision("postgresql://127.0.0.1:1/nowhere")
    with pytest.raises(TransientError):
        upgrade("postgresql://127.0.0.1:1/nowhere")


def detected(class_name: str, confidence: float) -> dict[str, object]:
    return {"class_name": class_name, "confidence": confidence, "bounding_box": BOX}


HOURS = st.integers(0, 60).map(lambda hours: datetime(2026, 10, 30, 12, tzinfo=UTC) + timedelta(hours=hours))
EVENTS = st.builds(
    lambda moment, camera, data: wire_event(
        data[0],
        timestamp=moment.isoformat(),
        camera_id=f"camera-{camera}",
        site_id=("hq", "yard")[camera % 2],
        device_id=f"gate-{camera % 2}",
        event_data=data[1],
    ),
    HOURS,
    st.integers(1, 3),
    st.sampled_from(
        [
            ("tracking", tracking_data()),
            ("tracking", tracking_data(class_name="car", zones=["gate", "yard", "gate"], confidence=0.35)),
            ("tracking", tracking_data(class_name="car", zones=[], confidence=0.9)),
            ("tracking", tracking_data(confidence=0.8999999999999999)),
            ("detection", detection_data("car", "car", "person")),
            (
                "detection",
                detection_data(detections=[detected("car", 0.15), detected("car", 0.2), detected("person", 1.0)]),
            ),
            ("detection", detection_data()),
            ("motion", motion_data()),
            ("rule", rule_data()),
            ("rule", rule_data("zone_left", class_name="car", zone="yard", confidence=0.35)),
            ("rule", rule_data("occupancy", class_name=None, confidence=None, zone="yard")),
        ]
    ),
)
STEPS = st.one_of(
    st.tuples(st.just("insert"), st.lists(EVENTS, min_size=1, max_size=12)),
    st.tuples(
        st.just("delete"), st.sampled_from(["camera_id = 'camera-1'", "id % 3 = 0", "event_type = 'detection'", "true"])
    ),
    st.tuples(st.just("tidy"), st.none()),
    st.tuples(st.just("drop"), st.none()),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, min_size=1, max_size=6))
def test_rollups_equal_a_recount_after_any_changes(database_url: str, steps: list[tuple[str, object]]) -> None:
    """Inserts by ingest, deletes, retention and tidying keep the rollups exact."""
    with psycopg.connect(database_url) as connection:
        connection.execute("TRUNCATE events")
    november = ManualClock(datetime(2026, 11, 20, tzinfo=UTC))
    with open_ingest(database_url) as ingest:
        maintenance = build_maintenance(
            {"DATABASE_URL": database_url, "RETENTION_DAYS": "20"}, database=ingest.database, clock=november
        )
        for kind, argument in steps:
            if kind == "insert":
                assert failures(ingest.handle(batch(argument))) == []  # type: ignore[arg-type]
            elif kind == "delete":
                with psycopg.connect(database_url) as connection:
                    connection.execute(f"DELETE FROM events WHERE {argument}".encode())
            else:
                maintenance.handle({"task": "tidy" if kind == "tidy" else "retention"})
            assert rows(database_url, RECOUNT) == []


def test_the_migration_counts_stored_events_by_confidence(empty_url: str) -> None:
    """After an upgrade, a downgrade and another upgrade, the rollups are exact."""
    chance = random.Random(7)
    moment = datetime(2026, 10, 30, 12, tzinfo=UTC)

    def any_event() -> dict[str, object]:
        kind = chance.choice(["tracking", "detection", "anpr", "motion"])
        scores = [round(chance.random(), 2) for _ in range(3)]
        data: dict[str, dict[str, object]] = {
            "tracking": {
                "class_name": chance.choice(["car", "dog"]),
                "confidence": scores[0],
                "zones": ["gate", "gate"],
            },
            "detection": {"detections": [detected(chance.choice(["car", "dog"]), score) for score in scores]},
            "anpr": {"plate_normalized": "B1", "anpr_result": {"license_plate": "B 1", "confidence": scores[0]}},
        }
        return stored_event(
            kind,
            camera_id=f"camera-{chance.randrange(3)}",
            timestamp=moment + timedelta(minutes=chance.randrange(5000)),
            event_data=data.get(kind, {}),
        )

    upgrade(empty_url, "0004")
    store(empty_url, [any_event() for _ in range(300)])
    upgrade(empty_url)
    assert rows(empty_url, "SELECT count(*) > 100 FROM event_label_counts WHERE at_least IS NOT NULL") == [(True,)]
    assert rows(empty_url, RECOUNT) == []
    store(empty_url, [any_event() for _ in range(50)])
    assert rows(empty_url, RECOUNT) == []
    downgrade(empty_url, "0004")
    store(empty_url, [any_event() for _ in range(50)])
    assert rows(empty_url, "SELECT sum(events) FROM event_counts_daily") == [(400,)]
    upgrade(empty_url)
    assert rows(empty_url, RECOUNT) == []


def test_a_detection_counts_for_the_classes_of_its_first_256_objects(database_url: str) -> None:
    """A class that occurs only later is not counted. The others count with their highest confidence."""
    many = [detected("person", 0.3)] * 255 + [detected("car", 0.2), detected("dog", 0.9), detected("car", 0.9)]
    store(database_url, [stored_event("detection", event_data={"detections": many})])
    assert rows(database_url, RECOUNT) == []
    counts = "SELECT label, events, at_least[1 + 18] FROM event_label_counts_daily ORDER BY label"
    assert rows(database_url, counts) == [("car", 1, 1), ("person", 1, 0)]


def test_truncating_events_empties_the_rollups(database_url: str) -> None:
    """A trigger empties them in the same transaction."""
    with open_ingest(database_url) as ingest:
        ingest.handle(batch([wire_event()]))
        with psycopg.connect(database_url) as connection:
            connection.execute("TRUNCATE events")
        assert ingest.rows(RECOUNT) == []


def test_rule_events_survive_a_downgrade_and_are_counted_again(empty_url: str) -> None:
    """The earlier release counts them by type only; the later one counts them by class and zone again."""
    upgrade(empty_url)
    with open_ingest(empty_url) as ingest:
        sent = [wire_event("rule", event_data=rule_data(zone="yard", confidence=0.5)) for _ in range(3)]
        assert failures(ingest.handle(batch(sent))) == []
    labels = "SELECT kind, label, events, at_least[11] FROM event_label_counts ORDER BY 1"
    expected = [("class", "person", 3, 3), ("zone", "yard", 3, 3)]
    assert rows(empty_url, labels) == expected
    downgrade(empty_url, "0011")
    assert rows(empty_url, labels) == []
    assert rows(empty_url, "SELECT events FROM event_counts WHERE event_type = 'rule'") == [(3,)]
    upgrade(empty_url)
    assert rows(empty_url, labels) == expected
    assert rows(empty_url, RECOUNT) == []
