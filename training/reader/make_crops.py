"""Write validation crops: augmented plates in fonts and over backgrounds that are not used in training.

    python -m training.reader.make_crops --bank BANK --frames FRAMES --out CROPS [--hardness 0.7]

Each is a PNG named after its text; ``training.evaluate_reader --folder CROPS`` reads them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from training.reader.augment import Backgrounds, make_crop
from training.reader.bank import load_shard


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--frames", type=Path, default=None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hardness", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=77)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    backgrounds = Backgrounds(options.frames, held_out=True)
    plates = [plate for path in sorted(options.bank.glob("validation-*.pickle")) for plate in load_shard(path)]
    for number, plate in enumerate(plates):
        crop, _ = make_crop(rng, plate, backgrounds, hardness=options.hardness)
        cv2.imwrite(str(options.out / f"{number:05d}-{plate.text}.png"), crop)


if __name__ == "__main__":
    main()
