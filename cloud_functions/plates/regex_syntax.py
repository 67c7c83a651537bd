"""The syntax of regular expressions over plates: from text to a tree, and what a tree demands (see ``regex``).

The part of the usual syntax that regular languages have: letters and digits, ``.``, ``[A-F1]`` and ``[^A-F]``, ``\\d``
``\\D`` ``\\w``, groups, ``|``, ``* + ? {m} {m,} {m,n}``, and ``^`` and ``$`` at the ends of the whole expression or of
one of its alternatives. What only a backtracking engine can do (back-references, looking around) is refused, and so is
what can never occur in a plate's normal form (a hyphen, a space). Letters come into the normal form of plates: a
Cyrillic В is a B. Those that stay as they are (``shared.plates``) may be written, but not as the ends of a range.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from shared.plates import compose, describe, is_plate_character, normalize_plate

ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
MAX_LENGTH: Final = 200
MAX_POSITIONS: Final = 256
MAX_REPEAT: Final = 16
"""Plates have at most so many characters."""
MAX_DEPTH: Final = 20

_DIGITS: Final = frozenset(ALPHABET[26:])
_BOUNDS: Final = re.compile(r"\{(\d{1,3})(?:(,)(\d{1,3})?)?\}", re.ASCII)


class Chars(NamedTuple):
    """One character out of these; with ``is_negated`` one that is none of them, whatever the alphabet."""

    chars: frozenset[str]
    is_negated: bool = False

    def or_else(self, other: Chars) -> Chars:
        """Return what either takes."""
        if self.is_negated and other.is_negated:
            return Chars(self.chars & other.chars, is_negated=True)
        if self.is_negated:
            return Chars(self.chars - other.chars, is_negated=True)
        return other.or_else(self) if other.is_negated else Chars(self.chars | other.chars)

    def inverted(self) -> Chars:
        """Return what it does not take."""
        return Chars(self.chars, not self.is_negated)


_NOTHING: Final = Chars(frozenset())
_ANY: Final = _NOTHING.inverted()
_CLASSES: Final = {"d": Chars(_DIGITS), "D": Chars(_DIGITS, is_negated=True), "w": _ANY}


class Sequence(NamedTuple):
    """One after the other."""

    items: tuple[Node, ...]


class Choice(NamedTuple):
    """One of them."""

    options: tuple[Node, ...]


class Repeat(NamedTuple):
    """From ``least`` to ``most`` times; None is without end."""

    item: Node
    least: int
    most: int | None


Node = Chars | Sequence | Choice | Repeat


@dataclass(frozen=True, slots=True)
class Branch:
    """One alternative of an expression, and whether it is held to the plate's beginning and end."""

    node: Sequence
    at_start: bool
    at_end: bool


def parse(text: str) -> tuple[Branch, ...]:
    """Return the alternatives of an expression; raise ValueError that says what is wrong with it."""
    return _Parser(text).expression()


class _Parser:
    def __init__(self, text: str) -> None:
        if not 1 <= len(text) <= MAX_LENGTH:
            raise ValueError(f"must have 1 to {MAX_LENGTH} characters")
        self._text = compose(text)
        self._at = 0
        self._depth = 0

    def expression(self) -> tuple[Branch, ...]:
        branches = [self._branch()]
        while self._take("|"):
            branches.append(self._branch())
        if self._at < len(self._text):
            raise ValueError(f"has a {self._text[self._at]} too many, at character {self._at + 1}")
        if sum(_size(branch.node) for branch in branches) > MAX_POSITIONS:
            raise ValueError(f"is too large: written out it has more than {MAX_POSITIONS} characters")
        return tuple(branches)

    def _branch(self) -> Branch:
        at_start = self._take("^")
        node = self._sequence()
        return Branch(node, at_start, self._take("$"))

    def _take(self, char: str) -> bool:
        if self._text.startswith(char, self._at):
            self._at += len(char)
            return True
        return False

    def _sequence(self) -> Sequence:
        items: list[Node] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)$":
            items.append(self._repeated(self._atom()))
        return Sequence(tuple(items))

    def _repeated(self, item: Node) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return item
        self._take("?")  # as few as possible or as many: it is found or it is not
        if self._at < len(self._text) and self._text[self._at] in "*+?{":
            raise ValueError(f"repeats a repeat, at character {self._at + 1}; put a group around the inner one")
        return Repeat(item, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        if not self._text.startswith("{", self._at):
            return None
        found = _BOUNDS.match(self._text, self._at)
        if found is None:
            raise ValueError(f"has a {{ that begins no repeat such as {{2,4}}, at character {self._at + 1}")
        self._at = found.end()
        least = int(found[1])
        most = least if not found[2] else None if found[3] is None else int(found[3])
        if (most is not None and most < least) or max(least, most or 0) > MAX_REPEAT:
            raise ValueError(f"repeats must be in order and at most {MAX_REPEAT}: plates are no longer")
        return least, most

    def _atom(self) -> Node:
        char = self._text[self._at]
        if char == "(":
            return self._group()
        if char == "[":
            return self._set()
        self._at += 1
        if char == ".":
            return _ANY
        if char == "\\":
            return self._escaped()
        literal = self._plain(char)
        if len(literal) == 1:
            return Chars(frozenset({literal}))
        return Choice((Sequence(tuple(Chars(frozenset({one})) for one in literal)),))  # one piece: Æ+ is (AE)+

    def _plain(self, char: str) -> str:
        """Return the normal form of a letter or digit: one character, or several (Æ)."""
        if char in "^*+?{}])":
            raise ValueError(f"has a {char} where none can stand, at character {self._at}")
        normal = normalize_plate(char)
        if not normal or not all(map(is_plate_character, char + normal)):
            raise ValueError(
                "may hold letters and digits only, plates are compared without spaces, dots and hyphens:"
                f" {describe(char)}, at character {self._at}"
            )
        return normal

    def _escaped(self) -> Chars:
        char = self._text[self._at : self._at + 1]
        self._at += 1
        if char not in _CLASSES:
            raise ValueError("may use \\d, \\D and \\w; no back-references, no boundaries, no other escapes")
        return _CLASSES[char]

    def _group(self) -> Node:
        self._at += 1
        if self._take("?") and not self._take(":"):
            raise ValueError("may not look around nor name groups: only (…) and (?:…)")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"has more than {MAX_DEPTH} groups inside one another")
        options: list[Node] = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        if not self._take(")"):
            raise ValueError("has a group that is not closed, or an anchor inside a group")
        self._depth -= 1
        return Choice(tuple(options))

    def _set(self) -> Chars:
        self._at += 1
        is_negated = self._take("^")
        members = _NOTHING
        while not self._take("]"):
            if self._at >= len(self._text):
                raise ValueError("has a [ that is not closed")
            members = members.or_else(self._member())
        if members == _NOTHING:
            raise ValueError("has an empty [ ]")
        return members.inverted() if is_negated else members

    def _member(self) -> Chars:
        char = self._text[self._at]
        self._at += 1
        if char == "\\":
            return self._escaped()
        first = self._plain(char)
        if self._text[self._at : self._at + 1] != "-" or self._text[self._at + 1 : self._at + 2] in ("", "]"):
            if len(first) > 1:
                raise ValueError(f"has a {char} in [ ], which plates have as {first}: write (?:{first}|…)")
            return Chars(frozenset({first}))
        end = self._text[self._at + 1]
        last = self._plain(end)
        self._at += 2
        if not (char + end).isascii() or first.isdigit() != last.isdigit() or first > last:
            raise ValueError(f"has a range {char}-{end} that is none: ranges are of A-Z or of 0-9")
        return Chars(frozenset(char for char in ALPHABET if first <= char <= last))


def _size(node: Node) -> int:
    """Return how many positions the node takes, repeats written out; nothing is not for nothing either."""
    match node:
        case Chars():
            return 1
        case Sequence(items) | Choice(items):
            return max(1, sum(map(_size, items)))
        case Repeat(item, least, most):
            return max(1, _size(item) * (max(least, 1) if most is None else most))


def required_substrings(branch: Branch) -> list[frozenset[str]]:
    """Return what every plate holds that the branch is found in: of each set at least one run of characters.

    ``^`` and ``$`` in a run stand for the plate's ends. What a plate holds none of a set of need not be tried on it.
    """
    found = _Runs("^" if branch.at_start else "")
    found.collect(branch.node)
    if branch.at_end:
        found.open += "$"
    found.close()
    return found.sets


class _Runs:
    """Gathers runs in the order of the characters; ``open`` is the one that still grows."""

    def __init__(self, open_run: str = "") -> None:
        self.sets: list[frozenset[str]] = []
        self.open = open_run

    def close(self) -> None:
        """End the open run: what follows may differ."""
        if self.open.strip("^$"):
            self.sets.append(frozenset({self.open}))
        self.open = ""

    def collect(self, node: Node) -> None:
        match node:
            case Chars(chars, False) if len(chars) == 1:
                self.open += next(iter(chars))
            case Sequence(items):
                for item in items:
                    self.collect(item)
            case Choice((only,)):
                self.collect(only)
            case Choice(options):
                self.close()
                self._one_of(options)
            case Repeat(item, least, most) if least > 0:
                for _ in range(least):
                    self.collect(item)
                if most != least:
                    self.close()
            case _:
                self.close()

    def _one_of(self, options: tuple[Node, ...]) -> None:
        """Add the longest run of each option, where each has one."""
        runs: set[str] = set()
        for option in options:
            inner = _Runs()
            inner.collect(option)
            inner.close()
            if not inner.sets:
                return
            runs |= max(inner.sets, key=lambda one: min(map(len, one)))
        self.sets.append(frozenset(runs))
