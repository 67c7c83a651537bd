"""The filters of events that rollups can count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.db.events.filter import CONFIDENCE_STEPS, EventFilter


@pytest.mark.parametrize("step", range(CONFIDENCE_STEPS + 1))
def test_a_multiple_of_five_percent_is_a_step(step: int) -> None:
    """0.35 is seven twentieths, despite the rounding of floats."""
    event_filter = EventFilter(min_confidence=float(f"{step * 5 / 100:.2f}"), class_name="car")
    assert event_filter.confidence_step == step
    assert event_filter.has_rollup


@given(st.floats(0, 1))
def test_only_an_exact_step_has_a_rollup(confidence: float) -> None:
    """Rollups cannot count a confidence between two steps: rounding it would make the total wrong."""
    event_filter = EventFilter(min_confidence=confidence)
    if event_filter.confidence_step is not None:
        assert event_filter.confidence_step / CONFIDENCE_STEPS == confidence
    assert event_filter.has_rollup == (confidence in [n / CONFIDENCE_STEPS for n in range(CONFIDENCE_STEPS + 1)])


@pytest.mark.parametrize(
    ("event_filter", "has_rollup"),
    [
        (EventFilter(), True),
        (EventFilter(camera_id="a", event_type="tracking", site_id="b", zone="gate"), True),
        (EventFilter(class_name="car", zone="gate"), False),
        (EventFilter(plate="B1"), False),
        (EventFilter(plate="B1", min_confidence=0.5), False),
        (EventFilter(min_confidence=0.87), False),
    ],
)
def test_a_filter_has_a_rollup(event_filter: EventFilter, has_rollup: bool) -> None:
    """One label and a whole step of confidence have a rollup; a plate and two labels together do not."""
    assert event_filter.has_rollup == has_rollup
