"""The line reader: crops, decoding of steps, the shipped model, and its use by the plate reader."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.anpr.recognition.character_detection import (
    ALPHABET,
    DetectedCharacter,
    Floats,
    detect_characters,
    split_lines,
)
from edge_agent.anpr.recognition.crops import LINE_HEIGHT, LINE_WIDTH, crop_line
from edge_agent.anpr.recognition.line_reader import LineReader, characters, open_line_reader
from edge_agent.anpr.recognition.reader import NetworkPlateReader
from edge_agent.detect.runtimes.base import PostProcess, Tensor, TensorSpec
from tests.support.anpr.character_grids import line
from tests.unit.edge_agent.anpr.recognition.test_reader import (
    MODEL,
    FakeNetwork,
    crop,
    doubtful_line,
    painted,
    wide_line,
)

BLANK = "-"
STEPS = 24


def steps(path: str, sure: float = 0.9) -> Floats:
    """Return the network's output for ``path``: one character for each step, ``-`` for none."""
    probabilities = np.full((len(path), 37), (1 - sure) / 36, np.float32)
    for step, char in enumerate(path):
        probabilities[step, 0 if char == BLANK else 1 + ALPHABET.index(char)] = sure
    return probabilities


def text(found: list[Floats]) -> str:
    return "".join(ALPHABET[int(chances.argmax())] for chances in found)


class FakeLineNetwork:
    """An ``InferenceModel`` that returns the given paths in turn and records its inputs."""

    def __init__(self, *paths: str) -> None:
        self.input = TensorSpec("picture", (1, LINE_HEIGHT, LINE_WIDTH, 3), np.dtype(np.float32))
        self.outputs = (TensorSpec("steps", (1, STEPS, 37), np.dtype(np.float32)),)
        self.postprocess: PostProcess | None = None
        self.inputs: list[Tensor] = []
        self._paths = list(paths)

    def run(self, picture: Tensor) -> tuple[Tensor, ...]:
        self.inputs.append(picture)
        return (steps(self._paths.pop(0).ljust(STEPS, BLANK))[None],)

    def close(self) -> None:
        return


@pytest.mark.parametrize(
    ("path", "expected"),
    [("-----", ""), ("A", "A"), ("AAA", "A"), ("-AA-BB-", "AB"), ("A-A", "AA"), ("AB", "AB"), ("11-1", "11")],
)
def test_runs_of_one_prediction_are_one_character(path: str, expected: str) -> None:
    """A blank separates two equal characters, and is not a character itself."""
    assert text(characters(steps(path))) == expected


@given(st.text(ALPHABET, max_size=10), st.lists(st.integers(1, 3), min_size=10, max_size=10))
def test_runs_of_any_length_decode_to_the_text(expected: str, lengths: list[int]) -> None:
    """Each character spans one to three steps and is followed by a blank."""
    path = BLANK + "".join(char * length + BLANK for char, length in zip(expected, lengths, strict=False))
    assert text(characters(steps(path))) == expected


def test_a_run_has_the_probabilities_of_its_best_step() -> None:
    """The probability of the blank is not included."""
    probabilities = np.concatenate([steps("B", 0.5), steps("B", 0.8), steps("B", 0.6)])
    (only,) = characters(probabilities)
    assert float(only.max()) == pytest.approx(0.8)
    assert only.shape == (36,)


def test_a_line_is_cropped_around_its_characters() -> None:
    """The crop has the size of the input and excludes the line above."""
    picture = np.full((64, 192, 3), 255, np.uint8)
    picture[:20] = 0
    placed = detect_characters(line("ABCDE", left=50, pitch=22, y=44, height=18))
    cut = crop_line(picture, placed)
    assert cut.shape == (LINE_HEIGHT, LINE_WIDTH, 3)
    assert cut.min() == 255


def test_the_network_input_is_bgr_between_minus_one_and_one() -> None:
    """The channel order is that of the training images."""
    network = FakeLineNetwork("A")
    blue = np.zeros((64, 192, 3), np.uint8)
    blue[..., 0] = 255
    LineReader(network=network).read(blue, detect_characters(wide_line("ABC")))
    assert network.inputs[0][0, 24, 96].tolist() == [1.0, -1.0, -1.0]


def reader(network: FakeNetwork, lines: FakeLineNetwork) -> NetworkPlateReader:
    return NetworkPlateReader(model=MODEL, network=network, line_reader=LineReader(network=lines))


def test_an_uncertain_plate_is_read_by_both_networks() -> None:
    """The line reader is certain of an 8 that the grid detected as nearly a B."""
    lines = FakeLineNetwork("88-11-22-33-XX-YY-ZZ")
    assert reader(FakeNetwork(doubtful_line("B123XYZ")), lines).read(crop()).text == "8123XYZ"
    assert len(lines.inputs) == 1


def test_a_certain_plate_does_not_run_the_line_reader() -> None:
    """Every character is certain after the first network."""
    lines = FakeLineNetwork("C")
    assert reader(FakeNetwork(wide_line("B123XYZ")), lines).read(crop()).text == "B123XYZ"
    assert lines.inputs == []


def test_two_lines_are_read_separately() -> None:
    """The upper line first."""
    cells = line("ABC", left=50, pitch=30, y=16, height=22)
    line("1234", left=40, pitch=30, y=47, height=22, into=cells)
    cells[..., 1:37] *= 0.32
    lines = FakeLineNetwork("AA-BB-CC", "11-22-33-44")
    assert reader(FakeNetwork(cells), lines).read(crop()).text == "ABC1234"
    assert len(lines.inputs) == 2


def test_lines_are_separated_and_sorted() -> None:
    """There are one, two or no lines; the upper line is first."""
    upper = [placed("A", 60, 15), placed("B", 90, 16), placed("C", 120, 15)]
    lower = [placed("1", 50, 47), placed("2", 80, 46)]
    assert split_lines([]) == []
    assert [[c.char for c in one] for one in split_lines(upper[::-1])] == [["A", "B", "C"]]
    assert [[c.char for c in one] for one in split_lines([*lower, *upper])] == [["A", "B", "C"], ["1", "2"]]


def placed(char: str, x: float, y: float) -> DetectedCharacter:
    return DetectedCharacter(char, 0.9, x, y, 20, 26, np.zeros(36, np.float32))


# --- the shipped model


@pytest.mark.parametrize("expected", ["KLM482", "HT739", "254XRN", "NPR8364"])
def test_the_shipped_model_reads_a_painted_line(expected: str) -> None:
    """Only the positions of the characters are given, not the text of the first reader."""
    picture = painted(expected)
    across, down = 192 / picture.shape[1], 64 / picture.shape[0]
    found = [
        DetectedCharacter("?", 1.0, (58 + 62 * i) * across, 60 * down, 46 * across, 56 * down, np.zeros(36, np.float32))
        for i in range(len(expected))
    ]
    assert text(open_line_reader().read(picture, found)) == expected
