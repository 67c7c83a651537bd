"""Which classes a detector takes for one another, so that a van that is a truck for a moment stays one object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

MAX_CLASS_ID = 9_999
"""Detections of a class beyond are ignored; no label list is that long."""


class ClassGroups:
    """Maps each class to a group; tracks and detections of different groups never meet."""

    def __init__(self, *, labels: Sequence[str], confusable: Iterable[Iterable[str]]) -> None:
        """``labels`` names the classes by index; names in ``confusable`` that are not among them do no harm."""
        self._group = np.arange(MAX_CLASS_ID + 1)
        for names in confusable:
            wanted = {name.casefold() for name in names}
            members = [index for index, label in enumerate(labels) if label.casefold() in wanted]
            if members:
                self._group[members] = members[0]

    def of(self, class_id: NDArray[np.integer]) -> NDArray[np.intp]:
        """Return the group of each class id, all of which are within 0..MAX_CLASS_ID."""
        return self._group[class_id]
