"""Event ids and segments."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ContractError
from shared.ids import Uuid7Generator, is_segment, require_segment

SEGMENTS = st.from_regex(r"[A-Za-z0-9_-]{1,100}", fullmatch=True)


def test_event_ids_are_uuid7_in_the_order_of_generation() -> None:
    """Ids of one generator increase strictly, also within a millisecond, and contain the time."""
    generate = Uuid7Generator()
    earliest_ms = time.time_ns() // 1_000_000
    ids = [generate() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert {(item.version, item.variant) for item in ids} == {(7, "specified in RFC 4122")}
    assert earliest_ms <= ids[0].int >> 80 <= time.time_ns() // 1_000_000


def test_event_ids_of_several_threads_are_unique() -> None:
    """Camera threads share one generator."""
    generate, ids = Uuid7Generator(), []
    threads = [threading.Thread(target=lambda: ids.extend(generate() for _ in range(2_000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 8_000


@given(st.text(max_size=120))
def test_segments_contain_only_letters_digits_underscore_and_hyphen(text: str) -> None:
    """No character has a meaning in topics, keys, paths or a shell."""
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
    is_valid = 1 <= len(text) <= 100 and set(text) <= allowed
    assert is_segment(text) is is_valid
    if not is_valid:
        with pytest.raises(ContractError, match="camera_id"):
            require_segment(text, name="camera_id")
