"""Class names from a labels file, from a model's metadata, or from COCO, and their validation against a model."""

from __future__ import annotations

import ast
import itertools
import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.errors import ConfigurationError

Labels = tuple[str, ...]

PLACEHOLDER = "n/a"
"""Name of a number that no class uses; detections of it are dropped."""
_MAX_LABELS = 20_000
_MAX_NAME = 200
_MAX_BYTES = 4 * 1024 * 1024
_NUMBERED = re.compile(r"^\s*(\d{1,6})(?:\s*[:,;]\s*|\s+)(\S.*)$", re.ASCII)
_NO_NAME = {"", "???", "n/a", "na", "none", "-", "_"}
_BACKGROUND = {PLACEHOLDER, "background", "__background__", "bg"}

COCO_90: Labels = tuple(
    """person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,n/a,stop sign,
    parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,n/a,backpack,umbrella,n/a,n/a,handbag,
    tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,
    tennis racket,bottle,n/a,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,
    pizza,donut,cake,chair,couch,potted plant,bed,n/a,dining table,n/a,n/a,toilet,n/a,tv,laptop,mouse,remote,keyboard,
    cell phone,microwave,oven,toaster,sink,refrigerator,n/a,book,clock,vase,scissors,teddy bear,hair drier,
    toothbrush""".replace("\n    ", "").split(",")
)
"""COCO as numbered by SSD and EfficientDet exports: the category number minus one, with gaps."""
COCO_80: Labels = tuple(name for name in COCO_90 if name != PLACEHOLDER)
"""COCO as numbered by YOLO: without gaps."""
LABEL_SETS: dict[str, Labels] = {"coco80": COCO_80, "coco90": COCO_90}


def parse_labels(text: str) -> Labels:
    """Parse one name per line, or lines such as ``0 person`` and ``17: cat``, whose gaps become placeholders.

    Raises ValueError if there are no names or too many, or if one is too long.
    """
    lines = [line.strip() for line in text.removeprefix("\ufeff").splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    names = _numbered(lines) or [_name(line) for line in lines]
    if not any(name != PLACEHOLDER for name in names):
        raise ValueError("it contains no class names")
    if len(names) > _MAX_LABELS:
        raise ValueError(f"it contains {len(names)} class names; the limit is {_MAX_LABELS}")
    if too_long := next((name for name in names if len(name) > _MAX_NAME), None):
        raise ValueError(f"the name '{too_long[:40]}…' is longer than {_MAX_NAME} characters")
    return tuple(names)


def read_labels(path: Path) -> Labels:
    """Read a labels file; raise ConfigurationError with its name if it is not valid."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
        return parse_labels(content.decode("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read the labels file {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"the labels file {path} is not UTF-8 text") from error
    except ValueError as error:
        raise ConfigurationError(f"the labels file {path} cannot be used: {error}") from error


def labels_in_model(path: Path) -> Labels | None:
    """Return the class names in the zip archive at the end of a ``.tflite`` file; None if there are none.

    TFLite Metadata contains a labels file, Ultralytics' metadata a dictionary with ``names``.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            for member in sorted(members, key=lambda name: ("label" not in name.lower(), name)):
                with archive.open(member) as file:
                    text = file.read(_MAX_BYTES).decode("utf-8", errors="replace")
                labels = _labels_in_member(member, text)
                if labels is not None:
                    return labels
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        return None
    return None


def fit_labels(labels: Labels, class_counts: Sequence[int], *, source: str) -> Labels:
    """Return the names in the model's numbering; raise ConfigurationError if their number does not fit.

    A leading background class is dropped if the model does not have it.
    """
    if not class_counts or len(labels) in class_counts:
        fitting_as_is = not class_counts or not _leads_with_background(labels) or len(labels) == min(class_counts)
        return labels if fitting_as_is else labels[1:]
    if len(labels) - 1 in class_counts and _leads_with_background(labels):
        return labels[1:]
    raise ConfigurationError(
        f"{source} names {len(labels)} classes, but the model has {' or '.join(map(str, class_counts))}: "
        "these labels are for another model"
    )


def coco_labels(class_counts: Sequence[int]) -> Labels | None:
    """Return the COCO names for a model with this number of classes; None for other numbers."""
    for labels in (COCO_80, COCO_90):
        if len(labels) in class_counts:
            return labels
    return None


def _leads_with_background(labels: Labels) -> bool:
    return labels[0].lower() in _BACKGROUND


def _numbered(lines: list[str]) -> list[str] | None:
    """Return the names by their numbers if all lines have increasing numbers; else None."""
    matches = [_NUMBERED.match(line) for line in lines if line]
    numbers = [int(match.group(1)) for match in matches if match]
    if len(numbers) < len(matches) or not numbers or numbers[0] > 1:
        return None
    if any(after <= before for before, after in itertools.pairwise(numbers)):
        return None
    names = [PLACEHOLDER] * min(numbers[-1] + 1, _MAX_LABELS + 1)
    for number, match in zip(numbers, matches, strict=True):
        if match and number < len(names):
            names[number] = _name(match.group(2))
    return names


def _name(text: str) -> str:
    text = text.strip()
    return PLACEHOLDER if text.lower() in _NO_NAME else text


def _labels_in_member(member: str, text: str) -> Labels | None:
    lowered = member.lower()
    try:
        if "label" in lowered and lowered.endswith(".txt"):
            return parse_labels(text)
        if "meta" in lowered:
            return _names_of(_read_mapping(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return None


def _read_mapping(text: str) -> Any:
    return json.loads(text) if text.lstrip().startswith('{"') else ast.literal_eval(text.strip())


def _names_of(metadata: Any) -> Labels | None:
    names = metadata.get("names") if isinstance(metadata, dict) else None
    if isinstance(names, dict):
        return parse_labels("\n".join(f"{int(number)} {names[number]}" for number in sorted(names, key=int)))
    if isinstance(names, list):
        return parse_labels("\n".join(str(name) for name in names))
    return None
