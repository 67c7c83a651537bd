"""Crops and photographs: first readings, detected plates and false positives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.anpr.detection.plate_detector import open_plate_detector
from edge_agent.anpr.picture_reader import PictureReader
from edge_agent.boxes import Box, box_iou
from tests.benchmarks.anpr.lines import Line, number_line, share_line
from tests.benchmarks.anpr.material import COUNTRIES, LabelledPlate, crops, few, photographs

FOUND_IOU = 0.5
MAX_FALSE = 0.1
MIN_FOUND, AIM_FOUND = 0.97, 0.99
TARGETS = {"eu": (0.90, 0.98), "us": (0.82, 0.94), "br": (0.93, 0.98)}
TARGET_OF_CROPS = (0.90, 0.96)
OTHERS_READ = {
    "eu": "OpenALPR 72.2 %, RapidOCR 75.0 %",
    "us": "OpenALPR 48.2 %, RapidOCR 69.4 %",
    "br": "OpenALPR 42.1 %, RapidOCR 91.2 %",
}
OTHERS_CROPS = "OpenALPR 86 % (its published reads), 77 % (built here); RapidOCR 56–65 %"
OTHERS_FOUND = {"eu": "OpenALPR 98.1 %", "us": "OpenALPR 89.2 %", "br": "OpenALPR 72.8 %"}
OTHERS_FALSE = "OpenALPR 0 to 0.09"
"""Figures of other readers on all images of these sets; the shared images are half of them."""

Step = Callable[[str], None]
"""A callback that gets a line of text, for example the name of each image."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one photograph with one labelled plate."""

    name: str
    plate: str
    first: str | None
    found: bool
    false: int
    detector_found: bool
    detector_false: int


def crop_lines(shared: Path, limit: int | None, step: Step, report: Step) -> list[Line]:
    """Evaluate the reader alone."""
    reader = PictureReader.open("vedette", threads=1, crops=True)
    right, pictures = 0, few(crops(shared), limit)
    for picture in pictures:
        answer = reader.read(picture.load())[0].text
        right += answer == picture.plate
        if answer != picture.plate:
            report(f"{picture.path.name}: {picture.plate} read as {answer or 'nothing'}")
        step(picture.path.name)
    least, aim = TARGET_OF_CROPS
    return [
        share_line("`us_plate_crops`, read exactly", right, len(pictures), at_least=least, aim=aim, others=OTHERS_CROPS)
    ]


def frame_lines(shared: Path, limit: int | None, step: Step, report: Step) -> list[Line]:
    """Evaluate photographs end to end, as ``read-plates`` does, and the detector alone."""
    reader = PictureReader.open("vedette", threads=1, crops=False)
    detector = open_plate_detector()
    answers: dict[str, list[Answer]] = {}
    for country in COUNTRIES:
        answers[country] = []
        for picture in few(photographs(shared, country), limit):
            image = picture.load()
            plates = reader.read(image)
            boxes = [(plate.left, plate.top, plate.right, plate.bottom) for plate in detector.find(image)]
            first = plates[0].text if plates else None
            answer = judge(picture, first, [plate.xyxy for plate in plates], boxes)
            answers[country].append(answer)
            if answer.first != answer.plate or answer.false or not answer.found:
                report(
                    f"{country}/{answer.name}: {answer.plate} read as {answer.first or 'nothing'}, "
                    f"{'found' if answer.found else 'NOT FOUND'}, {answer.false} other boxes"
                )
            step(picture.path.name)
    return [line for country, each in answers.items() for line in _read_and_found(country, each)] + pooled_lines(
        [answer for each in answers.values() for answer in each]
    )


def judge(picture: LabelledPlate, first: str | None, emitted: Sequence[Box], detected: Sequence[Box]) -> Answer:
    """Compare boxes with the label; every box that is not the labelled plate counts as false."""
    assert picture.xyxy is not None
    overlaps = [box_iou(box, picture.xyxy) for box in emitted]
    of_detector = [box_iou(box, picture.xyxy) for box in detected]
    return Answer(
        name=picture.path.name,
        plate=picture.plate,
        first=first,
        found=max(overlaps, default=0.0) >= FOUND_IOU,
        false=sum(overlap < FOUND_IOU for overlap in overlaps),
        detector_found=max(of_detector, default=0.0) >= FOUND_IOU,
        detector_false=sum(overlap < FOUND_IOU for overlap in of_detector),
    )


def pooled_lines(answers: Sequence[Answer]) -> list[Line]:
    """Return the figures of all photographs together."""
    count = max(len(answers), 1)
    found, of_detector = sum(a.found for a in answers), sum(a.detector_found for a in answers)
    false, detector_false = sum(a.false for a in answers), sum(a.detector_false for a in answers)
    return [
        share_line("`full_frames`, all: plate found", found, len(answers), at_least=MIN_FOUND, aim=AIM_FOUND),
        number_line(
            "`full_frames`, all: false plates per image",
            false / count,
            "",
            detail=f"{false} boxes in {len(answers)} images; true plates without a label count as false",
            target=MAX_FALSE,
            others=OTHERS_FALSE,
        ),
        share_line("the detector alone: plate found", of_detector, len(answers)),
        number_line("the detector alone: false plates per image", detector_false / count, ""),
    ]


def _read_and_found(country: str, answers: Sequence[Answer]) -> list[Line]:
    least, aim = TARGETS[country]
    right, found = sum(a.first == a.plate for a in answers), sum(a.found for a in answers)
    false = sum(a.false for a in answers)
    name = f"`full_frames/{country}`"
    return [
        share_line(
            f"{name}, first answer exact", right, len(answers), at_least=least, aim=aim, others=OTHERS_READ[country]
        ),
        share_line(f"{name}, plate found (IoU ≥ 0.5)", found, len(answers), others=OTHERS_FOUND[country]),
        number_line(f"{name}, false plates per image", false / max(len(answers), 1), ""),
    ]
