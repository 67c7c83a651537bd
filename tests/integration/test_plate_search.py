"""Fuzzy search on a real PostgreSQL against a search that looks at every plate."""

from __future__ import annotations

import random

import psycopg
import pytest

from cloud_functions.db.plates.search import near_plates, near_protected_plates, nearest, query_without_prefix_trigrams
from cloud_functions.plates.distance import fold

CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
REPETITIVE = {"281A11C1A": "281111A", "CC8838802": "CC88882", "0C08130C8": "0C810C8"}
"""Plates, and ones two edits away in which trigrams repeat, which are the least alike of all that must be found."""


def _edited(chance: random.Random, plate: str, characters: str) -> str:
    place, kind = chance.randrange(len(plate)), chance.randrange(3)
    rest = plate[place + 1 :] if kind else plate[place:]
    return plate[:place] + (chance.choice(characters) if kind < 2 else "") + rest


def _neighbourhood(chance: random.Random) -> tuple[list[str], set[str]]:
    """Some plates, long and short, varied and not, and a crowd of others one to three edits from each."""
    asked, crowd = list(REPETITIVE), set(REPETITIVE.values())
    for number in range(90):
        characters = ("AB1", "ABCD12", CHARACTERS)[number % 3]
        plate = "".join(chance.choice(characters) for _ in range(chance.randint(4, 9)))
        asked.append(plate)
        for _ in range(60):
            other = plate
            for _ in range(chance.randint(1, 3)):
                other = _edited(chance, other, characters) or "A"
            crowd.add(other)
        crowd.add(plate[:3] + "".join(chance.choice(CHARACTERS) for _ in range(len(plate) - 5)) + plate[-2:])
    return asked, crowd


@pytest.mark.parametrize("max_distance", [1, 2, 4])
def test_it_finds_what_a_look_at_every_plate_finds(database_url: str, max_distance: int) -> None:
    """Whichever way the index is asked: the same plates, likenesses and distances, in the same order."""
    asked, crowd = _neighbourhood(random.Random(max_distance))
    with psycopg.connect(database_url) as connection:
        with connection.cursor().copy("COPY plates (plate_normalized_text, events) FROM STDIN") as copy:
            for plate in crowd:
                copy.write_row((plate, 1))
        ways = set[bool]()
        for plate in asked:
            ways.add(query_without_prefix_trigrams(fold(plate), max_distance) is not None)
            everything = near_protected_plates(plate, [(other, other, 1) for other in crowd], max_distance=max_distance)
            assert near_plates(connection, plate, max_distance=max_distance) == nearest(everything), plate
    assert ways == ({False, True} if max_distance <= 2 else {False})
