"""The patterns of watch-lists, and an index that finds which of very many a plate fits.

Exact patterns are looked up. Fuzzy ones are found by what is left of pattern and plate when up to two characters are
deleted (two plates within two edits share such a rest), and then measured. Globs and regular expressions are looked up
by a run of characters that they demand; only those whose run the plate holds are tried, in bounded time (see
``regex``). So a plate costs microseconds however many patterns there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import chain, combinations
from typing import Final, Literal, NamedTuple

from cloud_functions.plates.distance import fold, plate_distance
from cloud_functions.plates.regex import PlateRegex, compile_glob, compile_regex
from cloud_functions.plates.regex_syntax import required_substrings
from shared.plates import compose, is_plate_character, is_query_separator, normalize_plate, require_plate

PatternKind = Literal["exact", "glob", "regex", "fuzzy"]

MAX_DISTANCE: Final = 2
MIN_FUZZY_LENGTH: Final = 3
_GLOB_SIGNS: Final = frozenset("*?[]")
_KEY_LENGTH: Final = 4
_Rest = tuple[str, ...]
"""Characters one by one: making texts of them would take as long as looking them up."""
_REMEMBERED: Final = 20_000
"""Plates whose answer is kept: the same vehicles pass again and again."""


class WatchPattern(NamedTuple):
    """One pattern of a watch-list."""

    pattern_id: int
    watchlist_id: int
    kind: str
    text: str
    max_distance: int | None = None
    reason: str | None = None
    expires_at: datetime | None = None


class Match(NamedTuple):
    """A pattern that a plate fits; ``distance`` with fuzzy ones only (see ``distance``)."""

    pattern: WatchPattern
    distance: float | None = None


def check_pattern(kind: PatternKind, text: str, max_distance: int | None) -> str:
    """Return the pattern as it is to be stored; raise ValueError that says what is wrong with it.

    Exact and fuzzy ones come into the plates' normal form; globs lose their separators.
    """
    if (max_distance is not None) != (kind == "fuzzy"):
        raise ValueError("max_distance belongs to fuzzy patterns, and they need it")
    if kind == "regex":
        compile_regex(text)
        return text
    if kind == "glob":
        glob = _glob(text)
        compile_glob(glob)
        return glob
    plate = require_plate(text, least=1 if kind == "exact" else MIN_FUZZY_LENGTH)
    if max_distance is not None and not 0 <= max_distance <= MAX_DISTANCE:
        raise ValueError(f"max_distance must be 0 to {MAX_DISTANCE}")
    return plate


def _glob(text: str) -> str:
    """Bring letters into normal form and drop separators. Sets, ``[ ]``, stay as they are written."""
    parts: list[str] = []
    inside = False
    for char in compose(text):
        inside = (inside or char == "[") and char != "]"
        if inside:
            parts.append(char.upper() if char.isascii() else char)
        elif is_plate_character(char):
            parts.append(normalize_plate(char))
        elif char in _GLOB_SIGNS or not is_query_separator(char):
            parts.append(char)
    return "".join(parts)


class PatternIndex:
    """Patterns by number; finds those that a plate fits."""

    def __init__(self) -> None:
        self._patterns: dict[int, WatchPattern] = {}
        self._exact: dict[str, set[int]] = {}
        self._fuzzy = _FuzzyIndex()
        self._shaped = _ShapeIndex()
        self._answers: dict[str, list[Match]] = {}

    def __len__(self) -> int:
        return len(self._patterns)

    def numbers(self) -> set[int]:
        """Return the numbers of all patterns."""
        return set(self._patterns)

    def add(self, pattern: WatchPattern) -> None:
        """Take a pattern in; raise ValueError for one that cannot be right."""
        number, text = pattern.pattern_id, pattern.text
        match pattern.kind:
            case "exact":
                self._exact.setdefault(text, set()).add(number)
            case "fuzzy":
                self._fuzzy.add(number, text, pattern.max_distance or 0)
            case "glob":
                self._shaped.add(number, pattern.kind, text, compile_glob)
            case "regex":
                self._shaped.add(number, pattern.kind, text, compile_regex)
            case _:
                raise ValueError(f"there are no {pattern.kind} patterns")
        self._patterns[number] = pattern
        self._answers.clear()

    def discard(self, number: int) -> None:
        """Forget a pattern."""
        pattern = self._patterns.pop(number, None)
        if pattern is None:
            return
        self._answers.clear()
        if pattern.kind == "exact":
            numbers = self._exact[pattern.text]
            numbers.discard(number)
            if not numbers:
                del self._exact[pattern.text]
        elif pattern.kind == "fuzzy":
            self._fuzzy.discard(number, pattern.text, pattern.max_distance or 0)
        else:
            self._shaped.discard(number, pattern.kind, pattern.text)

    def matches(self, plate: str, *, now: datetime) -> list[Match]:
        """Return the patterns that ``plate`` (in normal form) fits and that have not expired, by number."""
        matches = self._answers.get(plate)
        if matches is None:
            matches = self._find(plate)
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            self._answers[plate] = matches
        return [one for one in matches if one.pattern.expires_at is None or one.pattern.expires_at > now]

    def exact(self, text: str, *, now: datetime) -> list[Match]:
        """Return the exact patterns that are ``text``, whatever it is, and that have not expired, by number."""
        found = [self._patterns[number] for number in sorted(self._exact.get(text, ()))]
        return [Match(pattern) for pattern in found if pattern.expires_at is None or pattern.expires_at > now]

    def _find(self, plate: str) -> list[Match]:
        found: dict[int, float | None] = dict.fromkeys(self._exact.get(plate, ()))
        found |= dict.fromkeys(self._shaped.find(plate))
        found |= self._fuzzy.find(plate)
        return [Match(self._patterns[number], found[number]) for number in sorted(found)]


class _FuzzyIndex:
    def __init__(self) -> None:
        self._numbers: dict[tuple[str, int], set[int]] = {}
        self._rests: dict[_Rest, list[tuple[str, int]]] = {}
        self._reach = dict.fromkeys(range(MAX_DISTANCE + 1), 0)

    def add(self, number: int, text: str, distance: int) -> None:
        entry = (text, distance)
        numbers = self._numbers.setdefault(entry, set())
        if not numbers:
            self._reach[distance] += 1
            for rest in set(_rests(fold(text), distance)):
                self._rests.setdefault(rest, []).append(entry)
        numbers.add(number)

    def discard(self, number: int, text: str, distance: int) -> None:
        entry = (text, distance)
        numbers = self._numbers[entry]
        numbers.discard(number)
        if numbers:
            return
        del self._numbers[entry]
        self._reach[distance] -= 1
        for rest in set(_rests(fold(text), distance)):
            entries = self._rests[rest]
            entries.remove(entry)
            if not entries:
                del self._rests[rest]

    def find(self, plate: str) -> dict[int, float]:
        """Return the distances of those near enough."""
        if not self._numbers:
            return {}
        reach = max(distance for distance, entries in self._reach.items() if entries)
        near = set(chain.from_iterable(filter(None, map(self._rests.get, _rests(fold(plate), reach)))))
        found: dict[int, float] = {}
        for text, most in near:
            distance = plate_distance(plate, text, most=most)
            if distance <= most:
                found |= dict.fromkeys(self._numbers[text, most], distance)
        return found


def _rests(text: str, deletions: int) -> Iterator[_Rest]:
    """Return what is left of ``text`` without up to so many of its characters, one rest perhaps several times."""
    lengths = range(len(text), max(len(text) - deletions, 0) - 1, -1)
    return chain.from_iterable(combinations(text, length) for length in lengths)


class _Shape(NamedTuple):
    regex: PlateRegex
    numbers: set[int]
    keys: tuple[str, ...]


class _ShapeIndex:
    """Globs and regular expressions, each text once, under a run of characters that each of its branches demands."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[str, str], _Shape] = {}
        self._by_key: dict[str, set[tuple[str, str]]] = {}
        self._lengths = Counter[int]()
        """How many keys there are of each length: runs of others need not be looked up."""

    def add(self, number: int, kind: str, text: str, compiled: Callable[[str], PlateRegex]) -> None:
        entry = (kind, text)
        shape = self._shapes.get(entry)
        if shape is None:
            regex = compiled(text)
            regex.build()
            shape = self._shapes[entry] = _Shape(regex, set(), self._keys(regex))
            for key in shape.keys:
                self._lengths[len(key)] += key not in self._by_key
                self._by_key.setdefault(key, set()).add(entry)
        shape.numbers.add(number)

    def _keys(self, regex: PlateRegex) -> tuple[str, ...]:
        """Return keys of which every plate that fits holds one; the empty one is in every plate."""
        keys: set[str] = set()
        for branch in regex.branches:
            required = [{self._best_key(run) for run in runs} for runs in required_substrings(branch)]
            keys |= min(required, key=lambda one: sum(map(self._cost, one)), default={""})
        return tuple(keys)

    def _best_key(self, run: str) -> str:
        last = max(0, len(run) - _KEY_LENGTH)
        return min((run[start : start + _KEY_LENGTH] for start in range(last + 1)), key=self._cost)

    def _cost(self, key: str) -> float:
        """Return about how often how much will be tried under this key, were one more put there."""
        return (len(self._by_key.get(key, ())) + 1) / 30 ** len(key.strip("^$"))

    def discard(self, number: int, kind: str, text: str) -> None:
        entry = (kind, text)
        shape = self._shapes[entry]
        shape.numbers.discard(number)
        if shape.numbers:
            return
        del self._shapes[entry]
        for key in shape.keys:
            entries = self._by_key[key]
            entries.discard(entry)
            if not entries:
                del self._by_key[key]
                self._lengths -= Counter([len(key)])  # and a length without keys is gone

    def find(self, plate: str) -> Iterator[int]:
        if not self._shapes:
            return
        by_key = self._by_key
        text = f"^{plate}$"
        held = [text[start : start + length] for length in self._lengths for start in range(len(text) - length + 1)]
        for entry in {entry for key in held if key in by_key for entry in by_key[key]}:
            shape = self._shapes[entry]
            if shape.regex.matches(plate):
                yield from shape.numbers
