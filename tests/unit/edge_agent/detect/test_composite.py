"""Coverage of boxes by other boxes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detect.composite import covered_ratio
from edge_agent.types import Boxes

BOXES = st.lists(
    st.tuples(*[st.integers(0, 200)] * 2, *[st.integers(1, 80)] * 2).map(
        lambda item: (item[0], item[1], item[0] + item[2], item[1] + item[3])
    ),
    max_size=8,
).map(lambda rows: np.array(rows, np.float32).reshape(-1, 4))


@given(BOXES, BOXES)
def test_covered_ratio_is_the_largest_single_overlap(boxes: Boxes, covers: Boxes) -> None:
    """The vectorised ratio equals the one counted pixel by pixel."""
    expected = []
    for box in boxes:
        pixels = np.zeros((300, 300), bool)
        left, top, right, bottom = box.astype(int)
        pixels[top:bottom, left:right] = True
        shares = [pixels[int(c[1]) : int(c[3]), int(c[0]) : int(c[2])].sum() / pixels.sum() for c in covers]
        expected.append(max(shares, default=0.0))
    np.testing.assert_allclose(covered_ratio(boxes, covers), expected, atol=1e-5)
