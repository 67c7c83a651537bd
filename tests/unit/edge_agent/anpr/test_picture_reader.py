"""`edge-agent read-plates` and the plate readers that it can use."""

from __future__ import annotations

import json
import sys
import types
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.anpr import engines
from edge_agent.anpr.engines import READERS, models_available, open_engine, open_plate_reader
from edge_agent.anpr.picture_reader import PictureReader, load_picture, picture_files
from edge_agent.anpr.recognition.fast_plate_ocr_reader import FastPlateOcrReader
from edge_agent.anpr.recognition.rapidocr_reader import RapidOcrReader
from edge_agent.anpr.settings import AnprSettings
from edge_agent.anpr.types import PlateBox, PlateReading
from edge_agent.camera.synthetic.plates import STYLES, draw_plate
from edge_agent.cli.main import main
from edge_agent.cli.parser import build_parser
from edge_agent.types import Image
from shared.errors import ConfigurationError


class Plates:
    """A detector that returns the same plates for every picture."""

    def __init__(self, *plates: PlateBox) -> None:
        self.plates = list(plates)

    def find(self, image: Image) -> list[PlateBox]:
        return self.plates


class ByBrightness:
    """A reader that distinguishes crops by their brightness."""

    def __init__(self, **texts: PlateReading) -> None:
        self.texts = texts

    def read(self, crop: Image) -> PlateReading:
        return self.texts["bright" if crop.mean() > 128 else "dark"]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Draw a dark plate on the left and a bright plate on the right."""
    image = np.full((120, 300, 3), 90, np.uint8)
    image[40:60, 20:100] = 30
    image[40:60, 180:260] = 230
    path = tmp_path / "two cars.png"
    cv2.imwrite(str(path), image)
    return path


LEFT, RIGHT = PlateBox(20, 40, 100, 60, 0.9), PlateBox(180, 40, 260, 60, 0.81)


def test_the_best_plate_comes_first(picture: Path) -> None:
    """A plausible plate precedes a more confident sign, and an unreadable plate is last."""
    reader = ByBrightness(dark=PlateReading("PASSAT", 0.9), bright=PlateReading("AB12 CDE", 0.6, region="gb"))
    found = PictureReader(detector=Plates(LEFT, RIGHT), reader=reader).read_file(str(picture))
    assert [(plate.text, plate.region) for plate in found.plates] == [("AB12CDE", "gb"), ("PASSAT", None)]
    assert found.plates[0].confidence == pytest.approx(0.6 * 0.9)
    illegible = ByBrightness(dark=PlateReading("", 0.0), bright=PlateReading("AB12CDE", 0.1))
    found = PictureReader(detector=Plates(LEFT, RIGHT), reader=illegible).read_file(str(picture))
    assert [plate.text for plate in found.plates] == ["AB12CDE", ""]


@pytest.mark.parametrize(("far_away", "first"), [(0.75, "AB12CDE"), (0.95, "XY34FGH")])
def test_the_larger_of_two_similarly_confident_plates_comes_first(picture: Path, far_away: float, first: str) -> None:
    """A nearer plate precedes a slightly clearer one behind it, but not a much clearer one."""
    reader = ByBrightness(
        dark=PlateReading("AB12CDE", 0.6, region="gb"), bright=PlateReading("XY34FGH", far_away, region="gb")
    )
    behind = PlateBox(200, 45, 240, 55, 0.9)
    found = PictureReader(detector=Plates(behind, LEFT), reader=reader).read_file(str(picture))
    assert found.plates[0].text == first


def test_low_confidence_detections_are_kept_only_if_their_text_is_a_plate(picture: Path) -> None:
    """A sticker or a grille is omitted unless all detections are requested; a clear plate is always returned."""
    grille = PlateReading("II", 0.1, (0.3, 0.3))
    plate = PlateReading("AB12CDE", 0.5, (0.9,) * 7)
    for score, reading, returned in ((0.58, grille, False), (0.58, plate, True), (0.85, grille, True)):
        box, reader = replace(LEFT, score=score), ByBrightness(dark=reading, bright=reading)
        found = PictureReader(detector=Plates(box), reader=reader).read_file(str(picture))
        assert [each.text for each in found.plates] == ([reading.text] if returned else [])
        everything = PictureReader(detector=Plates(box), reader=reader, min_plate_score=0.0).read_file(str(picture))
        assert [each.text for each in everything.plates] == [reading.text]


def test_a_folder_is_expanded_to_its_pictures(picture: Path, tmp_path: Path) -> None:
    """Pictures are sorted by name, and other files are skipped; a folder without pictures is an error."""
    (tmp_path / "notes.txt").write_text("not a picture")
    other = tmp_path / "another.JPG"
    cv2.imwrite(str(other), np.zeros((20, 20, 3), np.uint8))
    assert picture_files([str(tmp_path), "given.dat"]) == [str(other), str(picture), "given.dat"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="empty: no pictures in this folder"):
        picture_files([str(tmp_path / "empty")])


def test_json_output_has_the_documented_fields(picture: Path) -> None:
    """It has the file, the plates and the latency; boxes are in pixels and inside the picture."""
    ticks = iter((1.0, 1.0125))
    over = PlateBox(-5, 40, 100, 130, 0.9)
    reading = PlateReading("AB12CDE", 0.5, region="gb")
    reader = ByBrightness(dark=reading, bright=reading)
    found = PictureReader(detector=Plates(over), reader=reader, timer=lambda: next(ticks)).read_file(str(picture))
    assert json.loads(json.dumps(found.as_json())) == {
        "file": str(picture),
        "plates": [
            {
                "text": "AB12CDE",
                "confidence": pytest.approx(0.4743, abs=1e-3),
                "region": "gb",
                "box": {"x": 0.0, "y": 40.0, "width": 100.0, "height": 80.0},
            }
        ],
        "latency_ms": pytest.approx(12.5),
    }


def test_a_crop_is_read_without_a_detector(picture: Path) -> None:
    """Without a detector the whole picture is read as one plate."""
    reader = ByBrightness(dark=PlateReading("AB12CDE", 0.5), bright=PlateReading("", 0.0))
    found = PictureReader(detector=None, reader=reader).read_file(str(picture))
    assert [(plate.text, plate.xyxy) for plate in found.plates] == [("AB12CDE", (0.0, 0.0, 300.0, 120.0))]


def test_unreadable_pictures_raise_an_error_with_their_name(tmp_path: Path) -> None:
    """The file is missing, is empty, is a folder, or has another format."""
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "notes.jpg").write_text("not a picture")
    for name in ("nosuch.jpg", "empty.jpg", "notes.jpg", "."):
        with pytest.raises(ConfigurationError, match=name.replace(".", r"\.") if name != "." else "cannot be read"):
            load_picture(tmp_path / name)


def test_the_command_reads_crops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints one line of JSON per picture, reports an unreadable one, reads the others and exits with status 1."""
    plate = tmp_path / "plate.png"
    cv2.imwrite(str(plate), draw_plate("WK G8 346", STYLES["de"]))
    (tmp_path / "notes.png").write_text("not a picture")
    files = [str(plate), str(tmp_path / "notes.png"), str(plate)]
    assert main(["read-plates", *files, "--crops", "--json"]) == 1
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["file"] for line in lines] == [str(plate)] * 2
    assert len(lines[0]["plates"]) == 1
    assert "notes.png" in captured.err
    assert main(["read-plates", str(plate), "--crops"]) == 0
    assert lines[0]["plates"][0]["text"] in capsys.readouterr().out


def test_the_command_detects_and_reads_plates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A picture without plates gives an empty list."""
    empty = tmp_path / "empty.png"
    cv2.imwrite(str(empty), np.full((360, 640, 3), 120, np.uint8))
    assert main(["read-plates", str(empty), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plates"] == []
    assert main(["read-plates", str(empty)]) == 0
    assert "no plate" in capsys.readouterr().out


def test_a_missing_engine_reports_how_to_install_it(
    picture: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that is not installed gives one line with the install command and exit status 2."""

    def missing(name: str) -> types.ModuleType:
        raise ModuleNotFoundError(f"No module named '{name}'")

    for engine, module in (("rapidocr", "rapidocr_reader"), ("fast-plate-ocr", "fast_plate_ocr_reader")):
        monkeypatch.setattr(
            f"edge_agent.anpr.recognition.{module}.importlib", types.SimpleNamespace(import_module=missing)
        )
        with pytest.raises(ConfigurationError, match=rf"pip install 'vedette\[{engine}\]'"):
            open_plate_reader(engine)
        assert main(["read-plates", str(picture), "--crops", "--engine", engine]) == 2
        assert f"vedette[{engine}]" in capsys.readouterr().err


def test_optional_engines_receive_the_thread_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each package receives its own options; a failed model download raises an error."""
    asked: dict[str, object] = {}

    class Options:
        intra_op_num_threads = inter_op_num_threads = 0

    def rapid(params: dict[str, object]) -> object:
        asked.update(params)
        return object()

    def fast(model: str, *, device: str, sess_options: Options) -> object:
        asked.update(model=model, device=device, threads=sess_options.intra_op_num_threads)
        if asked.get("offline"):
            raise OSError("no route to host")
        return object()

    packages = {
        "rapidocr": types.SimpleNamespace(RapidOCR=rapid),
        "fast_plate_ocr": types.SimpleNamespace(LicensePlateRecognizer=fast),
        "onnxruntime": types.SimpleNamespace(SessionOptions=Options),
    }
    for name, package in packages.items():
        monkeypatch.setitem(sys.modules, name, package)
    assert isinstance(open_plate_reader("rapidocr", threads=3), RapidOcrReader)
    assert isinstance(open_plate_reader("fast-plate-ocr", threads=3), FastPlateOcrReader)
    assert asked["EngineConfig.onnxruntime.intra_op_num_threads"] == asked["threads"] == 3
    assert asked["device"] == "cpu"
    asked["offline"] = True
    with pytest.raises(ConfigurationError, match=r"cannot load .*no route to host"):
        open_plate_reader("fast-plate-ocr")


def test_an_unknown_engine_raises_an_error_with_the_known_ones() -> None:
    """The error names the unknown engine and lists the engines that exist."""
    with pytest.raises(ConfigurationError, match="vedette, rapidocr, fast-plate-ocr"):
        open_plate_reader("tesseract")


def test_engine_table_settings_and_command_line_list_the_same_engines() -> None:
    """A new engine must be added to all three."""
    help_text = build_parser().parse_args(["read-plates", "x", "--engine", "rapidocr"]).engine
    assert help_text == "rapidocr"
    for name in READERS:
        assert AnprSettings(engine=name).engine == name  # type: ignore[arg-type]
        assert build_parser().parse_args(["read-plates", "x", "--engine", name]).engine == name


def test_a_build_without_a_detector_raises_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The user gets an error message instead of a traceback."""
    monkeypatch.setattr(engines, "WHOLE_MODEL", tmp_path / "plate_detector.tflite")
    assert not models_available()
    with pytest.raises(ConfigurationError, match="plate detector"):
        open_engine()


def test_rapidocr_reads_each_line_of_a_plate() -> None:
    """A one-line plate is read whole; a square plate is read in two halves, the upper one first."""
    heights: list[tuple[int, int]] = []

    def engine(line: Image, **options: bool) -> types.SimpleNamespace:
        heights.append(line.shape[:2])
        assert options == {"use_det": False, "use_cls": False, "use_rec": True}
        return types.SimpleNamespace(txts=("ab-12",) if line.mean() > 128 else ("x 9",), scores=(0.9,))

    reader = RapidOcrReader(engine)
    wide = reader.read(np.full((20, 100, 3), 200, np.uint8))
    assert (wide.text, wide.character_confidences) == ("AB12", (0.9,) * 4)
    assert wide.confidence == pytest.approx(0.9**4)
    square = np.full((80, 100, 3), 20, np.uint8)
    square[:44] = 230
    assert reader.read(square).text == "AB12X9"
    assert {height for height, _ in heights} == {48}
    nothing = RapidOcrReader(lambda *_args, **_options: types.SimpleNamespace(txts=None, scores=None))
    assert nothing.read(square) == PlateReading("", 0.0)


@pytest.mark.parametrize("old", [True, False])
def test_both_result_formats_of_fast_plate_ocr_are_parsed(old: bool) -> None:
    """The result is a pair of arrays or a list of objects; padding is removed."""

    class Recognizer:
        def run(self, image: Image, *, return_confidence: bool) -> object:
            assert return_confidence
            assert image[0, 0].tolist() == [30, 20, 10]
            probabilities = np.array([0.9, 0.8, 0.7, 0.99, 0.99])
            if old:
                return ["AB1__"], probabilities[None]
            return [types.SimpleNamespace(plate="AB1__", char_probs=probabilities)]

    image = np.full((20, 60, 3), (10, 20, 30), np.uint8)
    reading = FastPlateOcrReader(Recognizer()).read(image)
    assert reading.text == "AB1"
    assert reading.character_confidences == pytest.approx((0.9, 0.8, 0.7))
    assert reading.confidence == pytest.approx(0.504)
