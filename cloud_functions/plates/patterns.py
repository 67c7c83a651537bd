"""Watch-list patterns, and an index that finds those that match a plate, among very many.

Exact patterns are looked up in a dictionary. Fuzzy patterns are found by deletion neighbourhoods (two plates within two
edits share a variant with up to two characters deleted), then measured. Globs and regular expressions are indexed by a
substring that they require; only those whose substring occurs in the plate are matched, in bounded time (see
``regex``). A lookup takes microseconds regardless of the number of patterns.
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
_Variant = tuple[str, ...]
"""Single characters: joining them to a string would take as long as the lookup."""
_CACHED_PLATES: Final = 20_000
"""Number of plates whose matches are cached; the same vehicles pass repeatedly."""


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
    """A pattern that matches a plate; ``distance`` is set for fuzzy patterns only (see ``distance``)."""

    pattern: WatchPattern
    distance: float | None = None


def check_pattern(kind: PatternKind, text: str, max_distance: int | None) -> str:
    """Return the pattern in the form in which it is stored.

    Exact and fuzzy patterns are converted to the normal form of plates; globs lose their separators.

    Raises:
        ValueError: the pattern is invalid; the message gives the reason.
    """
    if (max_distance is not None) != (kind == "fuzzy"):
        raise ValueError("max_distance is required for fuzzy patterns and not allowed for others")
    if kind == "regex":
        compile_regex(text)
        return text
    if kind == "glob":
        glob = _glob(text)
        compile_glob(glob)
        return glob
    plate = require_plate(text, min_length=1 if kind == "exact" else MIN_FUZZY_LENGTH)
    if max_distance is not None and not 0 <= max_distance <= MAX_DISTANCE:
        raise ValueError(f"max_distance must be 0 to {MAX_DISTANCE}")
    return plate


def _glob(text: str) -> str:
    """Convert letters to the normal form and drop separators; sets (``[ ]``) stay unchanged."""
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
    """Patterns by id; finds those that match a plate."""

    def __init__(self) -> None:
        self._patterns: dict[int, WatchPattern] = {}
        self._exact: dict[str, set[int]] = {}
        self._fuzzy = _FuzzyIndex()
        self._shaped = _ShapeIndex()
        self._cache: dict[str, list[Match]] = {}

    def __len__(self) -> int:
        return len(self._patterns)

    def numbers(self) -> set[int]:
        """Return the ids of all patterns."""
        return set(self._patterns)

    def add(self, pattern: WatchPattern) -> None:
        """Add a pattern; raise ValueError if it is invalid."""
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
        self._cache.clear()

    def discard(self, number: int) -> None:
        """Remove a pattern, if it is in the index."""
        pattern = self._patterns.pop(number, None)
        if pattern is None:
            return
        self._cache.clear()
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
        """Return the unexpired patterns that match ``plate`` (in normal form), sorted by id."""
        matches = self._cache.get(plate)
        if matches is None:
            matches = self._find(plate)
            if len(self._cache) >= _CACHED_PLATES:
                self._cache.clear()
            self._cache[plate] = matches
        return [one for one in matches if one.pattern.expires_at is None or one.pattern.expires_at > now]

    def exact(self, text: str, *, now: datetime) -> list[Match]:
        """Return the unexpired exact patterns that equal ``text`` (a plate or a token), sorted by id."""
        patterns = [self._patterns[number] for number in sorted(self._exact.get(text, ()))]
        return [Match(pattern) for pattern in patterns if pattern.expires_at is None or pattern.expires_at > now]

    def _find(self, plate: str) -> list[Match]:
        distances: dict[int, float | None] = dict.fromkeys(self._exact.get(plate, ()))
        distances |= dict.fromkeys(self._shaped.find(plate))
        distances |= self._fuzzy.find(plate)
        return [Match(self._patterns[number], distances[number]) for number in sorted(distances)]


class _FuzzyIndex:
    def __init__(self) -> None:
        self._numbers: dict[tuple[str, int], set[int]] = {}
        self._by_variant: dict[_Variant, list[tuple[str, int]]] = {}
        self._reach = dict.fromkeys(range(MAX_DISTANCE + 1), 0)

    def add(self, number: int, text: str, distance: int) -> None:
        entry = (text, distance)
        numbers = self._numbers.setdefault(entry, set())
        if not numbers:
            self._reach[distance] += 1
            for variant in set(_deletion_variants(fold(text), distance)):
                self._by_variant.setdefault(variant, []).append(entry)
        numbers.add(number)

    def discard(self, number: int, text: str, distance: int) -> None:
        entry = (text, distance)
        numbers = self._numbers[entry]
        numbers.discard(number)
        if numbers:
            return
        del self._numbers[entry]
        self._reach[distance] -= 1
        for variant in set(_deletion_variants(fold(text), distance)):
            entries = self._by_variant[variant]
            entries.remove(entry)
            if not entries:
                del self._by_variant[variant]

    def find(self, plate: str) -> dict[int, float]:
        """Return the distances of the patterns that match, by id."""
        if not self._numbers:
            return {}
        reach = max(distance for distance, entries in self._reach.items() if entries)
        near = set(chain.from_iterable(filter(None, map(self._by_variant.get, _deletion_variants(fold(plate), reach)))))
        distances: dict[int, float] = {}
        for text, max_distance in near:
            distance = plate_distance(plate, text, limit=max_distance)
            if distance <= max_distance:
                distances |= dict.fromkeys(self._numbers[text, max_distance], distance)
        return distances


def _deletion_variants(text: str, deletions: int) -> Iterator[_Variant]:
    """Return the variants of ``text`` with up to ``deletions`` characters deleted; a variant may occur repeatedly."""
    lengths = range(len(text), max(len(text) - deletions, 0) - 1, -1)
    return chain.from_iterable(combinations(text, length) for length in lengths)


class _Shape(NamedTuple):
    regex: PlateRegex
    numbers: set[int]
    keys: tuple[str, ...]


class _ShapeIndex:
    """Globs and regular expressions, each text once, indexed by a substring that each of its branches requires."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[str, str], _Shape] = {}
        self._by_key: dict[str, set[tuple[str, str]]] = {}
        self._lengths = Counter[int]()
        """The number of keys of each length; substrings of other lengths are not looked up."""

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
        """Return keys of which every matching plate contains at least one; every plate contains the empty key."""
        keys: set[str] = set()
        for branch in regex.branches:
            required = [{self._best_key(run) for run in runs} for runs in required_substrings(branch)]
            keys |= min(required, key=lambda one: sum(map(self._cost, one)), default={""})
        return tuple(keys)

    def _best_key(self, run: str) -> str:
        last = max(0, len(run) - _KEY_LENGTH)
        return min((run[start : start + _KEY_LENGTH] for start in range(last + 1)), key=self._cost)

    def _cost(self, key: str) -> float:
        """Return the expected number of patterns matched per plate under this key, with one pattern added."""
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
                self._lengths -= Counter([len(key)])  # subtraction removes a length that has no keys

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
