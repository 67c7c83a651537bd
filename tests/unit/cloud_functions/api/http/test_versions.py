"""`If-Match` and `ETag`: which versions a header names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.api.http.problems import Problem
from cloud_functions.api.http.versions import IfMatch, entity_tag


def _status(header: str | None, version: int) -> int:
    try:
        IfMatch(header).require(version)
    except Problem as problem:
        return problem.status
    return 200


@given(st.integers(1, 10**18 - 1), st.dictionaries(st.text(), st.text()))
def test_the_tag_of_a_version_matches_that_version(version: int, content: dict[str, str]) -> None:
    """Alone, in a list, and as a weak tag, which a proxy that compresses makes of it."""
    tag = entity_tag(version, content)
    for header in (tag, f' "other" , {tag}', f"W/{tag}"):
        assert _status(header, version) == 200
        assert _status(header, version + 1) == 412


@pytest.mark.parametrize("header", ['"7"', '"x-00000000"', '"7-0000000G"', '""', '"' + "9" * 19 + '-00000000"'])
def test_a_tag_of_something_else_matches_no_version(header: str) -> None:
    """It is a valid tag, so the change is refused as out of date."""
    assert _status(header, 7) == 412


@pytest.mark.parametrize("header", ["", "7", '"7', "'7'", '"7" "8"', "\x00", "*, *", '"a",'])
def test_a_header_that_is_no_list_of_tags_is_invalid(header: str) -> None:
    """The client learns that it is malformed, not that it is out of date."""
    assert _status(header, 7) == 422


@given(st.text())
def test_any_header_is_accepted_or_rejected_with_a_problem(header: str) -> None:
    """There is no other error."""
    assert _status(header, 7) in (200, 412, 422)


@pytest.mark.parametrize("header", [None, "*"])
def test_no_header_and_a_star_match_every_version(header: str | None) -> None:
    """A client that does not know of versions can change a resource."""
    assert _status(header, 7) == 200
