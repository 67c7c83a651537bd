"""Which classes a detector takes for one another, so that a van that is a truck for a moment stays one object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MAX_CLASS_ID = 9_999
"""Detections of a class beyond are ignored; no label list is that long."""


class ClassGroups:
    """Maps each class to a group; tracks and detections of different groups never meet."""

    def __init__(self, *, labels: Sequence[str], confusable: Iterable[Iterable[str]]) -> None:
        """``labels`` names the classes by index; names in ``confusable`` that are not among them do no harm."""
        self._group: dict[int, int] = {}
        for names in confusable:
            wanted = {name.casefold() for name in names}
            members = [index for index, label in enumerate(labels) if label.casefold() in wanted]
            self._group.update(dict.fromkeys(members, members[0] if members else 0))

    def of(self, class_ids: Iterable[int]) -> list[int]:
        """Return the group of each class."""
        group = self._group
        return [group.get(class_id, class_id) for class_id in class_ids]
