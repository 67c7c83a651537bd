"""Generates a watch-list of any size, a quarter of each kind of pattern, for plates like those of the traffic."""

from __future__ import annotations

import random
import string

from cloud_functions.db.watchlists import NewPattern
from cloud_functions.plates.patterns import PatternKind, check_pattern


def any_plate(chance: random.Random) -> str:
    """Return a plate of one of four formats."""
    letters = "".join(chance.choices(string.ascii_uppercase, k=5))
    digits = "".join(chance.choices(string.digits, k=4))
    town = chance.choice(["B", "CJ", "TM", "IS"])
    return chance.choice(
        [
            f"{town}{digits[:3]}{letters[:3]}",
            f"{town}{letters[:2]}{digits}",
            f"{letters[:2]}{digits[:2]}{letters[2:]}",
            f"{letters[:3]}{digits[0]}{letters[3]}{digits[1:3]}",
        ]
    )


def any_pattern(chance: random.Random, kind: PatternKind) -> NewPattern:
    """Return a pattern as a user with partial knowledge of a plate writes it."""
    plate = any_plate(chance)
    max_distance = None
    text = plate
    if kind == "glob":
        text = chance.choice(
            [f"{plate[:4]}*", f"*{plate[-4:]}", f"{plate[:2]}?{plate[3:]}", f"{plate[:3]}*{plate[-2:]}"]
        )
    elif kind == "regex":
        text = chance.choice(
            [
                rf"^{plate[:2]}\d{{2,3}}{plate[-3:]}$",
                f"{plate[:3]}[{plate[3]}8B]{plate[4:]}",
                f"({plate}|{plate[::-1]})",
            ]
        )
    elif kind == "fuzzy":
        max_distance = chance.choice([1, 2])
    return NewPattern(kind, check_pattern(kind, text, max_distance), max_distance, "reported", None)


def many_patterns(count: int, *, seed: int = 1) -> list[NewPattern]:
    """Return ``count`` patterns, a quarter of each kind."""
    chance = random.Random(seed)
    kinds: tuple[PatternKind, ...] = ("exact", "glob", "regex", "fuzzy")
    return [any_pattern(chance, kinds[number % 4]) for number in range(count)]
