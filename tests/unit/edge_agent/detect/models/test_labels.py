"""Class names from files and models, and whether they fit."""

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
def test_plain_and_numbered_lines_say_the_same(names: list[str]) -> None:
    """One name a line, and the same with numbers in any of the usual styles, read alike."""
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
def test_labels_files_as_they_come(text: str, expected: tuple[str, ...]) -> None:
    """Gaps, placeholders, blank lines, byte order marks, and names that merely begin with a number."""
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
def test_a_labels_file_that_is_none_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    """Whatever is wrong with it, the error names the file and the fault."""
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"names\.txt.*{message}"):
        read_labels(path)


def test_a_missing_labels_file_is_named(tmp_path: Path) -> None:
    """The error gives the path and the system's reason."""
    with pytest.raises(ConfigurationError, match=r"labels file .*gone\.txt: No such file"):
        read_labels(tmp_path / "gone.txt")


def test_the_two_coco_layouts() -> None:
    """80 names without gaps, 90 with; a number in the wrong layout names another class."""
    assert len(COCO_80) == 80
    assert len(COCO_90) == 90
    assert (COCO_80[79], COCO_90[89]) == ("toothbrush", "toothbrush")
    assert (COCO_80[11], COCO_90[12]) == ("stop sign", "stop sign")


def test_the_built_in_layouts_are_those_of_the_files(shared_material: Path) -> None:
    """The tables agree with the lists that came with the models."""
    assert read_labels(shared_material / "models" / "coco80_labels.txt") == COCO_80
    assert read_labels(shared_material / "models" / "coco90_labels.txt") == COCO_90


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_yolo(tmp_path / "yolo.tflite", np.zeros((1, 6, 84), np.float32))


def test_a_packed_labels_file_is_found(model: Path) -> None:
    """What TFLite Metadata packs at the end of a model is read, other files beside it are not."""
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
def test_a_packed_dictionary_is_found(model: Path, name: str, content: str) -> None:
    """What Ultralytics packs, as a Python dictionary or as JSON, is read."""
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
def test_what_is_packed_and_no_labels_is_passed_over(model: Path, name: str, content: str) -> None:
    """Code, other structures and broken files give no names and do no harm."""
    pack_file(model, name, content)
    assert labels_in_model(model) is None


def test_a_model_without_metadata_has_no_names(model: Path, tmp_path: Path) -> None:
    """A bare model and a missing file give none."""
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
def test_fitting_labels(labels: tuple[str, ...], counts: tuple[int, ...], expected: tuple[str, ...]) -> None:
    """Names fit as they are, or without a leading background that the model does not count."""
    assert fit_labels(labels, counts, source="names.txt") == expected


def test_labels_of_another_model_are_refused_with_both_numbers() -> None:
    """The error says how many there are and how many there should be."""
    with pytest.raises(ConfigurationError, match=r"names\.txt names 80 classes, but the model has 90 or 91"):
        fit_labels(COCO_80, (90, 91), source="names.txt")


def test_coco_is_recognised_by_its_number_of_classes() -> None:
    """80 and 90 have a layout, anything else has none."""
    assert coco_labels((80,)) == COCO_80
    assert coco_labels((90, 91)) == COCO_90
    assert coco_labels((3,)) is None
    assert coco_labels(()) is None
