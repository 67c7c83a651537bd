"""Rollups by confidence and by month.

Each row of a rollup has the number of events with at least a confidence, in steps of 0.05, so that ``min_confidence``
is counted without reading events. The twenty-one numbers are in rows that are written in any case. Finer steps would
cost more for each batch, one comparison for each event and step, than they would save for readers. A confidence between
two steps is counted event by event.

With rollups by UTC month, statistics of a quarter add up hundreds of rows instead of ten thousand.

The upgrade counts all events again, under a lock that blocks writers.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from typing import LiteralString

from cloud_functions.db.migrations.plain_sql import run_sql
from cloud_functions.db.migrations.versions.r0001_events import COUNTING, TRUNCATING

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_STEPS: tuple[tuple[LiteralString, LiteralString], ...] = (
    ("1", "0"), ("2", "0.05"), ("3", "0.1"), ("4", "0.15"), ("5", "0.2"), ("6", "0.25"), ("7", "0.3"),
    ("8", "0.35"), ("9", "0.4"), ("10", "0.45"), ("11", "0.5"), ("12", "0.55"), ("13", "0.6"), ("14", "0.65"),
    ("15", "0.7"), ("16", "0.75"), ("17", "0.8"), ("18", "0.85"), ("19", "0.9"), ("20", "0.95"), ("21", "1"),
)  # fmt: skip


def _each_step(expression: LiteralString) -> LiteralString:
    """Return an array of ``expression`` for every step. ``#`` is the index in the array, ``?`` the confidence."""
    return "ARRAY[" + ", ".join(expression.replace("#", place).replace("?", least) for place, least in _STEPS) + "]"


COLUMNS = """
-- at_least[1 + n]: the number of counted events with a confidence of n twentieths or more; for a class, with an object
-- of that class with this confidence. NULL if no event has a confidence.
ALTER TABLE event_counts ADD COLUMN at_least integer[];
ALTER TABLE event_counts_daily ADD COLUMN at_least integer[];
ALTER TABLE event_label_counts ADD COLUMN at_least integer[];
ALTER TABLE event_label_counts_daily ADD COLUMN at_least integer[];

CREATE TABLE event_counts_monthly (
    month      timestamptz NOT NULL,
    camera_id  text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    site_id    text COLLATE "C" NOT NULL,
    events     bigint NOT NULL,
    at_least   integer[],
    PRIMARY KEY (month, camera_id, event_type, site_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE event_label_counts_monthly (
    kind       text COLLATE "C" NOT NULL CHECK (kind IN ('class', 'zone')),
    label      text COLLATE "C" NOT NULL,
    month      timestamptz NOT NULL,
    camera_id  text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    site_id    text COLLATE "C" NOT NULL,
    events     bigint NOT NULL,
    at_least   integer[],
    PRIMARY KEY (kind, label, month, camera_id, event_type, site_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

CREATE OR REPLACE FUNCTION events_count_truncate() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE event_counts, event_counts_daily, event_counts_monthly,
        event_label_counts, event_label_counts_daily, event_label_counts_monthly;
    RETURN NULL;
END
$$;

CREATE FUNCTION event_counts_added(kept integer[], more integer[]) RETURNS integer[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN kept IS NULL THEN more WHEN more IS NULL THEN kept ELSE {added} END
$$;
"""

# The trigger runs both statements for the changed events, and the upgrade runs them once for all events.
_COUNT_EVENTS = """
    WITH hourly AS MATERIALIZED (
        SELECT date_trunc('hour', "timestamp", 'UTC') AS hour, camera_id, event_type, site_id,
               sign * count(*) AS events, CASE WHEN count(confidence) > 0 THEN {counted} END AS at_least
        FROM changed GROUP BY 1, 2, 3, 4
    ), by_hour AS (
        INSERT INTO event_counts AS c (hour, camera_id, event_type, site_id, events, at_least)
        SELECT hour, camera_id, event_type, site_id, events, at_least FROM hourly ORDER BY 1, 2, 3, 4
        ON CONFLICT (hour, camera_id, event_type, site_id) DO UPDATE
            SET events = c.events + EXCLUDED.events, at_least = event_counts_added(c.at_least, EXCLUDED.at_least)
    ), daily AS MATERIALIZED (
        SELECT date_trunc('day', hour, 'UTC') AS day, camera_id, event_type, site_id, sum(events) AS events,
               CASE WHEN count(at_least) > 0 THEN {summed} END AS at_least
        FROM hourly GROUP BY 1, 2, 3, 4
    ), by_day AS (
        INSERT INTO event_counts_daily AS c (day, camera_id, event_type, site_id, events, at_least)
        SELECT day, camera_id, event_type, site_id, events, at_least FROM daily ORDER BY 1, 2, 3, 4
        ON CONFLICT (day, camera_id, event_type, site_id) DO UPDATE
            SET events = c.events + EXCLUDED.events, at_least = event_counts_added(c.at_least, EXCLUDED.at_least)
    )
    INSERT INTO event_counts_monthly AS c (month, camera_id, event_type, site_id, events, at_least)
    SELECT date_trunc('month', day, 'UTC'), camera_id, event_type, site_id, sum(events),
           CASE WHEN count(at_least) > 0 THEN {summed} END
    FROM daily GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (month, camera_id, event_type, site_id) DO UPDATE
        SET events = c.events + EXCLUDED.events, at_least = event_counts_added(c.at_least, EXCLUDED.at_least);
"""

# An event counts once for each of its labels. A detection event counts for a class with the highest confidence of the
# class's objects. Its classes are those in class_names, which has the first 256 objects.
_COUNT_LABELS = """
    WITH labelled AS (
        SELECT 'class' AS kind, class_names ->> 0 AS label, confidence, "timestamp", camera_id, event_type, site_id
        FROM changed WHERE event_type = 'tracking' AND class_names ->> 0 IS NOT NULL
        UNION ALL
        SELECT 'class', found.label, found.confidence, "timestamp", camera_id, event_type, site_id
        FROM changed, LATERAL (
            SELECT object ->> 'class_name' AS label, max((object -> 'confidence')::double precision) AS confidence
            FROM jsonb_array_elements(event_data -> 'detections') WITH ORDINALITY AS objects (object, place)
            GROUP BY 1 HAVING min(place) <= 256
        ) AS found
        WHERE event_type = 'detection' AND class_names IS NOT NULL
        UNION ALL
        SELECT 'zone', found.label, confidence, "timestamp", camera_id, event_type, site_id
        FROM changed, LATERAL (SELECT DISTINCT label FROM jsonb_array_elements_text(zones) AS label) AS found
        WHERE zones IS NOT NULL{more_labels}
    ), hourly AS MATERIALIZED (
        SELECT kind, label, date_trunc('hour', "timestamp", 'UTC') AS hour, camera_id, event_type, site_id,
               sign * count(*) AS events, CASE WHEN count(confidence) > 0 THEN {counted} END AS at_least
        FROM labelled GROUP BY 1, 2, 3, 4, 5, 6
    ), by_hour AS (
        INSERT INTO event_label_counts AS c (kind, label, hour, camera_id, event_type, site_id, events, at_least)
        SELECT kind, label, hour, camera_id, event_type, site_id, events, at_least FROM hourly ORDER BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (kind, label, hour, camera_id, event_type, site_id) DO UPDATE
            SET events = c.events + EXCLUDED.events, at_least = event_counts_added(c.at_least, EXCLUDED.at_least)
    ), daily AS MATERIALIZED (
        SELECT kind, label, date_trunc('day', hour, 'UTC') AS day, camera_id, event_type, site_id,
               sum(events) AS events, CASE WHEN count(at_least) > 0 THEN {summed} END AS at_least
        FROM hourly GROUP BY 1, 2, 3, 4, 5, 6
    ), by_day AS (
        INSERT INTO event_label_counts_daily AS c (kind, label, day, camera_id, event_type, site_id, events, at_least)
        SELECT kind, label, day, camera_id, event_type, site_id, events, at_least FROM daily ORDER BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (kind, label, day, camera_id, event_type, site_id) DO UPDATE
            SET events = c.events + EXCLUDED.events, at_least = event_counts_added(c.at_least, EXCLUDED.at_least)
    )
    INSERT INTO event_label_counts_monthly AS c (kind, label, month, camera_id, event_type, site_id, events, at_least)
    SELECT kind, label, date_trunc('month', day, 'UTC'), camera_id, event_type, site_id, sum(events),
           CASE WHEN count(at_least) > 0 THEN {summed} END
    FROM daily GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (kind, label, month, camera_id, event_type, site_id) DO UPDATE
        SET events = c.events + EXCLUDED.events, at_least = event_counts_added(c.at_least, EXCLUDED.at_least);
"""

COUNTING_BY_CONFIDENCE = """
-- Rows are locked in key order and tables in one order, so that concurrent writers wait and do not deadlock.
CREATE OR REPLACE FUNCTION events_count_changes() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    sign integer := CASE TG_OP WHEN 'DELETE' THEN -1 ELSE 1 END;
BEGIN
    {count_events}
    {count_labels}
    RETURN NULL;
END
$$;
"""

EMPTY = """
LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE;
TRUNCATE event_counts, event_counts_daily, event_label_counts, event_label_counts_daily;
"""

DOWN = """
DROP TABLE event_counts_monthly, event_label_counts_monthly;
ALTER TABLE event_counts DROP COLUMN at_least;
ALTER TABLE event_counts_daily DROP COLUMN at_least;
ALTER TABLE event_label_counts DROP COLUMN at_least;
ALTER TABLE event_label_counts_daily DROP COLUMN at_least;
DROP FUNCTION event_counts_added(integer[], integer[]);
"""


def _with_steps(statement: LiteralString) -> LiteralString:
    counted = _each_step("(sign * count(*) FILTER (WHERE confidence >= ?::double precision))::integer")
    return statement.replace("{counted}", counted).replace("{summed}", _each_step("sum(at_least[#])::integer"))


def counting_function(*, more_labels: LiteralString = "") -> LiteralString:
    """Return the statement that creates the trigger's function; ``more_labels`` has further selects, with UNION ALL."""
    return COUNTING_BY_CONFIDENCE.replace("{count_events}", _with_steps(_COUNT_EVENTS)).replace(
        "{count_labels}", label_counting(more_labels=more_labels)
    )


def label_counting(*, more_labels: LiteralString = "") -> LiteralString:
    """Return the statement that counts the labels of the events in ``changed``."""
    return _with_steps(_COUNT_LABELS.replace("{more_labels}", more_labels))


def upgrade() -> None:
    count_events, count_labels = _with_steps(_COUNT_EVENTS), label_counting()
    run_sql(EMPTY)
    run_sql(COLUMNS.replace("{added}", _each_step("kept[#] + more[#]")))
    run_sql(counting_function())
    for statement in (count_events, count_labels):
        run_sql(statement.replace("FROM changed", "FROM events").replace("sign *", "1 *"))


def downgrade() -> None:
    run_sql(COUNTING)
    run_sql(TRUNCATING)
    run_sql(DOWN)
