"""The event types of the builder and of the database are those of ``shared/event_types.py``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final, get_args

import psycopg
import pytest

from edge_agent.events.builder import EventClass, EventData
from shared.event_types import EVENT_TYPES

SAMPLES: Final = [
    json.loads(path.read_text(encoding="utf-8")) for path in (Path(__file__).parent / "golden").glob("event_*.json")
]
_TYPE: Final = re.compile(r"(?:WHEN|event_type =) '(\w+)'")


def test_builder_has_a_class_for_each_event_type() -> None:
    """The classes that the edge builds have all event types, each with data that the builder accepts."""
    [union] = get_args(EventClass)
    classes = get_args(union)
    assert sorted(each.model_fields["event_type"].default for each in classes) == sorted(EVENT_TYPES)
    assert {each.model_fields["event_data"].annotation for each in classes} == set(get_args(EventData))


@pytest.fixture
def connection(database_url: str) -> psycopg.Connection:
    """Return a connection to a migrated database."""
    return psycopg.connect(database_url)


def test_generated_columns_name_known_event_types(connection: psycopg.Connection) -> None:
    """The columns that the database derives from an event name types of the list, and have values for these only."""
    with connection:
        columns = dict(
            connection.execute(
                "SELECT column_name, generation_expression FROM information_schema.columns"
                " WHERE table_name = 'events' AND is_generated = 'ALWAYS'"
            ).fetchall()
        )
        [(function,)] = connection.execute("SELECT pg_get_functiondef('event_confidence'::regproc)").fetchall()
        assert set(columns) >= {"class_names", "zones", "confidence", "license_plate"}
        for column, expression in columns.items():
            named = set(_TYPE.findall(expression + (function if "event_confidence" in expression else "")))
            assert named
            assert named <= set(EVENT_TYPES)
            with_value = {
                sample["event_type"] for sample in SAMPLES if _value(connection, expression, sample) is not None
            }
            assert with_value, column
            assert with_value <= named, column


def _value(connection: psycopg.Connection, expression: str, sample: dict[str, Any]) -> object:
    """Return the value of a generated column for a golden sample."""
    query = f"SELECT {expression} FROM (SELECT %s::text AS event_type, %s::jsonb AS event_data) AS event"
    values = (sample["event_type"], json.dumps(sample["event_data"]))
    row = connection.execute(query.encode(), values).fetchone()
    assert row is not None
    return row[0]
