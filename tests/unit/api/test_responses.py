"""The JSON that lists are told in."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cloud_functions.api.cursor import Cursor, decode_cursor
from cloud_functions.api.errors import Problem
from cloud_functions.api.resources import LAMBDA_LIMITS
from cloud_functions.api.responses import json_response, list_response

PLACE = Cursor(timestamp=datetime(2026, 11, 20, tzinfo=UTC), id=7)


@pytest.mark.parametrize("items", [[], ['{"id":1}'], ['{"id":1}', '{"id":2}']])
def test_a_part_of_a_list_says_which_and_how_to_go_on(items: list[str]) -> None:
    """Items pass through as they are; what follows is told by a cursor."""
    response = list_response("events", items, total=9, part={"page": 2}, ends_at=PLACE, limits=LAMBDA_LIMITS)
    told = json.loads(bytes(response.body))
    assert told["events"] == [json.loads(item) for item in items]
    assert (told["total"], told["page"], told["has_more"]) == (9, 2, True)
    assert decode_cursor(told["next_cursor"]) == PLACE


def test_the_last_part_has_no_cursor() -> None:
    """Nothing follows: null, not an empty string."""
    response = list_response("plates", [], total=0, part={"offset": None}, ends_at=None, limits=LAMBDA_LIMITS)
    assert json.loads(bytes(response.body)) == {
        "plates": [], "total": 0, "offset": None, "has_more": False, "next_cursor": None,
    }  # fmt: skip


def test_a_list_that_does_not_fit_asks_for_less() -> None:
    """Lambda would answer with an error that says nothing."""
    limits = replace(LAMBDA_LIMITS, export_bytes=50)
    with pytest.raises(Problem, match="fewer"):
        list_response("events", ['{"id":1}'] * 9, total=9, part={}, ends_at=None, limits=limits)


def test_a_status_of_its_own() -> None:
    """What was made is told with 201."""
    assert json_response({"made": 1}, status=201).status_code == 201
