"""The whole detector: from a picture to boxes in the picture's pixels."""

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


def test_boxes_come_back_through_the_letterbox(tmp_path: Path) -> None:
    """In a 200×100 picture, shown as 64×32 with 16 rows above, the model's box is where it should be."""
    detector = open_detector(yolo_file(tmp_path), settings=DetectSettings())
    found = detector.detect(WIDE)
    assert np.allclose(found.xyxy, [[50, 25, 150, 75]], atol=1e-3)
    assert [detector.labels[row] for row in found.class_id] == ["car"]
    assert found.score.tolist() == [0.75]
    assert (detector.input_width, detector.input_height) == (64, 64)


def test_boxes_in_a_region_come_back_in_the_whole_pictures_pixels(tmp_path: Path) -> None:
    """The same box, seen in the right half of the picture, lies in the right half."""
    detector = open_detector(yolo_file(tmp_path), settings=DetectSettings())
    found = detector.detect_region(WIDE, np.array([100.2, 0.0, 200.0, 100.0]))
    assert np.allclose(found.xyxy, [[125, 37.5, 175, 62.5]], atol=1e-3)


def test_what_a_model_imagines_beyond_a_region_is_cut_off(tmp_path: Path) -> None:
    """A box larger than the region ends at the region."""
    detector = open_detector(yolo_file(tmp_path, box=(0.5, 0.5, 2.0, 2.0)), settings=DetectSettings())
    found = detector.detect_region(WIDE, np.array([60, 20, 100, 60]))
    assert np.allclose(found.xyxy, [[60, 20, 100, 60]], atol=1e-3)


@pytest.mark.parametrize("region", [(300, 0, 400, 50), (10, 10, 10, 40), (-20, -20, 0, 0)])
def test_a_region_without_pixels_holds_nothing(tmp_path: Path, region: tuple[int, ...]) -> None:
    """Outside the picture and without area, nothing is looked at."""
    detector = open_detector(yolo_file(tmp_path), settings=DetectSettings())
    assert len(detector.detect_region(WIDE, np.array(region))) == 0


def test_an_ssd_sees_the_picture_stretched(tmp_path: Path) -> None:
    """An SSD's shares of the input are shares of the picture, whatever its aspect."""
    path = write_ssd(tmp_path / "ssd.tflite", [[0.0, 0.5, 0.5, 1.0]], [[0.9, 0.1]])
    detector = open_detector(ModelFile(path=path, name="ssd", labels=LABELS), settings=DetectSettings())
    found = detector.detect(WIDE)
    assert np.allclose(found.xyxy, [[100, 0, 200, 50]], atol=1e-2)
    assert found.class_id.tolist() == [0]


def test_settings_reach_the_result(tmp_path: Path) -> None:
    """A threshold above the score leaves nothing."""
    detector = open_detector(yolo_file(tmp_path), settings=DetectSettings(min_score=0.8))
    assert len(detector.detect(WIDE)) == 0


def test_the_version_follows_the_files_content(tmp_path: Path) -> None:
    """Two files of one name have different versions in events."""
    one = open_detector(yolo_file(tmp_path), settings=DetectSettings()).model_info
    other = open_detector(yolo_file(tmp_path, box=(0.4, 0.4, 0.1, 0.1)), settings=DetectSettings()).model_info
    assert one.model_type == other.model_type == "yolo"
    assert one.version != other.version
    assert len(one.version) == 12


def test_labels_given_go_before_those_found(tmp_path: Path) -> None:
    """What the caller says is what counts."""
    detector = open_detector(yolo_file(tmp_path), settings=DetectSettings(), labels=("mouse", "cat"))
    assert detector.labels == ("mouse", "cat")


def test_labels_packed_in_the_model_are_used(tmp_path: Path) -> None:
    """Without other names the model's own metadata gives them."""
    path = yolo_file(tmp_path).path
    pack_file(path, "labels.txt", "mouse\ncat\n")
    assert open_detector(ModelFile(path=path, name="m"), settings=DetectSettings()).labels == ("mouse", "cat")


def test_coco_is_assumed_where_the_number_of_classes_is_cocos(tmp_path: Path) -> None:
    """A bare model with 80 classes gets COCO's names."""
    path = write_yolo(tmp_path / "coco.tflite", np.zeros((1, 84, 21), np.float32), input_size=(32, 32))
    assert open_detector(ModelFile(path=path, name="m"), settings=DetectSettings()).labels == COCO_80


def test_a_model_without_names_asks_for_them(tmp_path: Path) -> None:
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
def test_what_does_not_fit_names_the_model_file(tmp_path: Path, file: dict[str, Any], message: str) -> None:
    """Wrong labels and unknown classes are one line that begins with the model's file."""
    settings = DetectSettings.model_validate(file.pop("settings", {}))
    with pytest.raises(ConfigurationError, match=rf"^yolo\.tflite: .*{message}"):
        open_detector(ModelFile(path=yolo_file(tmp_path).path, name="m", **file), settings=settings)


def test_a_model_named_for_the_edge_tpu_asks_for_one(tmp_path: Path) -> None:
    """The suffix alone asks for the delegate, and a setting overrules the suffix."""
    path = yolo_file(tmp_path).path.rename(tmp_path / "yolo_edgetpu.tflite")
    model = ModelFile(path=path, name="yolo_edgetpu", labels=LABELS)
    with pytest.raises(ConfigurationError, match="needs an Edge TPU"):
        open_detector(model, settings=DetectSettings())
    assert len(open_detector(model, settings=DetectSettings(edgetpu=False)).detect(WIDE)) == 1


def test_a_closed_detector_has_let_go_of_its_model(tmp_path: Path) -> None:
    """Nothing can be detected afterwards."""
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
def test_real_models_find_the_people_in_the_street(
    shared_material: Path, tmp_path: Path, bus: ArrayPicture, name: str, labels: str | None
) -> None:
    """Each real model finds the three whole people in the photograph where they are."""
    detector = open_shared(shared_material, tmp_path, name, labels)
    found = detector.detect(bus)
    assert seen(detector, found, "person", (55, 390, 225, 905)) > 0.6
    assert seen(detector, found, "person", (225, 400, 350, 860)) > 0.5
    assert len(found) < 12


@pytest.mark.parametrize("name", ["ssd_mobilenet_v1_coco_quant", "yolo11n_416_int8"])
def test_real_models_find_the_bus(shared_material: Path, tmp_path: Path, bus: ArrayPicture, name: str) -> None:
    """The bus is a bus, which it is only while the picture is averaged as it is shrunk."""
    detector = open_shared(shared_material, tmp_path, name)
    found = detector.detect(bus)
    buses = found.select(found.class_id == detector.labels.index("bus"))
    assert buses.score.max(initial=0.0) > 0.6


def test_the_labels_of_another_layout_are_refused(shared_material: Path, tmp_path: Path) -> None:
    """80 names for the SSD with 90 classes: one line with the model, the file and both numbers."""
    with pytest.raises(ConfigurationError, match=r"ssd.*: coco80_labels\.txt names 80 classes, but the model has 90"):
        open_shared(shared_material, tmp_path, "ssd_mobilenet_v1_coco_quant", "coco80_labels.txt")
    assert len(read_labels(shared_material / "models" / "coco80_labels.txt")) == 80
