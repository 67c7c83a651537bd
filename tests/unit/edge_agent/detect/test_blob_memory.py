"""Which pieces are one blob, and which blobs have changed their place."""

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


def test_pieces_of_what_was_one_stay_one() -> None:
    """Two halves and a sliver where a van was just before are the van."""
    memory = watched(VAN)
    assert observe(memory, *HALVES, (785, 300, 795, 400)) == [list(VAN)]


def test_two_that_were_never_one_are_two() -> None:
    """Side by side from the start: nothing to join."""
    assert observe(watched(*HALVES), *HALVES) == [list(half) for half in HALVES]


def test_what_was_one_for_a_moment_only_falls_apart_at_once() -> None:
    """Two hits are too few to believe that it is one."""
    assert len(observe(watched(VAN, hits=2), *HALVES)) == 2


def test_pieces_that_no_longer_fill_the_outline_are_not_joined() -> None:
    """A van and the person who stood before it: what is left of the outline is not that blob."""
    assert len(observe(watched(VAN), (600, 200, 700, 600), (720, 450, 760, 600))) == 2


def test_another_object_nearby_stays_out_of_it() -> None:
    """Only pieces that lie where the blob was are its own."""
    beside = (1010, 200, 1200, 600)
    assert observe(watched(VAN), *HALVES, beside) == [list(VAN), list(beside)]


def test_those_who_part_are_two_before_long() -> None:
    """Pieces that stay pieces for more than ten hits are objects of their own."""
    memory = watched(VAN)
    counts = [len(observe(memory, *HALVES)) for _ in range(12)]
    assert counts == [1] * 10 + [2] * 2


def test_one_complete_update_resets_the_count_of_fragmented_ones() -> None:
    """The count of hits in pieces starts again."""
    memory = watched(VAN)
    for _ in range(3):
        assert [len(observe(memory, *HALVES)) for _ in range(8)] == [1] * 8
        observe(memory, VAN)


def travels(memory: BlobMemory, *rows: tuple[float, float, float, float]) -> list[bool]:
    return memory.travelled(boxes(*rows), frame_area_px=1280 * 720).tolist()


def test_a_lamp_never_travels_and_a_walker_does_after_a_quarter_of_the_height() -> None:
    """Both are as large; each is judged by its own middle."""
    memory = BlobMemory()
    reported = [travels(memory, (100, 100, 130, 160), (400 + i * 2, 100, 430 + i * 2, 160)) for i in range(12)]
    assert [lamp for lamp, _ in reported] == [False] * 12
    assert [walker for _, walker in reported] == [False] * 8 + [True] * 4


def test_who_has_travelled_may_stand_still() -> None:
    """It stays an object while it is seen, and over a few hits without."""
    memory = BlobMemory()
    for x in (0, 20, 40):
        travels(memory, (x, 100, x + 60, 160))
    assert travels(memory, (40, 100, 100, 160)) == [True]
    for _ in range(5):
        assert travels(memory) == []
    assert travels(memory, (40, 100, 100, 160)) == [True]


def test_who_was_away_for_long_begins_anew() -> None:
    """More than five hits without it: forgotten."""
    memory = BlobMemory()
    for x in (0, 20, 40):
        travels(memory, (x, 100, x + 60, 160))
    for _ in range(6):
        travels(memory)
    assert travels(memory, (40, 100, 100, 160)) == [False]


@pytest.mark.parametrize("after", [(40, 150, 70, 160), (40, 40, 240, 260)], ids=["a remainder", "something larger"])
def test_something_of_quite_another_size_is_something_else(after: tuple[int, int, int, int]) -> None:
    """What is left of a van in the dark has not travelled itself."""
    memory = BlobMemory()
    for x in (0, 20, 40):
        travels(memory, (x, 100, x + 60, 160))
    assert travels(memory, after) == [False]
