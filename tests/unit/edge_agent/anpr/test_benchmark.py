"""The benchmark of number plate recognition: its counts and its generated videos."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.camera.synthetic.gate import SyntheticGate
from tests.benchmarks.anpr import __main__ as command
from tests.benchmarks.anpr.camera_path import CameraPath, seed_of
from tests.benchmarks.anpr.lines import figure_line, number_line, share_line
from tests.benchmarks.anpr.material import AbsentError, LabelledPlate, crops, few, photographs
from tests.benchmarks.anpr.report import page
from tests.benchmarks.anpr.stills import judge, pooled_lines
from tests.benchmarks.anpr.videos import EmittedPlate, VideoCounts, owner_of
from tests.benchmarks.figures import Figure
from training.intervals import wilson

BOX = (100.0, 60.0, 140.0, 75.0)


def test_intervals_are_wilson_intervals() -> None:
    """They equal published values: 0 of 10 is at most 27.8 %, 5 of 10 is 23.7 to 76.3 %."""
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=2e-3)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=2e-3)
    assert wilson(10, 10)[1] == 1.0
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_target_is_met_from_its_own_value() -> None:
    """The value decides, not its interval. Without a target, ``met`` is None."""
    assert share_line("x", 9, 10, at_least=0.9).met
    assert not share_line("x", 8, 10, at_least=0.9).met
    assert share_line("x", 8, 10).met is None
    assert number_line("x", 0.1, "ms", target=0.1).met
    assert not number_line("x", 0.1, "a second", target=0.2, better="higher").met


def test_large_numbers_are_printed_without_exponent() -> None:
    """1,403 ms is not printed as 1.4e+03 ms."""
    assert number_line("x", 1403.4, "ms").value == "1,403 ms"
    assert number_line("x", 999.4, "ms").value == "999 ms"


@pytest.mark.parametrize(("value", "met"), [(9.5, True), (10.5, False)])
def test_a_benchmark_figure_keeps_its_target_and_note(value: float, met: bool) -> None:
    """Targets of ``make bench`` are listed in the table."""
    line = figure_line(Figure("fuzzy", value, "ms", target=10.0, note="median 3 ms"))
    assert (line.what, line.at_least, line.met, line.detail) == ("fuzzy", "≤ 10 ms", met, "median 3 ms")


def test_boxes_are_compared_with_the_label(tmp_path: Path) -> None:
    """An IoU of 0.5 counts as found; every other box counts as false, also for the detector alone."""
    picture = LabelledPlate(tmp_path / "a.jpg", "AB123", BOX)
    near, far = (102.0, 60.0, 142.0, 75.0), (0.0, 0.0, 40.0, 15.0)
    answer = judge(picture, "AB123", [near, far], [far])
    assert (answer.found, answer.false, answer.detector_found, answer.detector_false) == (True, 1, False, 1)
    lines = {line.what: line for line in pooled_lines([answer, judge(picture, None, [], [near])])}
    assert lines["`full_frames`, all: plate found"].value == "50.0 %"
    assert lines["`full_frames`, all: false plates per image"].value == "0.5"
    assert lines["`full_frames`, all: false plates per image"].met is False


def test_video_counts_distinguish_right_repeated_misread_and_missed_vehicles() -> None:
    """One vehicle is emitted correctly, one twice, and one not at all; one event shows no labelled plate."""
    counts = VideoCounts()
    right, wrong = EmittedPlate("AB123", 3, BOX), EmittedPlate("A8123", 4, BOX)
    counts.add("one", "AB123", [right])
    counts.add("twice", "AB123", [right, wrong])
    counts.add("never", "AB123", [], [wrong])
    assert (counts.vehicles, counts.right, counts.once, counts.missed) == (3, 2, 1, 1)
    assert (counts.misread, counts.invented) == (1, 1)
    assert counts.faults == [
        "twice: AB123 emitted as AB123 and A8123",
        "never: AB123 emitted as nothing; elsewhere A8123",
    ]


def test_an_event_of_the_gate_is_assigned_to_the_plate_it_shows() -> None:
    """The plate's position in that frame decides; the result is None if there is no plate."""
    gate = SyntheticGate(seed=1, size=(640, 360))
    index, truth = next(
        (index, truth)
        for index in range(50, gate.frame_count)
        for truth in gate.truth(index)
        if truth.plate_quad is not None
    )
    assert truth.plate_quad is not None
    low, high = truth.plate_quad.min(axis=0) / (640, 360), truth.plate_quad.max(axis=0) / (640, 360)
    assert owner_of(EmittedPlate("X", index, (*low.tolist(), *high.tolist())), gate) == truth.track - 1
    assert owner_of(EmittedPlate("X", index, (0.0, 0.0, 0.05, 0.02)), gate) is None


@pytest.mark.parametrize("seed", range(6))
def test_the_camera_moves_and_the_plate_box_is_right(seed: int) -> None:
    """The painted plate is inside its box in every frame, and moves or changes size."""
    photograph = np.full((180, 320, 3), 60, np.uint8)
    photograph[60:75, 100:140] = 230
    path = CameraPath(photograph, BOX, seed=seed, frames=6)
    views = list(path.views())
    assert len(views) == 6
    for view in views:
        assert view.image.shape == (path.height, path.width, 3)
        left, top, right, bottom = (round(value) for value in view.plate)
        assert left >= 0
        assert top >= 0
        assert right <= path.width
        assert bottom <= path.height
        inside = view.image[top + 3 : bottom - 3, left + 3 : right - 3].mean()
        assert inside > 2 * np.median(view.image)
    first, last = np.array(views[0].plate), np.array(views[-1].plate)
    assert np.abs(first - last).max() > 5
    again = list(CameraPath(photograph, BOX, seed=seed, frames=6).views())
    assert all(np.array_equal(one.image, other.image) for one, other in zip(views, again, strict=True))


def test_seeds_depend_on_file_names() -> None:
    """A photograph gives the same video in every folder and on every machine."""
    assert seed_of("eu1.jpg") == seed_of("eu1.jpg") != seed_of("eu2.jpg")


def test_images_are_read_from_any_folder_of_the_layout(tmp_path: Path) -> None:
    """Plates are in normal form; a selection is evenly spaced; a missing folder is named."""
    folder = tmp_path / "anpr" / "full_frames"
    folder.mkdir(parents=True)
    rows = "".join(f"{number}.jpg,{number},2,30,10,ab {number}\n" for number in range(10))
    (folder / "eu.csv").write_text("file,x,y,width,height,plate\n" + rows)
    pictures = photographs(tmp_path, "eu")
    assert (pictures[3].plate, pictures[3].xyxy) == ("AB3", (3, 2, 33, 12))
    assert [picture.plate for picture in few(pictures, 4)] == ["AB0", "AB3", "AB6", "AB9"]
    assert few(pictures, None) == few(pictures, 20) == pictures
    with pytest.raises(AbsentError, match="us_plate_crops"):
        crops(tmp_path)
    with pytest.raises(AbsentError, match=r"0\.jpg"):
        pictures[0].load()


def test_a_section_without_images_is_skipped_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other sections run; a page is written only if requested."""
    folder = tmp_path / "anpr" / "us_plate_crops"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "a.png"), np.full((30, 60, 3), 200, np.uint8))
    folder.with_suffix(".csv").write_text("file,state,plate,openalpr_read\na.png,ak,AB123,AB123\n")
    out = tmp_path / "page.md"
    monkeypatch.setattr(
        sys, "argv", ["anpr", "crops", "frames", "--shared", str(tmp_path), "--out", str(out), "--list"]
    )
    assert command.main() == 0
    output = capsys.readouterr().out
    assert "skipped" in output
    assert "0 of 1" in output
    text = out.read_text(encoding="utf-8")
    assert "## Photographs, end to end\n\nSkipped: " in text
    assert "| `us_plate_crops`, read exactly | 0.0 % | ≥ 90 % (aim 96 %) | **no** |" in text


def test_the_page_has_every_figure() -> None:
    """Each row has the target, whether it is met, and the results of other readers."""
    text = page(
        {"Speed": [number_line("finding", 20.0, "ms", target=40, others="47 ms")]}, {}, command="make", commit="abc123"
    )
    assert "| finding | 20 ms | ≤ 40 ms | yes |  | 47 ms |" in text
    assert "Command: `make`" in text
    assert "commit abc123" in text


def test_an_unknown_section_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The error lists the existing sections."""
    monkeypatch.setattr(sys, "argv", ["anpr", "croops"])
    with pytest.raises(SystemExit):
        command.main()
    assert "croops" in capsys.readouterr().err
