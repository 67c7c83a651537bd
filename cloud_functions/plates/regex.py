"""Regular expressions over plates with bounded run time: no backtracking.

``regex_syntax`` describes the syntax. An unanchored expression matches anywhere in a plate, as in grep. It is compiled
to a position automaton (Glushkov, 1961) of at most 256 positions, with the set of states in one integer: matching a
plate of at most 16 characters takes at most 16 times 256 steps.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from cloud_functions.plates.regex_syntax import Branch, Chars, Choice, Node, Repeat, Sequence, parse
from shared.plates import describe, is_plate_character

_SIGNS: Final = frozenset("*?[]!^-")


class PlateRegex:
    """A compiled expression."""

    def __init__(self, branches: tuple[Branch, ...]) -> None:
        self.branches = branches
        self._built: list[_Automaton] | None = None

    def matches(self, plate: str) -> bool:
        """Return whether the expression matches in ``plate``, which is in normal form."""
        return any(automaton.matches(plate) for automaton in self.build())

    def build(self) -> list[_Automaton]:
        """Return the automata, built on the first call, because validation alone does not need them."""
        if self._built is None:
            self._built = [_Automaton(branch) for branch in self.branches]
        return self._built


def compile_regex(text: str) -> PlateRegex:
    """Compile an expression; raise ValueError with the reason if it is invalid."""
    return PlateRegex(parse(text))


def compile_glob(text: str) -> PlateRegex:
    """Compile a glob (``*`` any characters, ``?`` one, ``[AB]`` one of these), which must match the whole plate."""
    other = next((char for char in text if char not in _SIGNS and not is_plate_character(char)), None)
    if other is not None:
        raise ValueError(f"must contain only letters, digits, * ? and [ ]: {describe(other)} is not allowed")
    if not text:
        raise ValueError("must not be empty: give letters, digits, * ? and [ ]")
    expression = text.replace("[!", "[^").replace("?", ".").replace("*", ".*")
    return compile_regex(f"^{expression}$")


class _Piece(NamedTuple):
    """Part of an automaton: whether it matches the empty text, and its first and last positions, as bit sets."""

    nullable: bool
    first: int
    last: int


_EMPTY: Final = _Piece(nullable=True, first=0, last=0)


class _Automaton:
    """The positions of one branch: ``_follow[n]`` is the bit set of the positions that may follow position n."""

    def __init__(self, branch: Branch) -> None:
        self._at_start, self._at_end = branch.at_start, branch.at_end
        self._follow: list[int] = []
        self._positions: dict[str, int] = {}
        self._negated: list[tuple[frozenset[str], int]] = []
        self._whole = self._build(branch.node)
        self._elsewhere = self._spread_negated()
        """The positions that match a character that the expression does not mention."""

    def matches(self, plate: str) -> bool:
        nullable, first, last = self._whole
        if nullable and not (self._at_start and self._at_end):
            return True
        follow, positions, elsewhere = self._follow, self._positions, self._elsewhere
        if self._at_end and not (positions.get(plate[-1:], elsewhere) if plate else 0) & last:
            return False  # most mismatches differ at the end: globs like B88*RJ
        state = 0
        for number, char in enumerate(plate):
            reach = first if number == 0 or not self._at_start else 0
            while state:
                lowest = state & -state
                reach |= follow[lowest.bit_length() - 1]
                state ^= lowest
            state = reach & positions.get(char, elsewhere)
            if state & last and not self._at_end:
                return True
            if not state and self._at_start:
                return False
        return bool(state & last) and self._at_end

    def _build(self, node: Node) -> _Piece:
        match node:
            case Chars(chars, is_negated):
                bit = 1 << len(self._follow)
                self._follow.append(0)
                if is_negated:
                    self._negated.append((chars, bit))
                for char in chars:
                    self._positions[char] = self._positions.get(char, 0) | (0 if is_negated else bit)
                return _Piece(nullable=False, first=bit, last=bit)
            case Sequence(items):
                whole = _EMPTY
                for item in items:
                    whole = self._then(whole, self._build(item))
                return whole
            case Choice(options):
                pieces = [self._build(option) for option in options]
                first = last = 0
                for piece in pieces:
                    first, last = first | piece.first, last | piece.last
                return _Piece(any(piece.nullable for piece in pieces), first, last)
            case Repeat(item, minimum, maximum):
                return self._repeat(item, minimum, maximum)

    def _spread_negated(self) -> int:
        """Add the positions of negated sets to each character; return those for characters that are not mentioned."""
        for chars, bit in self._negated:
            for char in self._positions:
                if char not in chars:
                    self._positions[char] |= bit
        return sum(bit for _, bit in self._negated)

    def _repeat(self, item: Node, minimum: int, maximum: int | None) -> _Piece:
        whole = _EMPTY
        for number in range(max(minimum, 1) if maximum is None else maximum):
            piece = self._build(item)
            whole = self._then(whole, piece._replace(nullable=True) if number >= minimum else piece)
            if maximum is None and number == max(minimum, 1) - 1:
                self._link(piece.last, piece.first)
        return whole

    def _then(self, one: _Piece, other: _Piece) -> _Piece:
        self._link(one.last, other.first)
        first = one.first | other.first if one.nullable else one.first
        last = one.last | other.last if other.nullable else other.last
        return _Piece(one.nullable and other.nullable, first, last)

    def _link(self, ends: int, begins: int) -> None:
        while ends:
            lowest = ends & -ends
            self._follow[lowest.bit_length() - 1] |= begins
            ends ^= lowest
