"""The tables of kept counts: which of them, which rows and which column answer a filter that ``is_counted``."""

from __future__ import annotations

from typing import LiteralString

from psycopg import sql

from cloud_functions.db.events.filter import EventFilter, Parameters, name_conditions
from cloud_functions.db.events.time_buckets import Grain, TimeSpan, time_conditions

_TABLES: dict[tuple[Grain, bool], LiteralString] = {
    ("hour", False): "event_counts",
    ("day", False): "event_counts_daily",
    ("month", False): "event_counts_monthly",
    ("hour", True): "event_label_counts",
    ("day", True): "event_label_counts_daily",
    ("month", True): "event_label_counts_monthly",
}


def count_table(wanted: EventFilter, grain: Grain) -> sql.SQL:
    """Return the table that counts by ``grain``."""
    return sql.SQL(_TABLES[grain, wanted.label is not None])


def kept_count(wanted: EventFilter) -> sql.Composable:
    """Return the column that counts the events as sure as asked; 0 or NULL where none is."""
    step = wanted.confidence_step
    return sql.SQL("events") if step is None else sql.SQL("at_least[{}]").format(sql.Literal(1 + step))


def count_conditions(
    wanted: EventFilter, grain: Grain, span: TimeSpan, parameters: Parameters, name: str
) -> list[sql.Composable]:
    """Return the conditions on the rows that count what matches in ``span``; put their values into ``parameters``."""
    conditions, values = name_conditions(wanted)
    parameters |= values
    if wanted.label is not None:
        conditions.append(sql.SQL("kind = %(kind)s AND label = %(label)s"))
        parameters |= {"kind": wanted.label[0], "label": wanted.label[1]}
    return [*conditions, *time_conditions(span, grain, parameters, name)]


def one_by_one(parts: list[sql.Composed]) -> tuple[sql.Composed, sql.Composed]:
    """Return the WITH list and the union of selects, each materialized.

    Together the planner would start parallel workers for them, which takes longer than the counting. Let each give few
    rows, summed up already: to keep ten thousand takes several times as long as to add them up.
    """
    names = [sql.Identifier(f"part{number}") for number in range(len(parts))]
    listed = [sql.SQL("{} AS MATERIALIZED ({})").format(name, part) for name, part in zip(names, parts, strict=True)]
    union = sql.SQL(" UNION ALL ").join(sql.SQL("SELECT * FROM {}").format(name) for name in names)
    return sql.SQL(", ").join(listed), union
