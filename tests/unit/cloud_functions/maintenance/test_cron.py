"""Schedule expressions: the due times of rates and of cron expressions, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.maintenance.cron import parse_schedule
from shared.errors import ConfigurationError

_DAYS: Final = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MINUTE: Final = timedelta(minutes=1)
moments = st.integers(0, 4_000_000_000_000_000).map(
    lambda us: datetime(1990, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
)
fields = st.tuples(
    st.lists(st.integers(0, 59), min_size=1, max_size=3),
    st.lists(st.integers(0, 23), min_size=1, max_size=3),
    st.lists(st.sampled_from(_DAYS), min_size=1, max_size=3),
)


@given(fields=fields, moment=moments)
def test_a_cron_expression_is_due_at_its_minutes(
    fields: tuple[list[int], list[int], list[str]], moment: datetime
) -> None:
    """Both neighbouring due times match the expression, and no minute between them does."""
    minutes, hours, days = fields
    text = [",".join(map(str, field)) for field in fields]
    schedule = parse_schedule(f"cron({text[0]} {text[1]} ? * {text[2]} *)")
    last, following = schedule.last_at(moment), schedule.next_after(moment)
    assert last <= moment < following <= last + timedelta(days=7)

    def matches(at: datetime) -> bool:
        return at.minute in minutes and at.hour in hours and _DAYS[at.weekday()] in days

    for due in (last, following):
        assert matches(due)
        assert (due.second, due.microsecond) == (0, 0)
    first = last + _MINUTE
    between = (first + n * _MINUTE for n in range(int((following - first) / _MINUTE)))
    assert not any(matches(at) for at in between)


@given(count=st.integers(1, 500), unit=st.sampled_from(("minute", "hour", "day")), moment=moments)
def test_a_rate_is_due_at_equal_intervals(count: int, unit: str, moment: datetime) -> None:
    """The due times do not depend on the moment from which they are computed."""
    schedule = parse_schedule(f"rate({count} {unit}{'' if count == 1 else 's'})")
    last, following = schedule.last_at(moment), schedule.next_after(moment)
    assert last <= moment < following
    assert following - last == timedelta(**{f"{unit}s": count})
    assert (schedule.last_at(following), schedule.next_after(last)) == (following, following)


@pytest.mark.parametrize(
    ("expression", "following"),
    [
        ("rate(1 minute)", "2026-12-01 03:31"),
        ("rate(1 hour)", "2026-12-01 04:00"),
        ("cron(0 2 * * ? *)", "2026-12-02 02:00"),
        ("cron(30 3 * * ? *)", "2026-12-02 03:30"),
        ("cron(0 3 ? * SUN *)", "2026-12-06 03:00"),
        ("cron(5/20 * ? * * *)", "2026-12-01 03:45"),
    ],
)
def test_examples(expression: str, following: str) -> None:
    """After Tuesday, 1 December 2026, 03:30:00."""
    moment = datetime(2026, 12, 1, 3, 30, tzinfo=UTC)
    assert f"{parse_schedule(expression).next_after(moment):%Y-%m-%d %H:%M}" == following


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "rate(0 minutes)",
        "rate(1 minutes)",
        "rate(5 minute)",
        "cron(0 2 * * * *)",
        "cron(0 2 ? * ? *)",
        "cron(60 2 * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 2 ? * sunday *)",
        "cron(0 2 1 * ? *)",
        "cron(0 2 * * ?)",
    ],
)
def test_other_expressions_are_refused(expression: str) -> None:
    """EventBridge refuses most of them; the others are forms that no task uses. The error shows what is possible."""
    with pytest.raises(ConfigurationError, match=r"use rate\(5 minutes\)"):
        parse_schedule(expression)
