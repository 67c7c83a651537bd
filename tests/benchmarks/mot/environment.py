"""A separate Python environment for the scorer, because ``motmetrics`` needs an older numpy than the project."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / ".bench" / "mot-venv"
NEEDS = ("motmetrics==1.4.0", "numpy<2")


def scorer_python() -> Path:
    """Return an interpreter with ``motmetrics``; create its environment on the first call."""
    python = FOLDER / "bin" / "python"
    ready = FOLDER / ".ready"
    if not ready.exists() or ready.read_text(encoding="utf-8") != "\n".join(NEEDS):
        print(f"Making {FOLDER.relative_to(ROOT)} with {', '.join(NEEDS)} ...", file=sys.stderr)
        uv = _uv()
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(FOLDER)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *NEEDS], check=True)
        ready.write_text("\n".join(NEEDS), encoding="utf-8")
    return python


def ground_truth(sequence: str) -> Path:
    """Return the ground truth of a sequence that ``motmetrics`` includes."""
    (package,) = FOLDER.glob("lib/python*/site-packages/motmetrics")
    return package / "data" / sequence / "gt.txt"


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if not uv:
        raise SystemExit("uv is needed to make the scorer's environment; run make setup first.")
    return uv
