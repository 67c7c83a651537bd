"""A bank of clean plates, rendered before training, because rendering is slower than training.

python -m training.reader.bank --folder /tmp/plate-bank --shards 10 --plates 3000 --seed 1
"""

from __future__ import annotations

import argparse
import pickle
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_agent.anpr.recognition.character_detection import ALPHABET
from training.plates.render import RenderedPlate, render_detailed

MAX_WIDTH_PX = 360
REGIONS = ("us", "eu", "gb", "br", "other")
_OUTSIDE_EU_LOOKS = {"us", "gb", "br", "other"}


@dataclass(frozen=True, slots=True)
class BankedPlate:
    """A rendered plate, compressed."""

    jpeg: bytes
    boxes: np.ndarray
    """``(N, 4)`` x0, y0, x1, y1 of each character, pixels"""
    classes: np.ndarray
    """``(N,)`` index into ALPHABET"""
    region: int
    size: tuple[int, int]
    """width, height in pixels"""

    @property
    def text(self) -> str:
        return "".join(ALPHABET[c] for c in self.classes)


@dataclass(frozen=True, slots=True)
class RealPlate:
    """A photographed plate with its surroundings (see ``real``)."""

    png: bytes
    box: np.ndarray
    """x0, y0, x1, y1 of the plate in the picture, pixels"""
    boxes: np.ndarray
    """``(N, 4)`` x0, y0, x1, y1 of each character"""
    classes: np.ndarray
    """``(N,)`` index into ALPHABET"""
    region: int


def pack(plate: RenderedPlate) -> BankedPlate:
    """Reduce a plate to the resolution that training needs, and compress it at high quality."""
    image = plate.image
    zoom = min(1.0, MAX_WIDTH_PX / image.shape[1])
    if zoom < 1:
        image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 93])[1].tobytes()
    boxes = np.array([(g.x0, g.y0, g.x1, g.y1) for g in plate.glyphs], np.float32) * zoom
    classes = np.array([ALPHABET.index(g.char) for g in plate.glyphs], np.int64)
    region = plate.region if plate.region in _OUTSIDE_EU_LOOKS else "eu"
    return BankedPlate(jpeg, boxes, classes, REGIONS.index(region), (image.shape[1], image.shape[0]))


def render_shard(
    seed: int, plates: int, *, fonts: str | None = None, regions: tuple[str, ...] = ()
) -> list[BankedPlate]:
    """Return plates of one seed, of the usual mixture of regions or of the given ones."""
    rng = np.random.default_rng(seed)
    return [
        pack(render_detailed(rng, fonts=fonts, region=regions[number % len(regions)] if regions else None))
        for number in range(plates)
    ]


def load_shard(path: Path) -> list[BankedPlate]:
    """Read a shard written by ``main``. Pickle is safe for files of our own."""
    return pickle.loads(path.read_bytes())


def load_validation(bank: Path) -> list[BankedPlate]:
    """Read the plates in fonts that are not used in training."""
    return [plate for path in sorted(bank.glob("validation-*.pickle")) for plate in load_shard(path)]


class DrawnPlates:
    """The plates of a bank to which shards may be added during training."""

    def __init__(self, bank: Path) -> None:
        self._bank = bank
        self._plates: list[BankedPlate] = []
        self._seen: set[Path] = set()

    def load_new_shards(self) -> None:
        """Read the shards that were added to the bank."""
        for path in sorted(self._bank.glob("shard-*.pickle")):
            if path not in self._seen:
                self._seen.add(path)
                self._plates += load_shard(path)

    def any(self, rng: np.random.Generator) -> BankedPlate:
        """Return a random plate."""
        return self._plates[rng.integers(len(self._plates))]


def load_real(bank: Path, *, held_out: bool) -> list[RealPlate]:
    """Read the photographed plates that ``real`` wrote to the bank; an empty list if there are none."""
    path = bank / ("held-out-real.pickle" if held_out else "real.pickle")
    return pickle.loads(path.read_bytes()) if path.is_file() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--plates", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fonts", default=None)
    parser.add_argument("--regions", nargs="*", default=(), help="us europe gb br other; all by default")
    parser.add_argument("--prefix", default="shard")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    for number in range(options.shards):
        shard = render_shard(
            options.seed * 1000 + number, options.plates, fonts=options.fonts, regions=tuple(options.regions)
        )
        path = options.folder / f"{options.prefix}-{options.seed:03d}-{number:03d}.pickle"
        path.with_suffix(".part").write_bytes(pickle.dumps(shard))
        path.with_suffix(".part").rename(path)
        print(path, flush=True)


if __name__ == "__main__":
    from training.reader.bank import main as run  # so that pickled classes are those of this module, not of __main__

    run()
