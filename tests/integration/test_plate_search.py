"""Fuzzy search on a real PostgreSQL, compared with a search over every plate."""

from __future__ import annotations

import random
from datetime import timedelta

import psycopg
import pytest

from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.plates.search import (
    MAX_CANDIDATES,
    near_plates,
    near_protected_plates,
    nearest,
    query_without_prefix_trigrams,
)
from cloud_functions.plates.distance import fold
from tests.support.api_calls import NOON, store, stored_event
from tests.support.camera_groups import OWN, fill_two_groups

CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
REPETITIVE = {"281A11C1A": "281111A", "CC8838802": "CC88882", "0C08130C8": "0C810C8"}
"""Plates, and plates two edits away with repeated trigrams: the least similar ones that must be found."""


def _edited(chance: random.Random, plate: str, characters: str) -> str:
    place, kind = chance.randrange(len(plate)), chance.randrange(3)
    rest = plate[place + 1 :] if kind else plate[place:]
    return plate[:place] + (chance.choice(characters) if kind < 2 else "") + rest


def _neighbourhood(chance: random.Random) -> tuple[list[str], set[str]]:
    """Return plates of different lengths and variety, and other plates that are one to three edits from them."""
    searched, stored = list(REPETITIVE), set(REPETITIVE.values())
    for number in range(90):
        characters = ("AB1", "ABCD12", CHARACTERS)[number % 3]
        plate = "".join(chance.choice(characters) for _ in range(chance.randint(4, 9)))
        searched.append(plate)
        for _ in range(60):
            other = plate
            for _ in range(chance.randint(1, 3)):
                other = _edited(chance, other, characters) or "A"
            stored.add(other)
        stored.add(plate[:3] + "".join(chance.choice(CHARACTERS) for _ in range(len(plate) - 5)) + plate[-2:])
    return searched, stored


@pytest.mark.parametrize("max_distance", [1, 2, 4])
def test_fuzzy_search_agrees_with_a_search_over_every_plate(database_url: str, max_distance: int) -> None:
    """Both query forms return the same plates, similarities and distances in the same order."""
    searched, stored = _neighbourhood(random.Random(max_distance))
    with psycopg.connect(database_url) as connection:
        with connection.cursor().copy("COPY plates (plate_normalized_text, events) FROM STDIN") as copy:
            for plate in stored:
                copy.write_row((plate, 1))
        used_forms = set[bool]()
        for plate in searched:
            used_forms.add(query_without_prefix_trigrams(fold(plate), max_distance) is not None)
            expected = near_protected_plates(plate, [(other, other, 1) for other in stored], max_distance=max_distance)
            assert near_plates(connection, plate, max_distance=max_distance) == nearest(expected), plate
    assert used_forms == ({False, True} if max_distance <= 2 else {False})


def test_a_limited_search_takes_its_candidates_from_the_groups(database_url: str) -> None:
    """Hundreds of plates that are more similar, but were read elsewhere, leave the caller's own plate in the result."""
    events: list[dict[str, object]] = []
    for number in range(MAX_CANDIDATES + 20):
        plate = f"AB12CD{chr(65 + number % 26)}{number // 26:02}"
        events.append(_read(plate, "south-camera", number))
    events += [_read("XX12CDEF", "north-camera", 1000), _read("XÄ12CDEF", "north-camera", 1001)]
    fill_two_groups(database_url)
    store(database_url, events)
    with psycopg.connect(database_url) as connection:
        for scope, found in (((OWN,), {"XX12CDEF", "XÄ12CDEF"}), (("south",), set[str]()), ((), set[str]())):
            near = near_plates(connection, "AB12CDEF", max_distance=2, scope=CameraScope(scope))
            assert {one.plate for one in near if one.plate.endswith("EF")} == found, scope
            assert {one.events for one in near} <= {1}


def _read(plate: str, camera: str, number: int) -> dict[str, object]:
    return stored_event(
        "anpr",
        camera_id=camera,
        timestamp=NOON + timedelta(seconds=number),
        event_data={"anpr_result": {"license_plate": plate, "confidence": 0.9}, "plate_normalized": plate},
    )
