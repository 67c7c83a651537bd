"""Standing still, judged through a detector's jitter."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.track.settings import StationarySettings
from edge_agent.track.stationary import Stationarity
from edge_agent.types import ViewChange

FPS = 10.0


def _judge(
    xs: np.ndarray, *, noise: float = 0.0, settings: StationarySettings | None = None, fps: float = FPS
) -> list[bool]:
    """Judge a 40 px box whose left edge follows ``xs``."""
    rng = np.random.default_rng(11)
    judge = Stationarity(settings)
    verdicts = []
    for number, x in enumerate(xs):
        box = np.array([x, 50.0, x + 40.0, 90.0], np.float32) + rng.normal(0, noise, 4)
        verdicts.append(judge.update(1, box, number / fps))
    return verdicts


def test_a_parked_car_is_still_after_a_while() -> None:
    """Not at once, then for good."""
    verdicts = _judge(np.full(200, 100.0))
    assert verdicts.index(True) == 50
    assert all(verdicts[50:])


def test_jitter_is_not_movement() -> None:
    """A box that trembles by a twentieth of its size stands still all the same, and stays so."""
    verdicts = _judge(np.full(400, 100.0), noise=2.0)
    assert True in verdicts
    assert all(verdicts[verdicts.index(True) :])


def test_a_wild_box_now_and_then_is_not_movement() -> None:
    """One frame in twenty with a box half a size away changes nothing."""
    xs = np.full(300, 100.0)
    xs[60::20] += 20.0
    assert all(_judge(xs)[60:])


@pytest.mark.parametrize("speed_px", [0.5, 2.0, 10.0])
def test_what_moves_is_never_still(speed_px: float) -> None:
    """Slowly or fast."""
    assert not any(_judge(np.arange(300) * speed_px))


def test_moving_off_is_noticed_soon() -> None:
    """A car that sets off is on the move within a second and a half."""
    xs = np.concatenate([np.full(100, 100.0), 100.0 + np.arange(100) * 3.0])
    verdicts = _judge(xs)
    assert verdicts[99]
    assert not any(verdicts[115:])


def test_stopping_is_noticed() -> None:
    """Moving, then parked."""
    xs = np.concatenate([np.arange(50) * 3.0, np.full(100, 150.0)])
    verdicts = _judge(xs)
    assert not any(verdicts[:95])
    assert verdicts[-1]


def test_frame_rate_makes_no_difference() -> None:
    """Seconds count, not frames."""
    assert [_judge(np.full(int(8 * fps), 100.0), fps=fps).index(True) / fps for fps in (2.0, 10.0, 50.0)] == [5.0] * 3


def test_tracks_are_judged_apart_and_forgotten() -> None:
    """A new track under an old number begins anew."""
    judge = Stationarity(StationarySettings(after_s=1.0))
    box = np.array([0, 0, 10, 10], np.float32)
    assert [judge.update(1, box, time_s) for time_s in (0.0, 1.0)] == [False, True]
    assert not judge.update(2, box, 1.0)
    judge.forget(1)
    judge.forget(99)
    assert not judge.update(1, box, 2.0)


def test_edge_20_what_stands_still_does_so_while_the_camera_pans() -> None:
    """The box goes with the picture; the judgement stays."""
    judge = Stationarity()
    box = np.array([100.0, 50.0, 140.0, 90.0], np.float32)
    for number in range(120):
        if number >= 60:
            judge.move_view(ViewChange(shift_x_px=3.0))
            box += np.array([3.0, 0.0, 3.0, 0.0], np.float32)
        still = judge.update(1, box, number / FPS)
        assert still or number < 60
