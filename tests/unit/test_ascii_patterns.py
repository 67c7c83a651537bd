r"""Regular expressions state whether ``\d``, ``\w``, ``\s`` and ``\b`` match ASCII or all scripts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("shared", "cloud_functions", "edge_agent", "infra")
_OPEN_CLASS = re.compile(r"(?<!\\)(?:\\\\)*\\[dDwWsSbB]")
_REGEX_CALLS = frozenset({"compile", "fullmatch", "match", "search", "sub", "subn", "split", "findall", "finditer"})


def _patterns(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Yield the line, the text, and whether the script is stated, of each pattern with such a class."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func)
        if function.startswith("re.") and function.removeprefix("re.") in _REGEX_CALLS:
            call = ast.unparse(node)
            texts = [each for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant)]
            is_stated = "re.ASCII" in call or "re.UNICODE" in call
        else:
            texts = [keyword.value for keyword in node.keywords if keyword.arg == "pattern"]
            is_stated = False  # the engine of pydantic-core has no flags: write [0-9]
        for text in texts:
            if isinstance(text, ast.Constant) and isinstance(text.value, str | bytes):
                value = text.value if isinstance(text.value, str) else text.value.decode("latin-1")
                if _OPEN_CLASS.search(value):
                    yield node.lineno, value, is_stated


@pytest.mark.parametrize("package", PACKAGES)
def test_cloud_c5_every_pattern_states_its_script(package: str) -> None:
    r"""``\d`` alone matches Arabic digits, in Python and in pydantic: patterns state re.ASCII, re.UNICODE or [0-9]."""
    unstated = [
        f"{path.relative_to(ROOT)}:{line} {text}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, text, is_stated in _patterns(path)
        if not is_stated
    ]
    assert unstated == []


def test_cloud_c5_patterns_are_found(tmp_path: Path) -> None:
    """Patterns of each kind are found, with and without a flag, and an escaped backslash is not a class."""
    source = 'import re\nre.compile(r"\\d")\nre.search(r"\\s", "", re.ASCII)\nField(pattern=r"^\\w$")\n'
    source += 're.compile(r"\\\\d")\n'
    (tmp_path / "one.py").write_text(source, encoding="utf-8")
    assert [(line, is_stated) for line, _, is_stated in _patterns(tmp_path / "one.py")] == [
        (2, False),
        (3, True),
        (4, False),
    ]
