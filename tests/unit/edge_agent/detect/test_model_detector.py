"""The whole detector: from an image to boxes in pixels of the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.detect.factory import open_detector
from edge_agent.detect.model_detector import ModelDetector
from edge_agent.detect.models.catalogue import ModelFile, resolve_model
from edge_agent.detect.models.labels import COCO_80, read_labels
from edge_agent.detect.settings import DetectSettings
from edge_agent.types import ArrayPicture, Detections
from shared.errors import ConfigurationError
from tests.support.edge.tflite_models import pack_file, write_ssd, write_yolo

WIDE = ArrayPicture(np.zeros((100, 200, 3), np.uint8))
LABELS = ("person", "car")


def yolo_file(tmp_path: Path, *, box: tuple[float, float, float, float] = (0.5, 0.5, 0.5, 0.25)) -> ModelFile:
    """A model that finds a car of this (cx, cy, w, h), in shares of its 64×64 input, in whatever it sees."""
    head = np.zeros((1, 6, 84), np.float32)
    head[0, :4, 5], head[0, 5, 5] = box, 0.75
    return ModelFile(path=write_yolo(tmp_path / "yolo.tflite", head), name="yolo", labels=LABELS)


def test_boxes_are_mapped_back_from_the_letterbox(tmp_path: Path) -> None:
    """A 200×100 image is scaled to 64×32 with 16 rows of padding above; the box is mapped back."""
    detector = open_detector(yolo_file(tmp_path), settings=DetectSettings())
    found = detector.detect(WIDE)
    assert np.allclose(found.xyxy, [[50, 25, 150, 75]], atol=1e-3)
    assert [detector.labels[row] for row in found.class_id] == ["car"]
    assert found.score.tolist() == [0.75]
    assert (detector.input_width, detector.input_height) == (64, 64)


def test_boxes_in_a_region_are_in_pixels_of_the_whole_image(tmp_path: Path) -> None:
    """A box in a region on the right half of the image is in the right half."""
    detector = open_detector(yolo_file(tmp_path), settings=DetectSettings())
    found = detector.detect_region(WIDE, np.array([100.2, 0.0, 200.0, 100.0]))
    assert np.allclose(found.xyxy, [[125, 37.5, 175, 62.5]], atol=1e-3)


def test_boxes_are_clipped_to_the_region(tmp_path: Path) -> None:
    """A box that exceeds the region is clipped."""
    detector = open_detector(yolo_file(tmp_path, box=(0.5, 0.5, 2.0, 2.0)), settings=DetectSettings())
    found = detector.detect_region(WIDE, np.array([60, 20, 100, 60]))
    assert np.allclose(found.xyxy, [[60, 20, 100, 60]], atol=1e-3)


@pytest.mark.parametrize("region", [(300, 0, 400, 50), (10, 10, 10, 40), (-20, -20, 0, 0)])
def test_region_without_pixels_gives_no_detections(tmp_path: Path, region: tuple[int, ...]) -> None:
    """The region is outside of the image or has no area."""
    detector = open_detector(yolo_file(tmp_path), settings=DetectSettings())
    assert len(detector.detect_region(WIDE, np.array(region))) == 0


def test_ssd_input_is_stretched(tmp_path: Path) -> None:
    """Fractions of an SSD's input are fractions of the image for any aspect ratio."""
    path = write_ssd(tmp_path / "ssd.tflite", [[0.0, 0.5, 0.5, 1.0]], [[0.9, 0.1]])
    detector = open_detector(ModelFile(path=path, name="ssd", labels=LABELS), settings=DetectSettings())
    found = detector.detect(WIDE)
    assert np.allclose(found.xyxy, [[100, 0, 200, 50]], atol=1e-2)
    assert found.class_id.tolist() == [0]


def test_settings_are_applied(tmp_path: Path) -> None:
    """A threshold above the score drops all detections."""
    detector = open_detector(yolo_file(tmp_path), settings=DetectSettings(min_score=0.8))
    assert len(detector.detect(WIDE)) == 0


def test_version_depends_on_the_files_content(tmp_path: Path) -> None:
    """Two different files with the same name have different versions."""
    one = open_detector(yolo_file(tmp_path), settings=DetectSettings()).model_info
    other = open_detector(yolo_file(tmp_path, box=(0.4, 0.4, 0.1, 0.1)), settings=DetectSettings()).model_info
    assert one.model_type == other.model_type == "yolo"
    assert one.version != other.version
    assert len(one.version) == 12


def test_given_labels_override_other_labels(tmp_path: Path) -> None:
    """Labels of the caller have priority."""
    detector = open_detector(yolo_file(tmp_path), settings=DetectSettings(), labels=("mouse", "cat"))
    assert detector.labels == ("mouse", "cat")


def test_labels_in_the_models_metadata_are_used(tmp_path: Path) -> None:
    """The metadata is used if there are no other labels."""
    path = yolo_file(tmp_path).path
    pack_file(path, "labels.txt", "mouse\ncat\n")
    assert open_detector(ModelFile(path=path, name="m"), settings=DetectSettings()).labels == ("mouse", "cat")


def test_coco_labels_are_used_for_a_matching_number_of_classes(tmp_path: Path) -> None:
    """A model with 80 classes and without labels gets COCO's names."""
    path = write_yolo(tmp_path / "coco.tflite", np.zeros((1, 84, 21), np.float32), input_size=(32, 32))
    assert open_detector(ModelFile(path=path, name="m"), settings=DetectSettings()).labels == COCO_80


def test_model_without_labels_is_rejected(tmp_path: Path) -> None:
    """The error gives the file, the number of classes and the option."""
    path = yolo_file(tmp_path).path
    with pytest.raises(ConfigurationError, match=r"yolo\.tflite: .*the names of its 2 classes: give a labels file"):
        open_detector(ModelFile(path=path, name="m"), settings=DetectSettings())


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"labels": ("a", "b", "c"), "labels_source": "three.txt"}, "three.txt names 3 classes, but the model has 2"),
        ({"labels": LABELS, "settings": {"classes": ["cat"]}}, r"has no class 'cat'; did you mean 'car'"),
    ],
)
def test_mismatch_error_names_the_model_file(tmp_path: Path, file: dict[str, Any], message: str) -> None:
    """The error for wrong labels and unknown classes starts with the name of the file."""
    settings = DetectSettings.model_validate(file.pop("settings", {}))
    with pytest.raises(ConfigurationError, match=rf"^yolo\.tflite: .*{message}"):
        open_detector(ModelFile(path=yolo_file(tmp_path).path, name="m", **file), settings=settings)


def test_edge_tpu_suffix_requires_an_edge_tpu(tmp_path: Path) -> None:
    """The suffix selects the delegate, and the setting overrides the suffix."""
    path = yolo_file(tmp_path).path.rename(tmp_path / "yolo_edgetpu.tflite")
    model = ModelFile(path=path, name="yolo_edgetpu", labels=LABELS)
    with pytest.raises(ConfigurationError, match="needs an Edge TPU"):
        open_detector(model, settings=DetectSettings())
    assert len(open_detector(model, settings=DetectSettings(edgetpu=False)).detect(WIDE)) == 1


def test_closed_detector_has_freed_its_model(tmp_path: Path) -> None:
    """The detector cannot be used afterwards."""
    detector = open_detector(yolo_file(tmp_path), settings=DetectSettings())
    detector.close()
    with pytest.raises(AttributeError):
        detector.detect(WIDE)


@pytest.fixture(scope="module")
def bus(shared_material: Path) -> ArrayPicture:
    image = cv2.imread(str(shared_material / "clips" / "bus.jpg"))
    assert image is not None
    return ArrayPicture(np.asarray(image, np.uint8))


def open_shared(shared_material: Path, tmp_path: Path, name: str, labels: str | None = None) -> ModelDetector:
    model = resolve_model(
        name, models_location=str(shared_material / "models"), cache_dir=tmp_path / "cache", labels=labels
    )
    return open_detector(model, settings=DetectSettings())


def seen(detector: ModelDetector, found: Detections, name: str, box: tuple[int, int, int, int]) -> float:
    """Return the best score of a detection of this class whose edges are within 25 pixels of this box, else 0."""
    near = np.abs(found.xyxy - np.array(box)).max(axis=1) < 25
    rows = near & (found.class_id == detector.labels.index(name))
    return float(found.score[rows].max(initial=0.0))


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("ssd_mobilenet_v1_coco_quant", None),
        ("yolo11n_416_int8", "coco80_labels.txt"),
        ("yolo11n_416_int8", None),
        ("yolo11n_224_int8", None),
    ],
)
def test_real_models_detect_the_people_in_the_street(
    shared_material: Path, tmp_path: Path, bus: ArrayPicture, name: str, labels: str | None
) -> None:
    """Each real model detects the three fully visible people in the photograph."""
    detector = open_shared(shared_material, tmp_path, name, labels)
    found = detector.detect(bus)
    assert seen(detector, found, "person", (55, 390, 225, 905)) > 0.6
    assert seen(detector, found, "person", (225, 400, 350, 860)) > 0.5
    assert len(found) < 12


@pytest.mark.parametrize("name", ["ssd_mobilenet_v1_coco_quant", "yolo11n_416_int8"])
def test_real_models_detect_the_bus(shared_material: Path, tmp_path: Path, bus: ArrayPicture, name: str) -> None:
    """The bus is only detected as a bus if the image is averaged when it is scaled down."""
    detector = open_shared(shared_material, tmp_path, name)
    found = detector.detect(bus)
    buses = found.select(found.class_id == detector.labels.index("bus"))
    assert buses.score.max(initial=0.0) > 0.6


def test_labels_of_another_layout_are_rejected(shared_material: Path, tmp_path: Path) -> None:
    """The error for 80 names and 90 classes has the model, the file and both numbers."""
    with pytest.raises(ConfigurationError, match=r"ssd.*: coco80_labels\.txt names 80 classes, but the model has 90"):
        open_shared(shared_material, tmp_path, "ssd_mobilenet_v1_coco_quant", "coco80_labels.txt")
    assert len(read_labels(shared_material / "models" / "coco80_labels.txt")) == 80
