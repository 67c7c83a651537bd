"""The index of watch-list patterns, compared with trying every pattern."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_functions.plates.distance import plate_distance
from cloud_functions.plates.patterns import PatternIndex, WatchPattern, check_pattern
from cloud_functions.plates.regex import compile_glob, compile_regex
from shared.plates import normalize_plate

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PLATES = st.text("AB08O1", min_size=1, max_size=6)
PATTERNS = st.one_of(
    st.tuples(st.just("exact"), PLATES, st.none()),
    st.tuples(st.just("fuzzy"), st.text("AB08O1", min_size=3, max_size=6), st.integers(0, 2)),
    st.tuples(st.just("glob"), st.text("AB0*?", min_size=1, max_size=5), st.none()),
    st.tuples(st.just("regex"), st.sampled_from(["^A", "B$", "A|B0", "[AB]{2}", "0.1", "8+", "^A?B?$"]), st.none()),
)

_READS = ["А123ВС77", "a 123 bc-77", "О123КК77", "12377", "Б123ГД77"]


def _pattern(number: int, kind: str, text: str, max_distance: int | None = None, **fields: object) -> WatchPattern:
    return WatchPattern(number, 1, kind, text, max_distance)._replace(**fields)


def _matches(pattern: WatchPattern, plate: str) -> bool:
    if pattern.kind == "exact":
        return plate == pattern.text
    if pattern.kind == "fuzzy":
        return plate_distance(plate, pattern.text) <= (pattern.max_distance or 0)
    return (compile_glob if pattern.kind == "glob" else compile_regex)(pattern.text).matches(plate)


@settings(max_examples=300, deadline=None)
@given(st.lists(PATTERNS, max_size=12), st.sets(st.integers(0, 11)), st.lists(PLATES, min_size=1, max_size=5))
def test_the_index_agrees_with_trying_every_pattern(
    given_patterns: list[tuple[str, str, int | None]], removed: set[int], plates: list[str]
) -> None:
    """With patterns of each kind, repeated texts, and some patterns removed."""
    patterns = [_pattern(number, *one) for number, one in enumerate(given_patterns)]
    index = PatternIndex()
    for pattern in patterns:
        index.add(pattern)
    for plate in plates:
        index.matches(plate, now=NOW)  # the cached result must not survive a change
    for number in removed:
        index.discard(number)
    remaining = [pattern for pattern in patterns if pattern.pattern_id not in removed]
    assert index.numbers() == {pattern.pattern_id for pattern in remaining}
    for plate in plates:
        matches = index.matches(plate, now=NOW)
        assert [match.pattern for match in matches] == [pattern for pattern in remaining if _matches(pattern, plate)]
        for match in matches:
            expected = plate_distance(plate, match.pattern.text) if match.pattern.kind == "fuzzy" else None
            assert match.distance == expected


def test_a_removed_pattern_leaves_no_entry() -> None:
    """Lists change for years in one process, so an emptied index must not grow."""
    index = PatternIndex()
    before = repr(_internals(index))
    for number, (kind, text, max_distance) in enumerate(
        [("exact", "AB1", None), ("fuzzy", "AB12", 2), ("glob", "A*1", None), ("regex", "A|B", None)]
    ):
        index.add(_pattern(number, kind, text, max_distance))
        index.add(_pattern(number + 10, kind, text, max_distance))
    assert repr(_internals(index)) != before
    for number in (*index.numbers(), 99):
        index.discard(number)
    assert len(index) == 0
    assert repr(_internals(index)) == before


def _internals(index: PatternIndex) -> list[object]:
    return [index._exact, vars(index._fuzzy), vars(index._shaped), index._cache]


def test_a_pattern_does_not_match_from_its_expiry_time_on() -> None:
    """A second earlier it still matches."""
    index = PatternIndex()
    index.add(_pattern(1, "exact", "AB1", expires_at=NOW))
    assert index.matches("AB1", now=NOW) == []
    assert [match.pattern.pattern_id for match in index.matches("AB1", now=NOW - timedelta(seconds=1))] == [1]


def test_a_pattern_of_an_unknown_kind_is_rejected() -> None:
    """A newer API may have stored it; ingest skips it."""
    with pytest.raises(ValueError, match="sounds"):
        PatternIndex().add(_pattern(1, "sounds", "AB1"))


@pytest.mark.parametrize(
    ("kind", "text", "max_distance", "stored"),
    [
        ("exact", "b-ak 123", None, "BAK123"),
        ("fuzzy", "b-ak 123", 1, "BAK123"),
        ("glob", "b-*·12 [a-c]", None, "B*12[A-C]"),
        ("regex", r"^b\d+", None, r"^b\d+"),
        ("exact", "А123ВС77", None, "A123BC77"),
        ("exact", "京A·12345", None, "京A12345"),
        ("fuzzy", "Б 12 Г", 1, "Б12Г"),
        ("glob", "а-*Æ?[Ä京]", None, "A*AE?[Ä京]"),
    ],
)
def test_patterns_are_stored_in_the_normal_form_of_plates(
    kind: str, text: str, max_distance: int | None, stored: str
) -> None:
    """They may be written as on the vehicle."""
    assert check_pattern(kind, text, max_distance) == stored  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["exact", "fuzzy", "glob", "regex"])
def test_cloud_a3_patterns_agree_with_plates_in_any_alphabet(kind: str) -> None:
    """A pattern in Cyrillic matches every spelling of its plate and no other plate."""
    text = check_pattern(kind, "А123ВС77", 0 if kind == "fuzzy" else None)  # type: ignore[arg-type]
    index = PatternIndex()
    index.add(_pattern(1, kind, text, 0 if kind == "fuzzy" else None))
    matches = {read: bool(index.matches(normalize_plate(read), now=NOW)) for read in _READS}
    assert matches == dict.fromkeys(_READS, False) | {"А123ВС77": True, "a 123 bc-77": True}


@pytest.mark.parametrize(
    ("kind", "text", "max_distance"),
    [
        ("exact", "---", None),
        ("exact", "A" * 17, None),
        ("exact", "AB1", 1),
        ("fuzzy", "AB12", None),
        ("fuzzy", "A1", 1),
        ("fuzzy", "AB12", 3),
        ("fuzzy", "AB12", -1),
        ("glob", "--", None),
        ("glob", "A(B)", None),
        ("regex", "(A", None),
        ("exact", "AB🚗1", None),
        ("exact", "AB\x071", None),
        ("exact", "AB*", None),
        ("regex", "AB\u200b12", None),
        ("glob", "AB🚗*", None),
        ("glob", "AB\n*", None),
        ("glob", "[А-К]1", None),
        ("regex", "AB🚗", None),
    ],
)
def test_an_invalid_pattern_is_rejected(kind: str, text: str, max_distance: int | None) -> None:
    """The error gives the reason."""
    with pytest.raises(ValueError, match=r"\w"):
        check_pattern(kind, text, max_distance)  # type: ignore[arg-type]
