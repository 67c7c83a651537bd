"""Holds back frames in which a large part of the image changes at once, until the following frames explain the change.

A single corrupted frame or a flash is followed by ordinary frames and is ignored. A change that persists without
further change is not motion either: a light was switched on, the camera switched to infrared, or the decoder lost a
part of the image. Only an area that keeps changing contains a moving object.
"""

from __future__ import annotations

from enum import Enum

_SUDDEN_SHARE = 0.08
"""Growth of the changed area from one frame to the next, as a fraction of the image, that counts as sudden."""
_BACK_SHARE = 0.04
"""If the changed area exceeds its usual size by less than this, the change is over."""
_SUDDEN_LIGHT_LEVELS = 22.0
_LIGHT_WAIT_S = 0.25
_OVERWHELMED_WAIT_S = 0.3
_STILL_WAIT_S = 0.6
_STILL_SHARE = 0.04
"""Fraction of the changed area: if more of it changes again in the next frame, there is motion in it."""
_STILL_GROWTH = 0.07
"""Maximum relative growth or shrinkage of the changed area without motion in it."""
_TRUSTED_S = 0.5
"""After a large object was found to move, sudden growth counts as more of that object for this long."""


class Verdict(Enum):
    """How a frame is processed."""

    USUAL = "process it"
    WAIT = "hold it back: neither learn from it nor report motion"
    RELEARN = "use it as the background: the whole image has changed"
    ABSORB = "add what has changed to the background: it appeared at once and stands still"


class SuddenChange:
    """Gives a verdict on each frame. Shares are fractions of the watched area, 0..1, unless stated otherwise."""

    def __init__(self, *, overwhelming_share: float) -> None:
        """``overwhelming_share``: a larger change is never motion; raising it accepts larger objects."""
        self._overwhelming_share = overwhelming_share
        self._usual_share = 0.0
        self._since_s: float | None = None
        self._first_share = 0.0
        self._trusted_until_s = float("-inf")

    @property
    def waiting(self) -> bool:
        """Whether frames are being held back."""
        return self._since_s is not None

    def has_moved(self, time_s: float) -> bool:
        """Return whether a sudden change was recently found to be a moving object."""
        return time_s <= self._trusted_until_s

    def forget(self, *, usual_share: float = 0.0) -> None:
        """Stop holding frames back; ``usual_share`` is the expected size of the changed area from now on."""
        self._since_s = None
        self._usual_share = usual_share

    def judge(
        self, *, changed_share: float, strong_share: float, light_levels: float, changing_share: float, time_s: float
    ) -> Verdict:
        """Return the verdict on a frame.

        ``changed_share`` and ``strong_share`` are the sizes of the weak and the strong mask, ``light_levels`` the size
        of the change of light. ``changing_share`` is the fraction of the changed area that has changed since the
        previous frame, less the same fraction elsewhere.
        """
        overwhelmed = changed_share > self._overwhelming_share and strong_share > 0.5 * self._overwhelming_share
        if self._since_s is None:
            has_grown = changed_share - self._usual_share >= _SUDDEN_SHARE and time_s > self._trusted_until_s
            if not (has_grown or light_levels >= _SUDDEN_LIGHT_LEVELS):
                self._usual_share = changed_share
                return Verdict.USUAL
            self._since_s, self._first_share = time_s, changed_share
            return Verdict.WAIT
        waited_s = time_s - self._since_s
        verdict = self._after(waited_s, overwhelmed, changed_share, light_levels, changing_share)
        if verdict is not Verdict.WAIT:
            if verdict is Verdict.USUAL and changed_share - self._usual_share >= _BACK_SHARE:
                self._trusted_until_s = time_s + _TRUSTED_S
            self.forget(usual_share=changed_share if verdict is Verdict.USUAL else 0.0)
        return verdict

    def _after(
        self, waited_s: float, overwhelmed: bool, changed_share: float, light_levels: float, changing_share: float
    ) -> Verdict:
        if changed_share - self._usual_share < _BACK_SHARE:
            lit = light_levels >= _SUDDEN_LIGHT_LEVELS and waited_s < _LIGHT_WAIT_S
            return Verdict.WAIT if lit else Verdict.USUAL
        if overwhelmed:
            return Verdict.RELEARN if waited_s >= _OVERWHELMED_WAIT_S else Verdict.WAIT
        has_grown = abs(changed_share - self._first_share) > _STILL_GROWTH * self._first_share
        if has_grown or changing_share > _STILL_SHARE:
            return Verdict.USUAL
        return Verdict.ABSORB if waited_s >= _STILL_WAIT_S else Verdict.WAIT
