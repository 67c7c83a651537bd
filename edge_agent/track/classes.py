"""Groups of classes that detectors confuse: a van that is detected as a truck in some frames stays one object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MAX_CLASS_ID = 9_999
"""Detections with a larger class id are ignored; no label list is this long."""


class ClassGroups:
    """Maps each class to a group. Tracks and detections of different groups are never associated."""

    def __init__(self, *, labels: Sequence[str], confusable: Iterable[Iterable[str]]) -> None:
        """``labels`` are the class names by index; names in ``confusable`` that are not in ``labels`` are ignored."""
        self._group: dict[int, int] = {}
        for names in confusable:
            group_names = {name.casefold() for name in names}
            members = [index for index, label in enumerate(labels) if label.casefold() in group_names]
            self._group.update(dict.fromkeys(members, members[0] if members else 0))

    def of(self, class_ids: Iterable[int]) -> list[int]:
        """Return the group of each class."""
        group = self._group
        return [group.get(class_id, class_id) for class_id in class_ids]
