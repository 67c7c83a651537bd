"""The example in docs/design/rules.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[5] / "docs" / "design" / "rules.md"


def test_the_example_in_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """It runs as it is written, and prints a zone entry and a crossing."""
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(example, str(PAGE), "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("zone_entered yard None")
    assert said[1].startswith("line_crossed gate right")
