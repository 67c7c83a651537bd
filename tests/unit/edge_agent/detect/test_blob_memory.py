"""Joining of fragments to blobs, and detection of blobs that have moved."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.detect.blob_memory import BlobMemory
from edge_agent.types import Boxes

VAN = (600, 200, 1000, 600)
HALVES = ((600, 200, 780, 600), (800, 200, 1000, 600))


def boxes(*rows: tuple[float, float, float, float]) -> Boxes:
    return np.array(rows, np.float32).reshape(-1, 4)


def observe(memory: BlobMemory, *rows: tuple[float, float, float, float]) -> list[list[float]]:
    """Show the memory one observe; return the boxes that it makes of it, from left to right."""
    joined = memory.joined(boxes(*rows))
    memory.travelled(joined, frame_area_px=1280 * 720)
    return sorted(joined.tolist())


def watched(*rows: tuple[float, float, float, float], hits: int = 3) -> BlobMemory:
    memory = BlobMemory()
    for _ in range(hits):
        observe(memory, *rows)
    return memory


def test_fragments_of_one_blob_are_joined() -> None:
    """Three fragments at the position of a van are joined to the van."""
    memory = watched(VAN)
    assert observe(memory, *HALVES, (785, 300, 795, 400)) == [list(VAN)]


def test_separate_blobs_are_not_joined() -> None:
    """Two blobs that were always adjacent stay two."""
    assert observe(watched(*HALVES), *HALVES) == [list(half) for half in HALVES]


def test_blob_with_few_updates_is_not_joined() -> None:
    """Two updates in one piece are not enough."""
    assert len(observe(watched(VAN, hits=2), *HALVES)) == 2


def test_fragments_that_do_not_fill_the_outline_are_not_joined() -> None:
    """The fragments after a van has left a person behind do not have the outline of the blob."""
    assert len(observe(watched(VAN), (600, 200, 700, 600), (720, 450, 760, 600))) == 2


def test_nearby_object_is_not_joined() -> None:
    """Only fragments inside the last box of the blob are joined."""
    beside = (1010, 200, 1200, 600)
    assert observe(watched(VAN), *HALVES, beside) == [list(VAN), list(beside)]


def test_separating_objects_become_two() -> None:
    """Fragments for more than ten updates are separate objects."""
    memory = watched(VAN)
    counts = [len(observe(memory, *HALVES)) for _ in range(12)]
    assert counts == [1] * 10 + [2] * 2


def test_one_complete_update_resets_the_count_of_fragmented_ones() -> None:
    """The count of fragmented updates starts again."""
    memory = watched(VAN)
    for _ in range(3):
        assert [len(observe(memory, *HALVES)) for _ in range(8)] == [1] * 8
        observe(memory, VAN)


def travels(memory: BlobMemory, *rows: tuple[float, float, float, float]) -> list[bool]:
    return memory.travelled(boxes(*rows), frame_area_px=1280 * 720).tolist()


def test_lamp_never_travels_and_a_person_does_after_a_quarter_of_the_height() -> None:
    """Both have the same size; each is judged by the movement of its centre."""
    memory = BlobMemory()
    reported = [travels(memory, (100, 100, 130, 160), (400 + i * 2, 100, 430 + i * 2, 160)) for i in range(12)]
    assert [lamp for lamp, _ in reported] == [False] * 12
    assert [walker for _, walker in reported] == [False] * 8 + [True] * 4


def test_travelled_blob_may_stand_still() -> None:
    """It remains an object while detected, and over a few updates without detection."""
    memory = BlobMemory()
    for x in (0, 20, 40):
        travels(memory, (x, 100, x + 60, 160))
    assert travels(memory, (40, 100, 100, 160)) == [True]
    for _ in range(5):
        assert travels(memory) == []
    assert travels(memory, (40, 100, 100, 160)) == [True]


def test_missing_blob_is_forgotten() -> None:
    """A blob is forgotten after more than five updates without it."""
    memory = BlobMemory()
    for x in (0, 20, 40):
        travels(memory, (x, 100, x + 60, 160))
    for _ in range(6):
        travels(memory)
    assert travels(memory, (40, 100, 100, 160)) == [False]


@pytest.mark.parametrize("after", [(40, 150, 70, 160), (40, 40, 240, 260)], ids=["a remainder", "something larger"])
def test_blob_of_a_very_different_size_is_a_new_blob(after: tuple[int, int, int, int]) -> None:
    """A small remainder of a van has not travelled."""
    memory = BlobMemory()
    for x in (0, 20, 40):
        travels(memory, (x, 100, x + 60, 160))
    assert travels(memory, after) == [False]
