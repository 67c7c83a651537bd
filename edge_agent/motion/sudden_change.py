"""What to make of a frame in which much of the picture has changed at once: wait, and see what the next ones show.

One odd frame (a corrupted picture, a flash) is followed by ordinary ones: nothing has happened. A change that stays and
stands still is no moving thing: the light was switched on, the camera went to infrared, the decoder lost a part of the
picture. Only what goes on changing within the changed area is something that moves.
"""

from __future__ import annotations

from enum import Enum

_SUDDEN_SHARE = 0.08
"""Growth of the changed area, in parts of the picture, from one frame to the next, that is sudden."""
_BACK_SHARE = 0.04
"""An area that is larger than before by less than this has gone back to what it was."""
_SUDDEN_LIGHT_LEVELS = 22.0
_LIGHT_WAIT_S = 0.25
_OVERWHELMED_WAIT_S = 0.3
_STILL_WAIT_S = 0.6
_STILL_SHARE = 0.04
"""Of the changed area: when more of it changes again from frame to frame, something moves there."""
_STILL_GROWTH = 0.07
"""By how much, in parts of itself, the changed area may grow or shrink if nothing moves there."""
_TRUSTED_S = 0.5
"""After a large thing was found to move, sudden growth is taken for more of it for so long."""


class Verdict(Enum):
    """What to do with a frame."""

    USUAL = "process it"
    WAIT = "leave it out: neither learn from it nor report anything"
    LEARN_ANEW = "take it for the background: the whole picture is another"
    ABSORB = "take what has changed for background: it appeared at once and stands still"


class SuddenChange:
    """Judges frame by frame. Shares are of the watched picture."""

    def __init__(self, *, overwhelming_share: float) -> None:
        """``overwhelming_share``: a change of more than this is no object; raising it takes larger ones for objects."""
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
        """Return whether what changed suddenly was found, not long ago, to be something that moves."""
        return time_s <= self._trusted_until_s

    def forget(self, *, usual_share: float = 0.0) -> None:
        """Stop waiting; the changed area is expected to be about this large from now on."""
        self._since_s = None
        self._usual_share = usual_share

    def judge(
        self, *, changed_share: float, sure_share: float, light_levels: float, changing_share: float, time_s: float
    ) -> Verdict:
        """Judge a frame from how much of it differs from the background, perhaps and surely, and by how much its light.

        ``changing_share``: how much of the changed area has changed since the frame before, beyond what has elsewhere.
        """
        overwhelmed = changed_share > self._overwhelming_share and sure_share > 0.5 * self._overwhelming_share
        if self._since_s is None:
            grown = changed_share - self._usual_share >= _SUDDEN_SHARE and time_s > self._trusted_until_s
            if not (grown or light_levels >= _SUDDEN_LIGHT_LEVELS):
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
            return Verdict.LEARN_ANEW if waited_s >= _OVERWHELMED_WAIT_S else Verdict.WAIT
        grown = abs(changed_share - self._first_share) > _STILL_GROWTH * self._first_share
        if grown or changing_share > _STILL_SHARE:
            return Verdict.USUAL
        return Verdict.ABSORB if waited_s >= _STILL_WAIT_S else Verdict.WAIT
