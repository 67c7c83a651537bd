"""Other plate readers, to be timed beside ours: RapidOCR in a Python of its own, OpenALPR if this machine has it.

Each answers one picture at a time, so that ours and theirs can be asked in turn and another load on the machine falls
on all alike.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests.benchmarks.anpr.material import AbsentError

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / ".bench" / "rapidocr-venv"
NEEDS = ("rapidocr>=3.4", "onnxruntime>=1.20", "opencv-python-headless>=4.10")
"""The project's extra ``rapidocr``."""
WORKER = Path(__file__).with_name("rapidocr_worker.py")


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """What a peer read, and what it took."""

    texts: tuple[str, ...]
    wall_s: float
    processor_s: float


class RapidOcr:
    """RapidOCR with one thread, in a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [str(rapidocr_python()), str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        hello = self._answer()
        self.version = f"RapidOCR {hello['version']}"

    def ask(self, picture: Path, what: Literal["picture", "crop"]) -> PeerAnswer:
        """Find and read all text in a picture, or read a crop as one line of text."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"file": str(picture), "what": what}) + "\n")
        self._process.stdin.flush()
        said = self._answer()
        return PeerAnswer(tuple(said["texts"]), said["wall_s"], said["processor_s"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AbsentError(f"RapidOCR ended with status {self._process.wait()}")
        return json.loads(line)


class OpenAlpr:
    """The ``alpr`` program; each picture is a process, as its users call it."""

    def __init__(self) -> None:
        program = shutil.which("alpr")
        if program is None:
            raise AbsentError("there is no `alpr` on the PATH")
        self._program = program
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
        self.version = f"OpenALPR {said.split()[-1] if said.split() else ''}".strip()

    def ask(self, picture: Path, country: str) -> PeerAnswer:
        """Find and read the plates in a picture."""
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            [self._program, "-j", "-n", "1", "-c", country, str(picture)], capture_output=True, text=True, check=False
        )
        wall_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            results = json.loads(done.stdout)["results"]
        except (ValueError, KeyError):
            results = []
        used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return PeerAnswer(tuple(result["plate"] for result in results), wall_s, used_s)


def rapidocr_python() -> Path:
    """Return an interpreter that has RapidOCR, making its environment the first time; AbsentError where that fails."""
    python, ready = FOLDER / "bin" / "python", FOLDER / ".ready"
    if ready.exists() and ready.read_text(encoding="utf-8") == "\n".join(NEEDS):
        return python
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        raise AbsentError("RapidOCR's environment needs uv; run make setup first")
    print(f"Making {FOLDER.relative_to(ROOT)} with {', '.join(NEEDS)} ...", file=sys.stderr)
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, FOLDER],
        [uv, "pip", "install", "--quiet", "--python", python, *NEEDS],
    ):
        made = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if made.returncode:
            raise AbsentError(f"RapidOCR could not be installed: {made.stderr.strip().splitlines()[-1]}")
    ready.write_text("\n".join(NEEDS), encoding="utf-8")
    return python
