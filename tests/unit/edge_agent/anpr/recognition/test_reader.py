"""The plate reader: decoding of the network's output, the shipped model, and invalid files."""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.anpr.recognition.character_detection import ALPHABET, Floats, detect_characters
from edge_agent.anpr.recognition.crops import crop_around
from edge_agent.anpr.recognition.reader import MODEL_NAME as READER
from edge_agent.anpr.recognition.reader import NetworkPlateReader, open_reader
from edge_agent.anpr.recognition.reader_model import ReaderModel, shipped
from edge_agent.detect.runtimes.base import PostProcess, Tensor, TensorSpec
from shared.errors import ConfigurationError
from tests.support.anpr.character_grids import SURE, empty_grid, line, write

MODEL = ReaderModel("plate_reader", "test", ALPHABET, 192, 64, "", ("us", "eu", "gb", "br", "other"), 0.4)
INPUT = TensorSpec("picture", (1, 64, 192, 3), np.dtype(np.float32))
CELLS = TensorSpec("cells", (1, 8, 48, 41), np.dtype(np.float32))
REGION = TensorSpec("region", (1, 5), np.dtype(np.float32))


class FakeNetwork:
    """An ``InferenceModel`` that returns the given grids in turn, then the last one, and records its inputs."""

    def __init__(self, *grids: Floats, region: int = 1, region_logit: float = 9.0, spec: TensorSpec = INPUT) -> None:
        self.input = spec
        self.outputs = (REGION, CELLS)
        self.postprocess: PostProcess | None = None
        self.inputs: list[Tensor] = []
        self._grids = list(grids)
        self._regions = np.zeros((1, 5), np.float32)
        self._regions[0, region] = region_logit

    def run(self, picture: Tensor) -> tuple[Tensor, ...]:
        self.inputs.append(picture)
        grid = self._grids.pop(0) if len(self._grids) > 1 else self._grids[0]
        return (self._regions, grid[None])

    def close(self) -> None:
        return


def crop(width: int = 200, height: int = 66) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)


def reader(network: FakeNetwork, *, read_again: bool = True) -> NetworkPlateReader:
    return NetworkPlateReader(model=MODEL, network=network, read_again=read_again)


def wide_line(text: str) -> Floats:
    """Return a line that fills the crop."""
    return line(text, left=22, pitch=25, height=38)


def test_a_reading_has_text_confidences_and_region() -> None:
    """A reading has the text, a confidence for each character, their product, and a certain region."""
    reading = reader(FakeNetwork(wide_line("B123XYZ"))).read(crop())
    assert reading.text == "B123XYZ"
    assert reading.region == "eu"
    assert len(reading.character_confidences) == 7
    assert reading.confidence == pytest.approx(np.prod(reading.character_confidences))
    assert reading.confidence > 0.99


@pytest.mark.parametrize(("region", "logit"), [(1, 0.5), (4, 9.0)])
def test_an_uncertain_or_unknown_region_is_none(region: int, logit: float) -> None:
    """Two regions are about equally probable, or the plate is of another kind."""
    assert reader(FakeNetwork(wide_line("B123XYZ"), region=region, region_logit=logit)).read(crop()).region is None


def test_nothing_legible_is_an_empty_reading() -> None:
    """An image without characters gives an empty text without confidence and region."""
    reading = reader(FakeNetwork(empty_grid())).read(crop())
    assert (reading.text, reading.confidence, reading.character_confidences, reading.region) == ("", 0.0, (), None)


def test_a_crop_of_a_few_pixels_is_not_read() -> None:
    """The network is not run."""
    network = FakeNetwork(wide_line("B123XYZ"))
    assert reader(network).read(crop(40, 3)).text == ""
    assert network.inputs == []


def test_the_network_input_is_rgb_between_zero_and_one() -> None:
    """Blue is first in the crop and last in the input."""
    network = FakeNetwork(empty_grid())
    blue = np.zeros((64, 192, 3), np.uint8)
    blue[..., 0] = 255
    reader(network).read(blue)
    picture = network.inputs[0]
    assert (picture.shape, picture.dtype) == ((1, 64, 192, 3), np.float32)
    assert picture[0, 32, 96].tolist() == [0.0, 0.0, 1.0]


def test_the_input_of_a_quantised_network_is_quantised() -> None:
    """With the scale and zero point of the int8 input."""
    network = FakeNetwork(empty_grid(), spec=TensorSpec("picture", (1, 64, 192, 3), np.dtype(np.int8), 1 / 255, -128))
    reader(network).read(np.full((64, 192, 3), 255, np.uint8))
    assert network.inputs[0].dtype == np.int8
    assert np.unique(network.inputs[0]).tolist() == [127]


def doubtful_line(text: str) -> Floats:
    """Return a sloping line of uncertain characters."""
    cells = line(text, left=22, pitch=25, fall=0.09, height=38)
    cells[..., 1:37] *= 0.32
    return cells


def test_a_certain_plate_is_read_once() -> None:
    """The network runs once."""
    network = FakeNetwork(wide_line("B123XYZ"))
    reader(network).read(crop())
    assert len(network.inputs) == 1


@pytest.mark.parametrize(("hazy", "runs"), [("2", 1), ("B123XYZ", 3)])
def test_certainty_is_that_of_all_characters(hazy: str, runs: int) -> None:
    """One character at 0.87 is not read again; seven of them are."""
    cells = empty_grid()
    for place, char in enumerate("B123XYZ"):
        write(cells, char, 22 + 25 * place, 32, width=20, height=38, logit=5.5 if char in hazy else SURE)
    network = FakeNetwork(cells)
    assert reader(network).read(crop()).text == "B123XYZ"
    assert len(network.inputs) == runs


def test_an_uncertain_crop_is_read_again_and_the_best_result_kept() -> None:
    """Two more crops around the characters; the most certain of three results is kept."""
    network = FakeNetwork(doubtful_line("B123XYZ"), wide_line("8123XYZ"), doubtful_line("S123XYZ"))
    assert reader(network).read(crop()).text == "8123XYZ"
    assert len(network.inputs) == 3


def test_less_certain_results_are_discarded() -> None:
    """The first result is kept."""
    less_certain = doubtful_line("S123XYZ")
    less_certain[..., 1:37] *= 0.9
    network = FakeNetwork(doubtful_line("B123XYZ"), less_certain)
    assert reader(network).read(crop()).text == "B123XYZ"


def test_two_characters_are_not_read_again() -> None:
    """Two characters do not determine a slope."""
    network = FakeNetwork(doubtful_line("AB"))
    assert reader(network).read(crop()).text == "AB"
    assert len(network.inputs) == 1


def test_reading_again_can_be_disabled() -> None:
    """The network runs once."""
    network = FakeNetwork(doubtful_line("B123XYZ"))
    reader(network, read_again=False).read(crop())
    assert len(network.inputs) == 1


@pytest.mark.parametrize("zoom", [1, 2, 8])
def test_the_crop_around_a_sloping_line_is_level(zoom: int) -> None:
    """The crop is level at any size, and the line fills most of it."""
    cells = line("ABCDE", left=60, pitch=18, fall=0.2, height=20)
    picture = np.full((64 * zoom, 192 * zoom, 3), 255, np.uint8)
    for character in detect_characters(cells):
        middle = (round(character.middle_x * zoom), round(character.middle_y * zoom))
        cv2.circle(picture, middle, 4 * zoom, (0, 0, 0), -1)
    level = crop_around(picture, detect_characters(cells), (1.0, 0.75), 192, 64)
    assert level.shape == (64, 192, 3)
    rows, columns = np.nonzero(level[..., 0] < 100)
    assert np.ptp(rows) < 24
    assert rows.mean() == pytest.approx(31.5, abs=2)
    assert np.ptp(columns) > 0.7 * 192


# --- the shipped model


def painted(text: str, *, ground: int = 235, ink: int = 20) -> np.ndarray:
    """Return a plate painted in a font of OpenCV that was not used in training."""
    picture = np.full((110, 60 + 62 * len(text), 3), ground, np.uint8)
    for index, char in enumerate(text):
        cv2.putText(picture, char, (34 + 62 * index, 88), cv2.FONT_HERSHEY_SIMPLEX, 2.6, (ink,) * 3, 8, cv2.LINE_AA)
    return picture


@cache
def shipped_reader() -> NetworkPlateReader:
    """Return the shipped reader, opened once."""
    return open_reader()


@pytest.mark.parametrize("text", ["KLM482", "HT739", "254XRN", "NPR8364"])
@pytest.mark.parametrize("night", [False, True])
def test_the_shipped_model_reads_painted_plates(text: str, night: bool) -> None:
    """Texts are dark on light or light on dark."""
    picture = painted(text, ground=30, ink=220) if night else painted(text)
    reading = shipped_reader().read(picture)
    assert reading.text == text
    assert len(reading.character_confidences) == len(text)


def test_the_shipped_model_reads_nothing_on_a_blank_wall() -> None:
    """The text is empty."""
    assert shipped_reader().read(np.full((60, 200, 3), 140, np.uint8)).text == ""


LETTERING = st.tuples(
    st.text(ALPHABET + " -.", min_size=1, max_size=16), st.integers(-30, 90), st.integers(10, 90), st.integers(-25, 25)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LETTERING, min_size=1, max_size=4), st.integers(40, 480), st.integers(20, 120))
def test_the_shipped_models_accept_every_crop(
    letterings: list[tuple[str, int, int, int]], width: int, height: int
) -> None:
    """The result is consistent for many, truncated or sloping lines and for too many characters."""
    picture = np.full((height, width, 3), 200, np.uint8)
    for text, left, bottom, angle in letterings:
        layer = np.zeros((height, width), np.uint8)
        cv2.putText(layer, text, (left, bottom), cv2.FONT_HERSHEY_DUPLEX, 0.9, 255, 2, cv2.LINE_AA)
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
        picture[cv2.warpAffine(layer, turn, (width, height)) > 127] = 25
    reading = shipped_reader().read(picture)
    assert 0.0 <= reading.confidence <= 1.0
    assert len(reading.character_confidences) == len(reading.text)
    assert all(0.0 <= each <= 1.0 for each in reading.character_confidences)


@pytest.mark.parametrize("name", ["plate_reader", "plate_line"])
def test_the_shipped_models_are_small(name: str) -> None:
    """At most four megabytes each."""
    assert shipped(name).stat().st_size <= 4 * 2**20


@pytest.mark.needs_shared
def test_the_shipped_model_reads_real_plates(shared_material: Path) -> None:
    """At least 75 % of every fifth cropped US plate are read exactly (the model card has the figures)."""
    rows = (shared_material / "anpr" / "us_plate_crops.csv").read_text("utf-8").splitlines()[1::5]
    plates = shipped_reader()
    right = 0
    for row in rows:
        name, _, wanted, _ = row.split(",")
        picture = cv2.imread(str(shared_material / "anpr" / "us_plate_crops" / name))
        assert picture is not None
        right += plates.read(np.asarray(picture, np.uint8)).text == wanted
    assert right >= 0.75 * len(rows)


# --- files that are wrong


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    """Return a copy of the shipped model that a test may damage."""
    path = tmp_path / "reader.tflite"
    shutil.copy(shipped(READER), path)
    shutil.copy(shipped(READER).with_suffix(".json"), path.with_suffix(".json"))
    return path


def test_a_model_with_another_hash_is_rejected(model_copy: Path) -> None:
    """The error names the file."""
    model_copy.write_bytes(model_copy.read_bytes() + b"x")
    with pytest.raises(ConfigurationError, match=r"reader\.tflite does not match its description"):
        open_reader(model_copy)


def test_a_missing_model_is_named(model_copy: Path) -> None:
    """The error names the missing file."""
    model_copy.unlink()
    with pytest.raises(ConfigurationError, match=r"cannot read the plate reader .*reader\.tflite"):
        open_reader(model_copy)


def test_a_model_without_description_is_rejected(model_copy: Path) -> None:
    """The JSON file next to the model is required."""
    model_copy.with_suffix(".json").write_text('{"name": "x"}', "utf-8")
    with pytest.raises(ConfigurationError, match="does not describe a plate reader"):
        open_reader(model_copy)


def test_a_model_with_another_alphabet_is_rejected(model_copy: Path) -> None:
    """Its classes would be mapped to the wrong letters."""
    beside = model_copy.with_suffix(".json")
    values = json.loads(beside.read_text("utf-8")) | {"alphabet": "ABC"}
    beside.write_text(json.dumps(values), "utf-8")
    with pytest.raises(ConfigurationError, match="alphabet"):
        open_reader(model_copy)


def test_a_file_that_is_no_model_is_rejected(model_copy: Path) -> None:
    """It is rejected even if its hash matches."""
    model_copy.write_bytes(b"rubbish")
    beside = model_copy.with_suffix(".json")
    values = json.loads(beside.read_text("utf-8")) | {"sha256": hashlib.sha256(b"rubbish").hexdigest()}
    beside.write_text(json.dumps(values), "utf-8")
    with pytest.raises(ConfigurationError):
        open_reader(model_copy)
