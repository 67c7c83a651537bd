"""The syntax of regular expressions over plates: parses a text to a tree, and finds required substrings.

Supported: letters and digits, ``.``, ``[A-F1]`` and ``[^A-F]``, ``\\d`` ``\\D`` ``\\w``, groups, ``|``,
``* + ? {m} {m,} {m,n}``, and ``^`` and ``$`` at the ends of the expression or of one of its alternatives. Features that
need a backtracking engine (back-references, lookaround) are rejected, as are characters that never occur in a plate's
normal form (a hyphen, a space). Letters are converted to the normal form of plates: a Cyrillic В is a B. Letters that
have no Latin equivalent (``shared.plates``) are allowed, but not as the ends of a range.
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
"""The maximum length of a plate."""
MAX_DEPTH: Final = 20

_DIGITS: Final = frozenset(ALPHABET[26:])
_BOUNDS: Final = re.compile(r"\{(\d{1,3})(?:(,)(\d{1,3})?)?\}", re.ASCII)


class Chars(NamedTuple):
    """One character out of a set; with ``is_negated``, one of any alphabet that is not in the set."""

    chars: frozenset[str]
    is_negated: bool = False

    def or_else(self, other: Chars) -> Chars:
        """Return the union of both sets."""
        if self.is_negated and other.is_negated:
            return Chars(self.chars & other.chars, is_negated=True)
        if self.is_negated:
            return Chars(self.chars - other.chars, is_negated=True)
        return other.or_else(self) if other.is_negated else Chars(self.chars | other.chars)

    def inverted(self) -> Chars:
        """Return the complement."""
        return Chars(self.chars, not self.is_negated)


_NOTHING: Final = Chars(frozenset())
_ANY: Final = _NOTHING.inverted()
_CLASSES: Final = {"d": Chars(_DIGITS), "D": Chars(_DIGITS, is_negated=True), "w": _ANY}


class Sequence(NamedTuple):
    """Items that match one after the other."""

    items: tuple[Node, ...]


class Choice(NamedTuple):
    """Alternatives, one of which matches."""

    options: tuple[Node, ...]


class Repeat(NamedTuple):
    """An item repeated ``minimum`` to ``maximum`` times; None means unbounded."""

    item: Node
    minimum: int
    maximum: int | None


Node = Chars | Sequence | Choice | Repeat


@dataclass(frozen=True, slots=True)
class Branch:
    """One alternative of an expression, and whether it is anchored at the start and the end of the plate."""

    node: Sequence
    at_start: bool
    at_end: bool


def parse(text: str) -> tuple[Branch, ...]:
    """Return the alternatives of an expression; raise ValueError with the reason if it is invalid."""
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
            raise ValueError(f"has an unmatched {self._text[self._at]} at character {self._at + 1}")
        if sum(_size(branch.node) for branch in branches) > MAX_POSITIONS:
            raise ValueError(f"is too large: with repeats expanded it has more than {MAX_POSITIONS} characters")
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
        self._take("?")  # greedy or lazy makes no difference: only whether it matches counts
        if self._at < len(self._text) and self._text[self._at] in "*+?{":
            raise ValueError(f"repeats a repeat at character {self._at + 1}; put the inner one in a group")
        return Repeat(item, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        if not self._text.startswith("{", self._at):
            return None
        bounds_match = _BOUNDS.match(self._text, self._at)
        if bounds_match is None:
            raise ValueError(f"has a {{ at character {self._at + 1} that does not begin a repeat such as {{2,4}}")
        self._at = bounds_match.end()
        first, comma, last = bounds_match.groups()
        minimum = int(first)
        maximum = minimum if not comma else None if last is None else int(last)
        if (maximum is not None and maximum < minimum) or max(minimum, maximum or 0) > MAX_REPEAT:
            raise ValueError(f"has invalid repeat bounds: give min,max in order, at most {MAX_REPEAT}")
        return minimum, maximum

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
        return Choice((Sequence(tuple(Chars(frozenset({one})) for one in literal)),))  # one unit: Æ+ is (AE)+

    def _plain(self, char: str) -> str:
        """Return the normal form of a letter or digit: one character, or several (for Æ)."""
        if char in "^*+?{}])":
            raise ValueError(f"has an unexpected {char} at character {self._at}")
        normal = normalize_plate(char)
        if not normal or not all(map(is_plate_character, char + normal)):
            raise ValueError(
                "must contain only letters and digits, because plates are compared without spaces, dots and hyphens:"
                f" {describe(char)} at character {self._at} is not allowed"
            )
        return normal

    def _escaped(self) -> Chars:
        char = self._text[self._at : self._at + 1]
        self._at += 1
        if char not in _CLASSES:
            raise ValueError("has an unsupported escape: only \\d, \\D and \\w are allowed")
        return _CLASSES[char]

    def _group(self) -> Node:
        self._at += 1
        if self._take("?") and not self._take(":"):
            raise ValueError("has an unsupported group: only (…) and (?:…) are allowed")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"has more than {MAX_DEPTH} nested groups")
        options: list[Node] = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        if not self._take(")"):
            raise ValueError("has an unclosed group, or an anchor inside a group")
        self._depth -= 1
        return Choice(tuple(options))

    def _set(self) -> Chars:
        self._at += 1
        is_negated = self._take("^")
        members = _NOTHING
        while not self._take("]"):
            if self._at >= len(self._text):
                raise ValueError("has an unclosed [")
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
                raise ValueError(f"has a {char} in [ ], which is {first} in normal form: write (?:{first}|…)")
            return Chars(frozenset({first}))
        end = self._text[self._at + 1]
        last = self._plain(end)
        self._at += 2
        if not (char + end).isascii() or first.isdigit() != last.isdigit() or first > last:
            raise ValueError(f"has an invalid range {char}-{end}: a range must be within A-Z or within 0-9, in order")
        return Chars(frozenset(char for char in ALPHABET if first <= char <= last))


def _size(node: Node) -> int:
    """Return the number of positions of the node with repeats expanded; an empty node counts as one."""
    match node:
        case Chars():
            return 1
        case Sequence(items) | Choice(items):
            return max(1, sum(map(_size, items)))
        case Repeat(item, minimum, maximum):
            return max(1, _size(item) * (max(minimum, 1) if maximum is None else maximum))


def required_substrings(branch: Branch) -> list[frozenset[str]]:
    """Return sets of substrings such that every matching plate contains at least one substring of each set.

    ``^`` and ``$`` in a substring stand for the plate's ends. A plate that contains no substring of one of the sets
    cannot match.
    """
    runs = _Runs("^" if branch.at_start else "")
    runs.collect(branch.node)
    if branch.at_end:
        runs.open += "$"
    runs.close()
    return runs.sets


class _Runs:
    """Collects substrings in the order of the characters; ``open`` is the one that is still being extended."""

    def __init__(self, open_run: str = "") -> None:
        self.sets: list[frozenset[str]] = []
        self.open = open_run

    def close(self) -> None:
        """End the open substring, because the next character is not fixed."""
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
            case Repeat(item, minimum, maximum) if minimum > 0:
                for _ in range(minimum):
                    self.collect(item)
                if maximum != minimum:
                    self.close()
            case _:
                self.close()

    def _one_of(self, options: tuple[Node, ...]) -> None:
        """Add the longest substring of each option, if every option has one."""
        runs: set[str] = set()
        for option in options:
            inner = _Runs()
            inner.collect(option)
            inner.close()
            if not inner.sets:
                return
            runs |= max(inner.sets, key=lambda one: min(map(len, one)))
        self.sets.append(frozenset(runs))
