"""Stationary objects are recognised although the detector's boxes jitter."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from edge_agent.events.rules.stationary import Stationarity, StationarySettings
from edge_agent.types import ViewChange

FPS = 10.0


def _decisions(
    xs: np.ndarray, *, noise: float = 0.0, settings: StationarySettings | None = None, fps: float = FPS
) -> list[bool]:
    """Return the decision for each frame of a 40 px box whose left edge follows ``xs``."""
    rng = np.random.default_rng(11)
    stationarity = Stationarity(settings)
    decisions = []
    for number, x in enumerate(xs):
        box = np.array([x, 50.0, x + 40.0, 90.0], np.float32) + rng.normal(0, noise, 4)
        decisions.append(stationarity.update(1, box, number / fps))
    return decisions


def test_parked_car_becomes_stationary_after_5_s() -> None:
    """It is moving for the first 5 s and stationary from then on."""
    decisions = _decisions(np.full(200, 100.0))
    assert decisions.index(True) == 50
    assert all(decisions[50:])


def test_jitter_does_not_count_as_movement() -> None:
    """A box that jitters by a twentieth of its size becomes stationary and remains so."""
    decisions = _decisions(np.full(400, 100.0), noise=2.0)
    assert True in decisions
    assert all(decisions[decisions.index(True) :])


def test_single_outliers_do_not_count_as_movement() -> None:
    """One box in twenty that is half a size away does not change the decision."""
    xs = np.full(300, 100.0)
    xs[60::20] += 20.0
    assert all(_decisions(xs)[60:])


@pytest.mark.parametrize("speed_px", [0.5, 2.0, 10.0])
def test_moving_object_is_never_stationary(speed_px: float) -> None:
    """An object that moves steadily is not stationary, at low and at high speed."""
    assert not any(_decisions(np.arange(300) * speed_px))


def test_departing_car_is_moving_within_1_5_s() -> None:
    """A parked car that departs is no longer stationary after 1.5 s."""
    xs = np.concatenate([np.full(100, 100.0), 100.0 + np.arange(100) * 3.0])
    decisions = _decisions(xs)
    assert decisions[99]
    assert not any(decisions[115:])


def test_stopping_car_becomes_stationary() -> None:
    """A car that drives and then parks becomes stationary after it has stopped."""
    xs = np.concatenate([np.arange(50) * 3.0, np.full(100, 150.0)])
    decisions = _decisions(xs)
    assert not any(decisions[:95])
    assert decisions[-1]


def test_decision_does_not_depend_on_the_frame_rate() -> None:
    """The time until an object is stationary is 5 s at 2, 10 and 50 frames per second."""
    assert [_decisions(np.full(int(8 * fps), 100.0), fps=fps).index(True) / fps for fps in (2.0, 10.0, 50.0)] == [
        5.0
    ] * 3


def test_tracks_are_independent_and_can_be_forgotten() -> None:
    """A new track with the id of a forgotten one starts without state."""
    stationarity = Stationarity(StationarySettings(after_s=1.0))
    box = np.array([0, 0, 10, 10], np.float32)
    assert [stationarity.update(1, box, time_s) for time_s in (0.0, 1.0)] == [False, True]
    assert not stationarity.update(2, box, 1.0)
    stationarity.forget(1)
    stationarity.forget(99)
    assert not stationarity.update(1, box, 2.0)


def test_edge_20_stationary_object_remains_stationary_while_the_camera_pans() -> None:
    """The box moves with the view, and the decision does not change."""
    stationarity = Stationarity()
    box = np.array([100.0, 50.0, 140.0, 90.0], np.float32)
    for number in range(120):
        if number >= 60:
            stationarity.move_view(ViewChange(shift_x_px=3.0))
            box += np.array([3.0, 0.0, 3.0, 0.0], np.float32)
        still = stationarity.update(1, box, number / FPS)
        assert still or number < 60


def test_moving_ratio_below_still_ratio_is_rejected() -> None:
    """The hysteresis needs a movement threshold that is not below the threshold for standing still."""
    with pytest.raises(ValidationError, match="moving_ratio"):
        StationarySettings(still_ratio=0.5, moving_ratio=0.2)
