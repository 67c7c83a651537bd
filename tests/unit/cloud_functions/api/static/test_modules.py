"""Runs the tests of the dashboard's pure modules with deno, which is a wheel of the dev group."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cloud_functions.api.api_types import render
from cloud_functions.api.dashboard.static_files import FOLDER

ROOT = Path(__file__).resolve().parents[5]
_PARTS = ("model", "app", "ui", "views")


@pytest.fixture(scope="module")
def deno() -> str:
    """The path of deno beside this Python, or on PATH."""
    beside = Path(sys.executable).with_name("deno")
    found = str(beside) if beside.is_file() else shutil.which("deno")
    if found is None:
        pytest.skip("needs deno, a wheel of the dev group, which is not installed for this Python")
    return found


def test_the_pure_modules(deno: str, tmp_path: Path) -> None:
    """``model_test.js`` passes. Nothing is fetched: the modules import each other and what deno contains."""
    environment = {**os.environ, "DENO_DIR": str(tmp_path), "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"}
    folder = Path(__file__).parent.relative_to(ROOT)
    command = [deno, "test", "--no-check", "--no-remote", "--no-npm", "--quiet", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"ok \| \d{2,} passed", done.stdout), done.stdout


def test_the_types_of_the_api_are_current() -> None:
    """``make schemas`` was run after the last change of a response that the dashboard reads."""
    assert (FOLDER / "api_types.d.ts").read_text(encoding="utf-8") == render(), "run: make schemas"


def test_no_module_makes_markup_of_text() -> None:
    """No module sets HTML or runs text as code: what a device sent can only become text."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|parseFromString"
        r"|createContextualFragment|setHTML|javascript:"
    )
    found = [
        f"{path.name}: {match[0]}"
        for path in FOLDER.rglob("*.js")
        for match in forbidden.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_nothing_comes_from_elsewhere() -> None:
    """No file names another host, except the namespace of SVG; modules import only each other."""
    for path in FOLDER.rglob("*"):
        if path.suffix not in (".js", ".css", ".html", ".svg"):
            continue
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"https?://[^\s\"'`)]+", text)) <= {"http://www.w3.org/2000/svg"}, path
        imported = re.findall(r"""^import\b[^;]*?["']([^"']+)["'];""", text, re.MULTILINE)
        assert [name for name in imported if not name.startswith(".")] == [], path
        assert "import(" not in text.replace("@import", ""), path


def test_the_modules_are_small_and_in_their_layers() -> None:
    """``model`` imports nothing of the page; ``app`` imports ``model``; ``ui`` both; ``views`` all."""
    for path in FOLDER.rglob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 260, path
        if path.parent == FOLDER:
            continue
        above = _PARTS[_PARTS.index(path.parent.name) + 1 :]
        assert not [part for part in above if f'from "../{part}/' in text], path
