"""Reading fields of unknown types."""

from __future__ import annotations

import pytest

from shared.untyped_data import UntypedData


@pytest.mark.parametrize("value", [None, 3, "text", [1], True])
def test_cloud_a7_a_value_that_is_not_an_object_has_no_fields(value: object) -> None:
    """No reader raises, for any JSON value in place of an object."""
    data = UntypedData(value)
    assert (data.text("a"), data.number("a"), data.part("a").part("b").text("c"), data.parts("a")) == (
        None,
        None,
        None,
        [],
    )


def test_cloud_a7_readers_return_none_for_other_types() -> None:
    """Booleans and infinity are not numbers, numbers are not text, lists are not objects."""
    data = UntypedData(
        {"text": "a", "number": 2, "flag": True, "huge": float("inf"), "long": 10**400, "list": [{"x": 1}, 3]}
    )
    assert (data.text("text"), data.text("number"), data.number("text")) == ("a", None, None)
    assert (data.number("number"), data.number("flag"), data.number("huge"), data.number("long")) == (
        2,
        None,
        None,
        None,
    )
    assert [one.number("x") for one in data.parts("list")] == [1, None]
    assert data.part("list").number("x") is None


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, "{", "[1]"])
def test_cloud_a7_json_that_python_cannot_parse_is_empty(text: str) -> None:
    """PostgreSQL stores longer numbers and deeper nesting than Python parses."""
    assert UntypedData.from_json(text).text("a") is None
