"""Fields of which nothing is known."""

from __future__ import annotations

import pytest

from shared.untyped_data import UntypedData


@pytest.mark.parametrize("value", [None, 3, "text", [1], True])
def test_cloud_a7_what_is_no_object_has_no_fields(value: object) -> None:
    """Nothing raises, whatever stands where an object is looked for."""
    data = UntypedData(value)
    assert (data.text("a"), data.number("a"), data.part("a").part("b").text("c"), data.parts("a")) == (
        None,
        None,
        None,
        [],
    )


def test_cloud_a7_a_field_is_taken_for_what_it_is() -> None:
    """A number is no text, true is no number, infinity is none either, a list is no object."""
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
def test_cloud_a7_what_python_cannot_read_is_empty(text: str) -> None:
    """PostgreSQL holds longer numbers and deeper nesting than Python reads."""
    assert UntypedData.from_json(text).text("a") is None
