"""Generated plates in luma, rendered once and stored in a file, because rendering plates is slower than scenes.

python -m training.detector.plate_bank --count 6000 --seed 1 --out ~/.cache/vedette-detector/plates-train.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

REGIONS = ("us", "us", "us", "europe", "europe", "gb", "br", "br", "other")
HELD_OUT_FONTS = "held_out"
MAX_HEIGHT_PX = 160


def draw_bank(count: int, seed: int, *, held_out: bool) -> list[NDArray[np.uint8]]:
    """Return plates in luma. Validation plates use fonts that are not in the training set."""
    from training.plates import render_detailed  # requires Pillow and the fonts, which reading a bank does not

    rng = np.random.default_rng(seed)
    plates = []
    for _ in range(count):
        region = REGIONS[int(rng.integers(len(REGIONS)))]
        image = render_detailed(rng, region=region, fonts=HELD_OUT_FONTS if held_out else None).image
        shares = rng.dirichlet((2.0, 8.0, 4.0)).astype(np.float32)  # sensors and lights weight colours differently
        luma = np.clip(image.astype(np.float32) @ shares, 0, 255).astype(np.uint8)
        if luma.shape[0] > MAX_HEIGHT_PX:
            width = round(luma.shape[1] * MAX_HEIGHT_PX / luma.shape[0])
            luma = cv2.resize(luma, (width, MAX_HEIGHT_PX), interpolation=cv2.INTER_AREA)
        plates.append(luma)
    return plates


def save_bank(path: Path, plates: list[NDArray[np.uint8]]) -> None:
    """Write the plates and their sizes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, sizes=np.array([p.shape for p in plates]), pixels=np.concatenate([p.ravel() for p in plates]))


def load_bank(path: Path) -> list[NDArray[np.uint8]]:
    """Read a file written by ``save_bank``."""
    stored = np.load(path)
    sizes, pixels = stored["sizes"], stored["pixels"]
    ends = np.cumsum(sizes.prod(axis=1))
    return [pixels[end - h * w : end].reshape(h, w) for (h, w), end in zip(sizes, ends, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    save_bank(arguments.out, draw_bank(arguments.count, arguments.seed, held_out=arguments.held_out))


if __name__ == "__main__":
    main()
