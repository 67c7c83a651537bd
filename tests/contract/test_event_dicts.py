"""Validation into a dict and into an object accepts the same events, with the same content and reasons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ContractError
from shared.event_dicts import parse_event_dict
from shared.events import parse_event

GOLDEN = sorted((Path(__file__).parent / "golden").glob("event_*.json"))
SAMPLES = [json.loads(path.read_text(encoding="utf-8")) for path in GOLDEN]
ODD_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["tracking", "anpr", "2026-11-20T10:30:45Z", "1", "../x", "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)


def _verdict(parse: Any, payload: bytes) -> tuple[str, str] | None:
    try:
        parse(payload)
    except ContractError as error:
        return error.reason, str(error)
    return None


def _assert_alike(payload: bytes) -> None:
    verdict = _verdict(parse_event_dict, payload)
    assert verdict == _verdict(parse_event, payload)
    if verdict is None:
        assert parse_event_dict(payload) == parse_event(payload).model_dump()


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_valid_samples_have_equal_results(path: Path) -> None:
    """Both fill in defaults and keep unknown fields."""
    _assert_alike(path.read_bytes())


@given(st.data())
def test_changed_samples_have_equal_results(data: st.DataObject) -> None:
    """With any field at any depth replaced, removed or added, both give the same result."""
    sample = json.loads(json.dumps(data.draw(st.sampled_from(SAMPLES))))
    for _ in range(data.draw(st.integers(1, 3))):
        place = sample
        while True:
            name = data.draw(st.sampled_from([*place, "something new"]))
            if isinstance(place.get(name), dict) and place[name] and data.draw(st.booleans()):
                place = place[name]
                continue
            break
        if name in place and data.draw(st.booleans()):
            del place[name]
        else:
            place[name] = data.draw(ODD_VALUES)
    _assert_alike(json.dumps(sample).encode())


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"{}", b'"x"', b"\xff", b"[" * 5000, b" " * 200_000])
def test_invalid_messages_have_equal_reasons(payload: bytes) -> None:
    """Both reject a message that is not an event for the same reason."""
    _assert_alike(payload)
