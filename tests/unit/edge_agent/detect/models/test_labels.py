"""Class names from files and models, and their validation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detect.models.labels import (
    COCO_80,
    COCO_90,
    PLACEHOLDER,
    coco_labels,
    fit_labels,
    labels_in_model,
    parse_labels,
    read_labels,
)
from shared.errors import ConfigurationError
from tests.support.edge.tflite_models import pack_file, write_yolo

NAMES = st.lists(st.from_regex(r"[b-m][a-z ]{0,8}[b-m]", fullmatch=True), min_size=1, max_size=20)


@given(names=NAMES)
def test_plain_and_numbered_lines_are_equivalent(names: list[str]) -> None:
    """Names without numbers and with numbers in any common style give the same labels."""
    expected = parse_labels("\n".join(names))
    for style in ("{0} {1}", "{0}: {1}", "{0}\t{1}", "  {0}  {1}\r", "{0},{1}"):
        assert parse_labels("\n".join(style.format(row, name) for row, name in enumerate(names))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("person\ncar\n\n\n", ("person", "car")),
        ("0 person\n2 car\n", ("person", PLACEHOLDER, "car")),
        ("1 person\n2 car", (PLACEHOLDER, "person", "car")),
        ("person\n???\ncar", ("person", PLACEHOLDER, "car")),
        ("person\n\ncar", ("person", PLACEHOLDER, "car")),
        ("\ufeffperson\r\ncar\r\n", ("person", "car")),
        ("2 wheeler\n4 wheeler", ("2 wheeler", "4 wheeler")),
        ("3 a\n1 b", ("3 a", "1 b")),
        ("traffic light", ("traffic light",)),
    ],
)
def test_labels_file_formats_are_parsed(text: str, expected: tuple[str, ...]) -> None:
    """Files may have gaps, placeholders, blank lines, a byte order mark, and names that start with a number."""
    assert parse_labels(text) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "contains no class names"),
        (b"???\n???\n", "contains no class names"),
        (b"\xff\xfe\x00person", "not UTF-8 text"),
        (b"x" * 300, "longer than 200 characters"),
        (b"a\n" * 20_001, "contains 20001 class names"),
        (b"0 a\n999999 b", "contains 20001 class names"),
    ],
)
def test_invalid_labels_file_is_rejected(tmp_path: Path, content: bytes, message: str) -> None:
    """The error names the file and the problem."""
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"names\.txt.*{message}"):
        read_labels(path)


def test_missing_labels_file_is_rejected(tmp_path: Path) -> None:
    """The error contains the path and the reason of the operating system."""
    with pytest.raises(ConfigurationError, match=r"labels file .*gone\.txt: No such file"):
        read_labels(tmp_path / "gone.txt")


def test_coco_layouts_have_80_and_90_classes() -> None:
    """The layouts differ by gaps, so a number means different classes in them."""
    assert len(COCO_80) == 80
    assert len(COCO_90) == 90
    assert (COCO_80[79], COCO_90[89]) == ("toothbrush", "toothbrush")
    assert (COCO_80[11], COCO_90[12]) == ("stop sign", "stop sign")


def test_built_in_layouts_equal_the_published_files(shared_material: Path) -> None:
    """The tables agree with the label lists of the models."""
    assert read_labels(shared_material / "models" / "coco80_labels.txt") == COCO_80
    assert read_labels(shared_material / "models" / "coco90_labels.txt") == COCO_90


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_yolo(tmp_path / "yolo.tflite", np.zeros((1, 6, 84), np.float32))


def test_packed_labels_file_is_read(model: Path) -> None:
    """Labels of TFLite Metadata are read; other packed files are ignored."""
    pack_file(model, "anchors.txt", "10,13")
    pack_file(model, "labelmap.txt", "person\ncar\n")
    assert labels_in_model(model) == ("person", "car")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("temp_meta.txt", str({"task": "detect", "names": {0: "person", 1: "car"}, "imgsz": [64, 64]})),
        ("metadata.json", json.dumps({"names": {"0": "person", "1": "car"}})),
        ("metadata.json", json.dumps({"names": ["person", "car"]})),
    ],
)
def test_packed_dictionary_is_read(model: Path, name: str, content: str) -> None:
    """Ultralytics' metadata is a Python dictionary or JSON."""
    pack_file(model, name, content)
    assert labels_in_model(model) == ("person", "car")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("temp_meta.txt", "__import__('os').abort()"),
        ("temp_meta.txt", "{'names': 3}"),
        ("temp_meta.txt", "{'names': {'first': 'person'}}"),
        ("temp_meta.txt", "[" * 5000),
        ("metadata.json", '{"names": '),
        ("labels.txt", "\n"),
        ("readme.md", "person"),
    ],
)
def test_packed_content_without_labels_is_ignored(model: Path, name: str, content: str) -> None:
    """Code, other structures and damaged files give no labels."""
    pack_file(model, name, content)
    assert labels_in_model(model) is None


def test_model_without_metadata_has_no_labels(model: Path, tmp_path: Path) -> None:
    """A model without an archive and a missing file give None."""
    assert labels_in_model(model) is None
    assert labels_in_model(tmp_path / "gone.tflite") is None


@pytest.mark.parametrize(
    ("labels", "counts", "expected"),
    [
        (("a", "b"), (2,), ("a", "b")),
        (("background", "a", "b"), (2,), ("a", "b")),
        ((PLACEHOLDER, "a", "b"), (2, 3), ("a", "b")),
        (("a", "b"), (2, 3), ("a", "b")),
        (("a", "b", "c"), (2, 3), ("a", "b", "c")),
        ((PLACEHOLDER, "b"), (2, 3), (PLACEHOLDER, "b")),
        (("a",), (), ("a",)),
    ],
)
def test_labels_are_fitted_to_the_model(
    labels: tuple[str, ...], counts: tuple[int, ...], expected: tuple[str, ...]
) -> None:
    """Labels are used unchanged, or without a leading background class."""
    assert fit_labels(labels, counts, source="names.txt") == expected


def test_labels_of_another_model_are_rejected_with_both_numbers() -> None:
    """The error contains the actual and the expected number."""
    with pytest.raises(ConfigurationError, match=r"names\.txt names 80 classes, but the model has 90 or 91"):
        fit_labels(COCO_80, (90, 91), source="names.txt")


def test_coco_labels_depend_on_the_number_of_classes() -> None:
    """There are COCO layouts for 80 and 90 classes only."""
    assert coco_labels((80,)) == COCO_80
    assert coco_labels((90, 91)) == COCO_90
    assert coco_labels((3,)) is None
    assert coco_labels(()) is None
