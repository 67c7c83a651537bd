"""Real training crops: plates of the Romanian dash-camera frames (MIT) with their texts.

``romania_texts.csv`` has the texts of all legible plates. A vehicle is read where it is near, so that its distant,
blurred and overexposed images have a text too. Character positions are those that the shipped reader detects; missing
ones are taken from another image of the same plate. The last drives are held out, as in the detector's training; plates
that earlier drives show as well are excluded from them.

    python -m training.reader.real --frames ../shared/anpr/train_romania --bank BANK
"""

from __future__ import annotations

import argparse
import csv
import pickle
from collections import defaultdict
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import cv2
import numpy as np

from edge_agent.anpr.recognition.character_detection import ALPHABET, INPUT_HEIGHT, INPUT_WIDTH, DetectedCharacter
from edge_agent.anpr.recognition.reader import NetworkPlateReader, open_reader
from training.detector.frames import held_out_names
from training.reader.bank import REGIONS, RealPlate

TEXTS = Path(__file__).with_name("romania_texts.csv")
AROUND = (0.3, 0.7)
"""Margins of the frame that are kept around a plate, in plate widths and heights."""


@dataclass(slots=True)
class _Labelled:
    picture: np.ndarray
    box: np.ndarray
    text: str
    held_out: bool
    places: np.ndarray | None = None
    """``(N, 4)`` centre x, centre y, width, height, as fractions of the plate's box; NaN if unknown"""


def load_labelled(frames: Path) -> list[_Labelled]:
    """Return every plate that has a text, cut from its frame."""
    with TEXTS.open() as table:
        known = {(row["file"], float(row["xmin"]), float(row["ymin"])): row["text"] for row in csv.DictReader(table)}
    held_out = held_out_names(frames)
    labelled: list[_Labelled] = []
    with frames.with_suffix(".csv").open() as table:
        for row in csv.DictReader(table):
            x0, y0, x1, y1 = (float(row[side]) for side in ("xmin", "ymin", "xmax", "ymax"))
            text = known.get((row["file"], x0, y0))
            if text is None:
                continue
            frame = cv2.imread(str(frames / row["file"]))
            wide, tall = (x1 - x0) * AROUND[0], (y1 - y0) * AROUND[1]
            left, top = max(0, round(x0 - wide)), max(0, round(y0 - tall))
            picture = frame[top : round(y1 + tall), left : round(x1 + wide)].copy()
            box = np.array([x0 - left, y0 - top, x1 - left, y1 - top], np.float32)
            labelled.append(_Labelled(picture, box, text, row["file"] in held_out))
    return labelled


def place(reader: NetworkPlateReader, one: _Labelled) -> None:
    """Detect the characters of the text at several margins, and keep the best result; NaN for missing characters."""
    x0, y0, x1, y1 = one.box
    tried: list[np.ndarray] = []
    for margin in (0.0, 0.05, 0.1):
        wide, tall = (x1 - x0) * margin, (y1 - y0) * margin * 1.5
        left, top = max(0, round(x0 - wide)), max(0, round(y0 - tall))
        crop = one.picture[top : round(y1 + tall), left : round(x1 + wide)]
        found, _ = reader.detect(crop)
        places = np.full((len(one.text), 4), np.nan, np.float32)
        read = "".join(character.char for character in found)
        for start, at, size in SequenceMatcher(None, read, one.text, autojunk=False).get_matching_blocks():
            for step in range(size):
                places[at + step] = _share(found[start + step], crop, (left, top), one.box)
        tried.append(places)
    one.places = min(tried, key=lambda places: np.isnan(places).sum())


def _share(character: DetectedCharacter, crop: np.ndarray, origin: tuple[int, int], box: np.ndarray) -> list[float]:
    across, down = crop.shape[1] / INPUT_WIDTH, crop.shape[0] / INPUT_HEIGHT
    wide, tall = box[2] - box[0], box[3] - box[1]
    return [
        (character.middle_x * across + origin[0] - box[0]) / wide,
        (character.middle_y * down + origin[1] - box[1]) / tall,
        character.width * across / wide,
        character.height * down / tall,
    ]


def complete(same: list[_Labelled]) -> None:
    """Fill in missing characters from the most complete image of the same plate, translated and scaled."""
    fullest = max(same, key=lambda one: (~np.isnan(one.places[:, 0])).sum() * 1000 + one.box[2] - one.box[0])
    model = fullest.places
    if np.isnan(model).any():
        return
    for one in same:
        missing = np.isnan(one.places[:, 0])
        if not missing.any() or missing.mean() > 0.5:
            continue
        seen = ~missing
        x = np.polyfit(model[seen, 0], one.places[seen, 0], 1) if seen.sum() > 2 else (1.0, 0.0)
        tilt = np.polyfit(one.places[seen, 0], one.places[seen, 1], 1) if seen.sum() > 2 else (0.0, 0.5)
        one.places[missing, 0] = x[0] * model[missing, 0] + x[1]
        one.places[missing, 1] = tilt[0] * one.places[missing, 0] + tilt[1]
        one.places[missing, 2:] = model[missing, 2:] * np.median(one.places[seen, 2:] / model[seen, 2:], axis=0)


def banked(one: _Labelled) -> RealPlate:
    """Return the plate as stored in the bank."""
    size = np.array([one.box[2] - one.box[0], one.box[3] - one.box[1]])
    centre = one.places[:, :2] * size + one.box[:2]
    half = one.places[:, 2:] * size / 2
    classes = np.array([ALPHABET.index(char) for char in one.text], np.int64)
    png = cv2.imencode(".png", one.picture)[1].tobytes()
    return RealPlate(
        png, one.box, np.concatenate([centre - half, centre + half], 1).astype(np.float32), classes, REGIONS.index("eu")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument("--bank", type=Path, required=True)
    options = parser.parse_args()
    labelled = load_labelled(options.frames)
    reader = open_reader()
    same: dict[str, list[_Labelled]] = defaultdict(list)
    for one in labelled:
        place(reader, one)
        same[one.text].append(one)
    for group in same.values():
        complete(group)
    whole = [one for one in labelled if not np.isnan(one.places).any()]
    trained = [one for one in whole if not one.held_out]
    known = {one.text for one in trained}
    unknown = [one for one in whole if one.held_out and one.text not in known]
    for name, part in (("real", trained), ("held-out-real", unknown)):
        (options.bank / f"{name}.pickle").write_bytes(pickle.dumps([banked(one) for one in part]))
    print(f"{len(labelled)} plates have a text, {len(whole)} of them positions of all characters; "
          f"{len(trained)} to train on, {len(unknown)} held out")  # fmt: skip


if __name__ == "__main__":
    from training.reader.real import main as run  # so that pickled classes are those of this module, not of __main__

    run()
