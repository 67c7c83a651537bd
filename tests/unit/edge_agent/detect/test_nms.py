"""Non-maximum suppression against a plain double loop."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detect.nms import nms
from edge_agent.types import Detections

BOX = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20))
ROWS = st.lists(st.tuples(BOX, st.integers(0, 10), st.integers(0, 2)), max_size=14)


def detections(rows: list[tuple[tuple[int, int, int, int], int, int]]) -> Detections:
    return Detections(
        xyxy=np.array([[x, y, x + w, y + h] for (x, y, w, h), _, _ in rows], np.float32).reshape(-1, 4),
        score=np.array([score / 10 for _, score, _ in rows], np.float32),
        class_id=np.array([class_id for _, _, class_id in rows], np.int32),
    )


def expected_iou(one: np.ndarray, other: np.ndarray) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    union = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared
    return float(shared / union) if union else 0.0


def expected_suppression(found: Detections, max_iou: float, duplicate_iou: float) -> list[int]:
    kept: list[int] = []
    for row in sorted(range(len(found)), key=lambda row: -found.score[row]):
        for other in kept:
            limit = max_iou if found.class_id[row] == found.class_id[other] else duplicate_iou
            if expected_iou(found.xyxy[row], found.xyxy[other]) > limit:
                break
        else:
            kept.append(row)
    return kept


@given(rows=ROWS, max_iou=st.sampled_from([0.26, 0.51, 0.76]), duplicate_iou=st.sampled_from([0.83, 1.0]))
def test_suppression_keeps_what_the_expected_loop_keeps(
    rows: list[tuple[tuple[int, int, int, int], int, int]], max_iou: float, duplicate_iou: float
) -> None:
    """Vectorised NMS and a plain double loop keep the same boxes in the same order."""
    found = detections(rows)
    kept = nms(found, max_iou, duplicate_iou=duplicate_iou)
    expected = found.select(np.array(expected_suppression(found, max_iou, duplicate_iou), np.intp))
    assert kept.xyxy.tolist() == expected.xyxy.tolist()
    assert kept.score.tolist() == expected.score.tolist()
    assert kept.class_id.tolist() == expected.class_id.tolist()


def test_one_object_with_two_classes_is_kept_once() -> None:
    """Of two nearly equal boxes of different classes, only the one with the higher score is kept."""
    found = detections([((0, 0, 20, 20), 6, 0), ((0, 0, 20, 19), 8, 1)])
    assert nms(found, 0.5, duplicate_iou=0.85).class_id.tolist() == [1]
    assert len(nms(found, 0.5)) == 2
