"""Which questions about events the kept counts answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.db.events.filter import CONFIDENCE_STEPS, EventFilter


@pytest.mark.parametrize("step", range(CONFIDENCE_STEPS + 1))
def test_a_confidence_as_people_write_it_is_a_step(step: int) -> None:
    """0.35 is seven twentieths, whatever a float makes of it."""
    wanted = EventFilter(min_confidence=float(f"{step * 5 / 100:.2f}"), class_name="car")
    assert wanted.confidence_step == step
    assert wanted.has_rollup


@given(st.floats(0, 1))
def test_only_the_very_step_is_counted(confidence: float) -> None:
    """Between two steps the counts know nothing: rounding would make a total wrong."""
    wanted = EventFilter(min_confidence=confidence)
    if wanted.confidence_step is not None:
        assert wanted.confidence_step / CONFIDENCE_STEPS == confidence
    assert wanted.has_rollup == (confidence in [n / CONFIDENCE_STEPS for n in range(CONFIDENCE_STEPS + 1)])


@pytest.mark.parametrize(
    ("wanted", "counted"),
    [
        (EventFilter(), True),
        (EventFilter(camera_id="a", event_type="tracking", site_id="b", zone="gate"), True),
        (EventFilter(class_name="car", zone="gate"), False),
        (EventFilter(plate="B1"), False),
        (EventFilter(plate="B1", min_confidence=0.5), False),
        (EventFilter(min_confidence=0.87), False),
    ],
)
def test_what_is_counted(wanted: EventFilter, counted: bool) -> None:
    """One label and a whole step of confidence are; plates and two labels at once are not."""
    assert wanted.has_rollup == counted
