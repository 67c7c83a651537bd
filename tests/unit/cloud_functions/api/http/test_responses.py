"""JSON responses: pages of lists, size limits, status codes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cloud_functions.api.http.cursor import Cursor, decode_cursor
from cloud_functions.api.http.limits import LAMBDA_LIMITS, SERVER_LIMITS, fit_items
from cloud_functions.api.http.responses import json_response, list_response

PLACE = Cursor(timestamp=datetime(2026, 11, 20, tzinfo=UTC), id=7)


@pytest.mark.parametrize("items", [[], ['{"id":1}'], ['{"id":1}', '{"id":2}']])
def test_a_page_has_its_parameters_and_the_next_cursor(items: list[str]) -> None:
    """Items are passed through unchanged."""
    response = list_response("events", items, total=9, page={"page": 2}, last=PLACE)
    content = json.loads(bytes(response.body))
    assert content["events"] == [json.loads(item) for item in items]
    assert (content["total"], content["page"], content["has_more"]) == (9, 2, True)
    assert decode_cursor(content["next_cursor"]) == PLACE


def test_the_last_page_has_no_cursor() -> None:
    """``next_cursor`` is null, not an empty string."""
    response = list_response("plates", [], total=0, page={"offset": None}, last=None)
    assert json.loads(bytes(response.body)) == {
        "plates": [], "total": 0, "offset": None, "has_more": False, "next_cursor": None,
    }  # fmt: skip


def test_the_largest_items_are_replaced_until_all_fit() -> None:
    """Small items stay unchanged, wherever they are in the list."""
    limits = replace(LAMBDA_LIMITS, export_bytes=6000)
    texts = ["a" * 100, "b" * 3000, "c" * 100, "d" * 1500]
    assert fit_items(texts, lambda index: f"<{index}>", limits) == ["a" * 100, "<1>", "c" * 100, "d" * 1500]
    assert fit_items(texts[::2], lambda index: f"<{index}>", limits) == texts[::2]


@pytest.mark.parametrize(
    ("text", "sent"), [("abc", 3), ('a"b', 4), ("\\", 2), ("\n", 2), ("ж", 6), ("\U0001f600", 12), ("\x01", 6)]
)
def test_sizes_include_the_escaping_of_lambdas_json(text: str, sent: int) -> None:
    """On a server, the size is the number of UTF-8 bytes."""
    assert LAMBDA_LIMITS.sent_bytes(text) == sent
    assert SERVER_LIMITS.sent_bytes(text) == len(text.encode())
    assert sent <= 12 * len(text)


def test_a_response_can_have_another_status() -> None:
    """A created resource is returned with 201."""
    assert json_response({"made": 1}, status=201).status_code == 201
