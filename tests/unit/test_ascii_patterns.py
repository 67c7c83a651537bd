r"""Regular expressions say whether ``\d``, ``\w``, ``\s`` and ``\b`` mean ASCII or every script."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("shared", "cloud_functions", "edge_agent", "infra")
_OPEN_CLASS = re.compile(r"(?<!\\)(?:\\\\)*\\[dDwWsSbB]")
_REGEX_CALLS = frozenset({"compile", "fullmatch", "match", "search", "sub", "subn", "split", "findall", "finditer"})


def _patterns(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Return line, text and whether the script is said, of each pattern with an open class in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func)
        if function.startswith("re.") and function.removeprefix("re.") in _REGEX_CALLS:
            told = ast.unparse(node)
            texts = [one for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant)]
            decided = "re.ASCII" in told or "re.UNICODE" in told
        else:
            texts = [keyword.value for keyword in node.keywords if keyword.arg == "pattern"]
            decided = False  # pydantic-core's engine knows no flag: write [0-9]
        for text in texts:
            if isinstance(text, ast.Constant) and isinstance(text.value, str | bytes):
                value = text.value if isinstance(text.value, str) else text.value.decode("latin-1")
                if _OPEN_CLASS.search(value):
                    yield node.lineno, value, decided


@pytest.mark.parametrize("room", ROOMS)
def test_cloud_c5_every_pattern_says_which_digits_it_takes(room: str) -> None:
    r"""``\d`` alone takes Arabic digits, in Python and in pydantic: a pattern says re.ASCII, re.UNICODE or [0-9]."""
    undecided = [
        f"{path.relative_to(ROOT)}:{line} {text}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for line, text, decided in _patterns(path)
        if not decided
    ]
    assert undecided == []


def test_cloud_c5_the_walk_finds_patterns(tmp_path: Path) -> None:
    """A pattern of each kind, with and without a decision, so that the walk above is known to see them."""
    source = 'import re\nre.compile(r"\\d")\nre.search(r"\\s", "", re.ASCII)\nField(pattern=r"^\\w$")\n'
    source += 're.compile(r"\\\\d")\n'
    (tmp_path / "one.py").write_text(source, encoding="utf-8")
    assert [(line, decided) for line, _, decided in _patterns(tmp_path / "one.py")] == [
        (2, False),
        (3, True),
        (4, False),
    ]
