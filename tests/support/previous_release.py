"""The previous release, extracted from the history of the repository, and run in a process of its own.

It is the newest tag whose schema is older than this source's; without one, the commit before the newest migration was
added. Nothing records it, so nothing can be out of date.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_calls import http_api_event

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = "cloud_functions/db/migrations/versions"
_RUNNER = Path(__file__).with_name("release_runner.py")
_PARTS = ("shared", "cloud_functions")


def extract_previous_release(folder: Path) -> str:
    """Extract its source into ``folder``; return its schema's revision. Skips the test without the history."""
    newest = newest_revision(ROOT)
    commit = next(
        (tag for tag in _git("tag", "--merged", "HEAD", "--sort=-creatordate").split() if _is_older(tag, newest)), None
    )
    commit = commit or _before_migration(newest)
    archive = subprocess.run(["git", "archive", commit, *_PARTS], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return newest_revision(folder)


def newest_revision(tree: Path) -> str:
    """Return the newest revision of the schema in a source tree."""
    return max(path.name[1:5] for path in (tree / VERSIONS).glob("r[0-9]*.py"))


def _before_migration(revision: str) -> str:
    [file] = (ROOT / VERSIONS).glob(f"r{revision}_*.py")
    added = _git("log", "-1", "--no-renames", "--diff-filter=A", "--format=%H", "--", str(file.relative_to(ROOT)))
    known = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{added or 'HEAD'}^"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if known.returncode != 0:
        pytest.skip("needs the commits before the newest migration: this is no clone, or a shallow one")
    return known.stdout.strip()


def _is_older(commit: str, revision: str) -> bool:
    numbers = re.findall(r"/r([0-9]{4})_", _git("ls-tree", "--name-only", commit, f"{VERSIONS}/"))
    return bool(numbers) and max(numbers) < revision


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs the history of the repository: {done.stderr.strip()}")
    return done.stdout.strip()


class RunningRelease:
    """Ingest and API of a release in a process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ingest(self, invocation: dict[str, Any]) -> dict[str, Any]:
        return self._request("ingest", invocation)

    def get(self, path: str, query: str = "") -> tuple[int, Any]:
        """Return status and content of the answer."""
        result = self._request("api", http_api_event("GET", path, query=query, headers={"accept-encoding": "identity"}))
        assert "error" not in result, result
        return result["statusCode"], json.loads(result["body"])

    def _request(self, kind: str, event: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([kind, event]) + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the process has ended with {self._process.wait(10)}"
        return json.loads(line)

    @classmethod
    @contextmanager
    def start(cls, tree: Path, *, url: str) -> Generator[RunningRelease]:
        """Run the release in ``tree`` on a database; end it afterwards."""
        variables = {
            "DATABASE_URL": url,
            "SNAPSHOT_BUCKET": "pictures",
            "PYTHONPATH": str(tree),
            "AWS_REGION": "eu-central-1",
            "POWERTOOLS_TRACE_DISABLED": "true",
        }
        process = subprocess.Popen(
            [sys.executable, "-P", str(_RUNNER)],
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                running = cls(process)
                assert Path(running._line()).is_relative_to(tree)
                yield running
            finally:
                process.kill()
