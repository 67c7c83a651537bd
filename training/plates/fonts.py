"""Glyph masks of open-licensed fonts, which are downloaded once into a cache.

Sources: ``@fontsource/*`` packages (OFL-1.1 or Apache-2.0) through ``npm pack`` and three Debian font packages
(OFL-1.1, Apache-2.0) through ``apt-get download``. They are not committed. The cache is ``$VEDETTE_FONTS`` or
``~/.cache/vedette-fonts``.

    python -m training.plates.fonts          # fill the cache
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.plates.font_tables import OTHER_FONTS, PLATE_FONTS, SCRIPT_FONTS

MASK_CAP_PX = 96

DEBIAN_PACKAGES = ("fonts-opendin", "fonts-routed-gothic", "fonts-roboto-fontface")
DEBIAN_FILES = {
    "opendin": "usr/share/fonts/truetype/opendin/OSP-DIN.ttf",
    "routed-gothic": "usr/share/fonts/truetype/routed-gothic/routed-gothic.ttf",
    "routed-gothic-narrow": "usr/share/fonts/truetype/routed-gothic/routed-gothic-narrow.ttf",
    "roboto-condensed-bold": "usr/share/fonts-roboto-fontface/fonts/roboto-condensed/Roboto-Condensed-Bold.ttf",
}


def cache_folder() -> Path:
    """Return the folder of the downloaded fonts."""
    return Path(os.environ.get("VEDETTE_FONTS", Path.home() / ".cache" / "vedette-fonts"))


def download() -> None:
    """Download every font package that is not in the cache; npm and apt-get must be on PATH."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    tables = (*PLATE_FONTS.values(), SCRIPT_FONTS, OTHER_FONTS)
    names = {name for table in tables for name, _ in table}
    for name in sorted(name for name in names if not name.startswith("debian:")):
        if (folder / name).is_dir():
            continue
        subprocess.run(["npm", "pack", f"@fontsource/{name}"], cwd=folder, check=True, capture_output=True)
        packed = next(folder.glob(f"fontsource-{name}-[0-9]*.tgz"))
        with tarfile.open(packed) as archive:
            members = [m for m in archive.getmembers() if m.name.endswith("-normal.woff") and "-latin-" in m.name]
            archive.extractall(folder / name, members=members, filter="data")
        packed.unlink()
    if not (folder / "debian").is_dir():
        subprocess.run(["apt-get", "download", *DEBIAN_PACKAGES], cwd=folder, check=True, capture_output=True)
        for package in folder.glob("fonts-*.deb"):
            subprocess.run(["dpkg-deb", "-x", package.name, "debian"], cwd=folder, check=True)
            package.unlink()


def font_file(name: str, weight: int) -> Path:
    """Return the file of a font; raise FileNotFoundError if it is not downloaded."""
    if name.startswith("debian:"):
        path = cache_folder() / "debian" / DEBIAN_FILES[name.removeprefix("debian:")]
    else:
        path = cache_folder() / name / "package" / "files" / f"{name}-latin-{weight}-normal.woff"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run `python -m training.plates.fonts` first")
    return path


@dataclass(frozen=True, slots=True)
class Glyph:
    """One character as a mask, at the scale at which capital letters are ``MASK_CAP_PX`` high."""

    mask: np.ndarray
    """uint8, cropped to the glyph."""
    top_px: int
    """Distance from the top of a capital letter down to the top of the glyph."""
    left_px: float
    advance_px: float


class Typeface:
    """The plate alphabet of one font at one weight."""

    def __init__(self, name: str, weight: int) -> None:
        probe = ImageFont.truetype(str(font_file(name, weight)), 200)
        cap = probe.getbbox("H")
        self._font = ImageFont.truetype(
            str(font_file(name, weight)), max(8, round(200 * MASK_CAP_PX / (cap[3] - cap[1])))
        )
        self._cap_top = self._font.getbbox("H")[1]
        self._glyphs: dict[str, Glyph] = {}

    def glyph(self, char: str) -> Glyph:
        """Return the mask of one character."""
        if char not in self._glyphs:
            left, top, right, bottom = self._font.getbbox(char)
            image = Image.new("L", (right - left + 2, bottom - top + 2))
            ImageDraw.Draw(image).text((1 - left, 1 - top), char, font=self._font, fill=255)
            self._glyphs[char] = Glyph(
                np.asarray(image), int(top - self._cap_top), float(left), float(self._font.getlength(char))
            )
        return self._glyphs[char]


@lru_cache(maxsize=256)
def typeface(name: str, weight: int) -> Typeface:
    """Return a typeface, loaded once."""
    return Typeface(name, weight)


def pick_typeface(rng: np.random.Generator, group: str) -> Typeface:
    """Return a random typeface of a group; ``any``: of all plain fonts."""
    fonts = OTHER_FONTS if group == "any" else PLATE_FONTS[group]
    name, weights = fonts[rng.integers(len(fonts))]
    return typeface(name, int(rng.choice(weights)))


@lru_cache(maxsize=512)
def _script_font(name: str, weight: int, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font_file(name, weight)), size)


def small_text(rng: np.random.Generator, text: str, height_px: float) -> np.ndarray:
    """Return a mask of text (state name, slogan, dealer) in a random display or script font."""
    name, weights = SCRIPT_FONTS[rng.integers(len(SCRIPT_FONTS))]
    font = _script_font(name, int(rng.choice(weights)), max(6, 2 * round(height_px / 2)))
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(image).text((-left, -top), text, font=font, fill=255)
    return np.asarray(image)


SYMBOLS = "".join(
    chr(code)
    for first, last in (
        (0x2600, 0x2617),
        (0x261A, 0x262F),
        (0x2654, 0x2671),
        (0x2690, 0x26A9),
        (0x2701, 0x2712),
        (0x2719, 0x274B),
        (0x2763, 0x2767),
    )
    for code in range(first, last + 1)
)
SYMBOL_FONT = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf")
"""DejaVu (Bitstream Vera licence), from Debian's fonts-dejavu-core. Without it there are fewer kinds of decoration."""


@lru_cache(maxsize=512)
def _symbol(char: str) -> np.ndarray | None:
    font = ImageFont.truetype(str(SYMBOL_FONT), 96)
    left, top, right, bottom = font.getbbox(char)
    if right - left < 8 or bottom - top < 8:
        return None
    image = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(image).text((-left, -top), char, font=font, fill=255)
    return np.asarray(image)


def symbol(rng: np.random.Generator) -> np.ndarray | None:
    """Return the mask of a random symbol (sun, anchor, flower, horse …); None if the font is not installed."""
    return _symbol(SYMBOLS[rng.integers(len(SYMBOLS))]) if SYMBOL_FONT.is_file() else None


if __name__ == "__main__":
    download()
