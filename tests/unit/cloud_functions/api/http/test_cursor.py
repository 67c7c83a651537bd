"""The keyset cursor."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.api.http.cursor import TOKEN_LENGTH, Cursor, decode_cursor
from cloud_functions.db.cameras.scope import CameraScope

UNMARKED_LENGTH = 28
MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(MOMENTS, st.integers(1, 2**63 - 1))
def test_a_cursor_round_trips(moment: datetime, number: int) -> None:
    """The token keeps the time to the microsecond and any id, and needs no escaping in a URL."""
    token = Cursor(timestamp=moment, id=number).encode()
    assert decode_cursor(token) == Cursor(timestamp=moment, id=number)
    assert len(token) == UNMARKED_LENGTH
    assert token.replace("-", "a").replace("_", "a").isalnum()


@given(MOMENTS, st.integers(1, 2**63 - 1), st.lists(st.text(max_size=20)))
def test_the_cursor_of_a_limited_caller_has_the_mark_of_the_groups(
    moment: datetime, number: int, groups: list[str]
) -> None:
    """The mark does not depend on the order of the groups."""
    mark = CameraScope(tuple(groups)).mark
    assert mark == CameraScope(tuple(reversed(groups))).mark
    token = Cursor(timestamp=moment, id=number, scope_mark=mark).encode()
    assert decode_cursor(token) == Cursor(timestamp=moment, id=number, scope_mark=mark)
    assert len(token) == TOKEN_LENGTH
    assert token.replace("-", "a").replace("_", "a").isalnum()


@given(st.one_of(st.text(max_size=60), st.binary(max_size=40).map(lambda raw: raw.hex())))
def test_other_text_is_not_a_cursor(text: str) -> None:
    """Any other text is a ValueError."""
    with pytest.raises(ValueError, match="cursor is not one that this API issued"):
        decode_cursor(text)


@given(MOMENTS, st.integers(1, 2**63 - 1), st.integers(0, UNMARKED_LENGTH - 1), st.sampled_from("AbZ09-_"))
def test_a_cursor_with_one_changed_character_is_rejected(moment: datetime, number: int, where: int, what: str) -> None:
    """The checksum detects an edited token."""
    token = Cursor(timestamp=moment, id=number).encode()
    changed = token[:where] + what + token[where + 1 :]
    if changed != token:
        with pytest.raises(ValueError, match="cursor is not one that this API issued"):
            decode_cursor(changed)
