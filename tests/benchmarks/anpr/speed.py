"""Measures detection and reading on one thread, next to other readers on the same images in the same run.

Figures are medians of processor time, because elapsed time on a busy machine includes other load. All readers run in
turn. Images are decoded before the measurement, except for OpenALPR, a program that reads files.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from edge_agent.anpr.engines import open_engine
from edge_agent.anpr.picture_reader import PictureReader
from edge_agent.camera.synthetic.gate import SyntheticGate
from edge_agent.types import Image
from tests.benchmarks.anpr.lines import Line, number_line
from tests.benchmarks.anpr.material import AbsentError, crops, few, photographs
from tests.benchmarks.anpr.peers import OpenAlpr, PeerAnswer, RapidOcr
from tests.benchmarks.anpr.stills import Step

PICTURES, CROPS, ROUNDS = 12, 96, 3
HD = (1280, 720)
MAX_FIND_MS, MAX_READ_MS = 40.0, 8.0
OPENALPR_MS = "OpenALPR 47 (eu), 103 (br), 221 (us) ms per image on one core, detecting and reading"
RAPIDOCR_MS = "RapidOCR 640–1,190 ms of one core per image"
RAPIDOCR_CROP_MS = "RapidOCR 17–27 ms"

Timed = Callable[[Path, Image], PeerAnswer]


class _Times:
    def __init__(self) -> None:
        self.wall_ms: dict[str, list[float]] = {}
        self.processor_ms: dict[str, list[float]] = {}

    def add(self, name: str, answer: PeerAnswer) -> None:
        self.wall_ms.setdefault(name, []).append(answer.wall_s * 1000)
        self.processor_ms.setdefault(name, []).append(answer.processor_s * 1000)

    def medians(self, name: str) -> tuple[float, float]:
        return statistics.median(self.processor_ms[name]), statistics.median(self.wall_ms[name])


def speed_lines(shared: Path, limit: int | None, step: Step, report: Step) -> list[Line]:
    """Measure detection, reading, and both, and RapidOCR and OpenALPR if they are available."""
    cv2.setNumThreads(1)
    with ExitStack() as stack:
        rapidocr = openalpr = None
        try:
            rapidocr = stack.enter_context(RapidOcr())
        except AbsentError as absent:
            report(f"RapidOCR is not measured: {absent}")
        try:
            openalpr = OpenAlpr()
        except AbsentError as absent:
            report(f"OpenALPR is not measured: {absent}; its published figures are quoted")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vedette-anpr-")))
        pictures, what = _hd_pictures(shared, folder, min(limit or PICTURES, PICTURES))
        small, what_crops = _crops(shared, folder, min(limit or CROPS, CROPS))
        return _picture_lines(pictures, what, rapidocr, openalpr, step) + _crop_lines(small, what_crops, rapidocr, step)


def _picture_lines(
    pictures: list[tuple[Path, Image]], what: str, rapidocr: RapidOcr | None, openalpr: OpenAlpr | None, step: Step
) -> list[Line]:
    engine = open_engine()
    reader = PictureReader(detector=engine.detector, reader=engine.reader)
    readers: dict[str, Timed] = {
        "find": lambda _, image: _timed(lambda: engine.detector.find(image)),
        "find and read": lambda _, image: _timed(lambda: reader.read(image)),
    }
    if rapidocr is not None:
        readers[rapidocr.version] = lambda path, _: rapidocr.read(path, "picture")
    if openalpr is not None:
        readers[openalpr.version] = lambda path, _: openalpr.read(path, "us")
    times = _time_in_turn(readers, pictures, step)
    detail = f"median of {what}, elapsed {times.medians('find')[1]:.1f} ms"
    lines = [
        number_line(
            "detecting plates in 1280×720, processor time", times.medians("find")[0], "ms", detail=detail,
            target=MAX_FIND_MS, others=OPENALPR_MS,
        ),
        number_line(
            "detecting and reading in 1280×720, processor time", times.medians("find and read")[0], "ms",
            detail=f"elapsed {times.medians('find and read')[1]:.1f} ms", others=RAPIDOCR_MS,
        ),
    ]  # fmt: skip
    return lines + [_peer_line(name, times, "find and read") for name in readers if name.startswith(("Rapid", "Open"))]


def _crop_lines(small: list[tuple[Path, Image]], what: str, rapidocr: RapidOcr | None, step: Step) -> list[Line]:
    reader = open_engine().reader
    readers: dict[str, Timed] = {"read": lambda _, image: _timed(lambda: reader.read(image))}
    if rapidocr is not None:
        readers[rapidocr.version] = lambda path, _: rapidocr.read(path, "crop")
    times = _time_in_turn(readers, small, step)
    detail = f"median of {what}, elapsed {times.medians('read')[1]:.1f} ms"
    lines = [
        number_line(
            "reading a crop, processor time", times.medians("read")[0], "ms", detail=detail, target=MAX_READ_MS,
            others=RAPIDOCR_CROP_MS,
        )
    ]  # fmt: skip
    return lines + [_peer_line(name, times, "read", what="a crop") for name in readers if name != "read"]


def _peer_line(name: str, times: _Times, ours: str, *, what: str = "1280×720") -> Line:
    processor_ms, wall_ms = times.medians(name)
    ratio = processor_ms / times.medians(ours)[0]
    return number_line(
        f"{name}, {what}, in this run",
        processor_ms,
        "ms",
        detail=f"{ratio:.0f} times ours; elapsed {wall_ms:.0f} ms",
    )


def _time_in_turn(readers: dict[str, Timed], pictures: list[tuple[Path, Image]], step: Step) -> _Times:
    times = _Times()
    for answer in readers.values():
        answer(*pictures[0])
    for _ in range(ROUNDS):
        for path, image in pictures:
            for name, answer in readers.items():
                times.add(name, answer(path, image))
            step(path.name)
    return times


def _timed(action: Callable[[], object]) -> PeerAnswer:
    start, used = time.perf_counter(), time.process_time()
    action()
    return PeerAnswer((), time.perf_counter() - start, time.process_time() - used)


def _hd_pictures(shared: Path, folder: Path, count: int) -> tuple[list[tuple[Path, Image]], str]:
    """Return photographs cropped to 1280×720, otherwise frames of the synthetic gate."""
    try:
        every = [picture for country in ("us", "br") for picture in photographs(shared, country)]
        images = [picture.load() for picture in every]
        images = [image for image in images if image.shape[1] >= HD[0] and image.shape[0] >= HD[1]]
    except AbsentError:
        images = []
    what = "photographs"
    if not images:
        gate = SyntheticGate(seed=1)
        images = [gate.render(index) for index in np.linspace(50, gate.frame_count - 100, count, dtype=int)]
        what = "frames of the synthetic gate"
    chosen = [images[round(place)] for place in np.linspace(0, len(images) - 1, min(count, len(images)))]
    cut = [
        image[(image.shape[0] - HD[1]) // 2 :, (image.shape[1] - HD[0]) // 2 :][: HD[1], : HD[0]] for image in chosen
    ]
    return _written([np.ascontiguousarray(image) for image in cut], folder, "picture"), f"{len(cut)} {what}"


def _crops(shared: Path, folder: Path, count: int) -> tuple[list[tuple[Path, Image]], str]:
    """Return the crops of the benchmark, otherwise plates of the synthetic gate."""
    try:
        images = [picture.load() for picture in few(crops(shared), count)]
        return _written(images, folder, "crop"), f"{len(images)} crops of `us_plate_crops`"
    except AbsentError:
        gate = SyntheticGate(seed=1)
        images = []
        for index in range(60, gate.frame_count, 60):
            for truth in gate.truth(index):
                if truth.plate_quad is not None and truth.glyph_height_px > 12 and len(images) < count:
                    low, high = truth.plate_quad.min(axis=0).astype(int), truth.plate_quad.max(axis=0).astype(int)
                    images.append(gate.render(index)[low[1] : high[1] + 1, low[0] : high[0] + 1])
        return _written(images, folder, "crop"), f"{len(images)} crops of the synthetic gate"


def _written(images: list[Image], folder: Path, kind: str) -> list[tuple[Path, Image]]:
    written: list[tuple[Path, Image]] = []
    for number, image in enumerate(images):
        path = folder / f"{kind}-{number}.png"
        cv2.imwrite(str(path), image)
        written.append((path, image))
    return written
