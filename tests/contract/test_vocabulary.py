"""The code and the docs use the field's terms and none of the private words that these replaced."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]

REPLACED: Final = {
    "agreement": "fusion",
    "appointment": "scheduled task",
    "arrivals": "validation",
    "arriving": "validation",
    "attribution": "vehicle association",
    "belief": "plate score",
    "bridge": "iot rule",
    "dealt": "batch result",
    "feed": "event source",
    "feeds": "event sources",
    "finder": "detector",
    "followed": "tracked object",
    "footing": "zone state",
    "lane": "queue",
    "lanes": "queues",
    "look": "slicing",
    "misfit": "cost",
    "passage": "plate track",
    "passages": "plate tracks",
    "portrait": "best snapshot",
    "portraits": "best snapshots",
    "restless": "has moving objects",
    "rig": "harness",
    "serials": "plate syntax",
    "sieve": "detection filter",
    "sighting": "observation",
    "sightings": "observations",
    "spoil": "augment",
    "spotting": "character detection",
    "tally": "usage counters",
    "tell": "emit or report",
    "telling": "emitting",
    "tells": "emits or reports",
    "told": "emitted or reported",
    "untold": "pending",
    "whoever": "the caller, or the thing itself",
}
"""Private words that are forbidden as parts of names, and the field's term for each."""

IN_TEXT_TOO: Final = (
    "belief", "misfit", "portrait", "portraits", "sieve", "sighting", "sightings", "spotting", "tell", "telling",
    "tells", "told", "untold", "whoever",
)  # fmt: skip
"""The words that are also forbidden in text; the others are plain English there."""

_VERSIONS: Final = "cloud_functions/db/migrations/versions/"
ALLOWED: Final[dict[tuple[str, str], str]] = {
    (f"{_VERSIONS}r0006_protected_plates.py", "whoever"): "the SQL of a released migration",
    ("tests/benchmarks/mot/scenes.py", "arrivals"): "the rate of a Poisson process",
    ("tests/support/certificates.py", "agreement"): "key agreement, a key usage of X.509",
}
"""(file, word) pairs that are allowed, and the reason."""

_WORD: Final = re.compile(r"[A-Za-z][a-z]+|[A-Z]+(?![a-z])")
_PROSE: Final = re.compile(r"(?<!\.)\b(" + "|".join(IN_TEXT_TOO) + r")\b", re.IGNORECASE)


def _files() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [name for name in listed.splitlines() if name.endswith((".py", ".md")) and (ROOT / name).is_file()]
    mine = Path(__file__).resolve().relative_to(ROOT).as_posix()
    kept = {mine, "CHANGELOG.md"}  # this list itself, and the text of earlier releases
    return [name for name in names if name not in kept]


def _words(name: str, text: str) -> Iterator[str]:
    for match in _PROSE.finditer(text):
        yield match[1].lower()
    if name.endswith(".py"):
        for node in ast.walk(ast.parse(text)):
            named = getattr(node, "name", None) or getattr(node, "id", None) or getattr(node, "arg", None)
            for word in _WORD.findall(named) if isinstance(named, str) else ():
                yield word.lower()
    yield from (word.lower() for word in _WORD.findall(Path(name).stem))


def test_no_private_word_is_used() -> None:
    """No name, comment, docstring, message or page contains one, except where the list allows it."""
    left = [
        f"{name}: {word} (say {REPLACED[word]})"
        for name in _files()
        for word in sorted(set(_words(name, (ROOT / name).read_text(encoding="utf-8"))) & REPLACED.keys())
        if (name, word) not in ALLOWED
    ]
    assert not left, "\n".join(left)


@pytest.mark.parametrize(
    "text", ["def tell_it(): ...", "# nobody is told", "class LookSettings: ...", "x = ToldPlates()"]
)
def test_the_search_finds_private_words(text: str) -> None:
    """It finds them as parts of names in either style, and in comments."""
    assert set(_words("made.py", text)) & REPLACED.keys()
