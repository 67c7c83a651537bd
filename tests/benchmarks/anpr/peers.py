"""Other plate readers to compare with: RapidOCR in its own virtual environment, and OpenALPR if it is installed.

Each processes one image per call, so that all readers run in turn and other load on the machine affects all equally.
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
REQUIREMENTS = ("rapidocr>=3.4", "onnxruntime>=1.20", "opencv-python-headless>=4.10")
"""Requirements of the project's extra ``rapidocr``."""
WORKER = Path(__file__).with_name("rapidocr_worker.py")


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """The texts that a reader returned, and the time that it took."""

    texts: tuple[str, ...]
    wall_s: float
    processor_s: float


class RapidOcr:
    """RapidOCR with one thread, in a separate process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [str(rapidocr_python()), str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        greeting = self._answer()
        self.version = f"RapidOCR {greeting['version']}"

    def read(self, picture: Path, what: Literal["picture", "crop"]) -> PeerAnswer:
        """Detect and read all text in an image, or read a crop as one line of text."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"file": str(picture), "what": what}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        return PeerAnswer(tuple(answer["texts"]), answer["wall_s"], answer["processor_s"])

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
    """The ``alpr`` program. It runs once per image, as in normal use."""

    def __init__(self) -> None:
        program = shutil.which("alpr")
        if program is None:
            raise AbsentError("`alpr` is not on the PATH")
        self._program = program
        output = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
        self.version = f"OpenALPR {output.split()[-1] if output.split() else ''}".strip()

    def read(self, picture: Path, country: str) -> PeerAnswer:
        """Detect and read the plates in an image."""
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
    """Return the interpreter of RapidOCR's environment, which is created on first use; raise AbsentError on failure."""
    python, ready = FOLDER / "bin" / "python", FOLDER / ".ready"
    if ready.exists() and ready.read_text(encoding="utf-8") == "\n".join(REQUIREMENTS):
        return python
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        raise AbsentError("RapidOCR's environment requires uv; run make setup first")
    print(f"Creating {FOLDER.relative_to(ROOT)} with {', '.join(REQUIREMENTS)} ...", file=sys.stderr)
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, FOLDER],
        [uv, "pip", "install", "--quiet", "--python", python, *REQUIREMENTS],
    ):
        result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if result.returncode:
            raise AbsentError(f"RapidOCR could not be installed: {result.stderr.strip().splitlines()[-1]}")
    ready.write_text("\n".join(REQUIREMENTS), encoding="utf-8")
    return python
