"""``make test-all``: runs the tests on every supported Python found on this machine, each in its own environment.

Standard library only, because it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
"""Versions to look for; pyproject.toml's classifiers name those that pass."""
ROOT = Path(__file__).resolve().parents[1]
_ASK_VERSION = "import sys, venv, ensurepip, ssl, sqlite3; print('%d.%d' % sys.version_info[:2])"
"""Imports what ``make setup`` needs, and prints the version."""
_ANSWER_S = 60.0
_PASSED, _FAILED, _TESTED = "passed", "FAILED", "tested already"


def candidates(version: str, environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield possible paths of Python ``version``: each ``pythonX.Y`` on PATH, then pyenv's, newest first."""
    for folder in environment.get("PATH", "").split(os.pathsep):
        path = Path(folder or ".", f"python{version}")
        if path.is_file() and os.access(path, os.X_OK):
            yield path
    root = Path(environment.get("PYENV_ROOT") or Path(environment.get("HOME", "/"), ".pyenv"))
    found = [path for path in root.glob(f"versions/{version}.*") if re.fullmatch("[0-9.]+", path.name)]
    for folder in sorted(found, key=lambda path: [int(part) for part in path.name.split(".")], reverse=True):
        yield folder / "bin" / f"python{version}"


def runs_as(path: Path, version: str) -> bool:
    """Return whether ``path`` runs and is that version; a version manager's shim may exist without it."""
    try:
        done = subprocess.run(  # noqa: S603
            [path, "-c", _ASK_VERSION], capture_output=True, text=True, check=False, timeout=_ANSWER_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == version


def find_python(version: str, environment: Mapping[str, str]) -> Path | None:
    """Return an interpreter of ``version`` that works; None if there is none."""
    return next((path for path in candidates(version, environment) if runs_as(path, version)), None)


@dataclass(frozen=True, slots=True)
class Suite:
    """One run of the tests."""

    version: str
    python: Path
    tests: Sequence[str]
    """Arguments for pytest; empty for the whole suite."""


def run_suite(suite: Suite) -> bool:
    """Run the tests with ``make test-one`` in ``.venv-X.Y``; return whether all passed."""
    folder = ROOT / f".venv-{suite.version}"
    if folder.exists() and not runs_as(folder / "bin/python", suite.version):
        shutil.rmtree(folder)  # its interpreter was removed or replaced since
    command = ["make", "--no-print-directory", "test-one", f"PYTHON={suite.python}", f"VENV={folder.name}"]
    done = subprocess.run([*command, f"ARGS={shlex.join(suite.tests)}"], cwd=ROOT, check=False)  # noqa: S603
    return done.returncode == 0


def main(arguments: Sequence[str], *, environment: Mapping[str, str], run: Callable[[Suite], bool] = run_suite) -> int:
    """Test each version that is found and name the missing ones; return 1 if one fails or none is found."""
    parser = argparse.ArgumentParser(prog="make test-all", description=__doc__)
    parser.add_argument("--except", dest="tested", metavar="X.Y", help="a version that was tested already")
    parser.add_argument("--newest", action="store_true", help="only the newest version that is found")
    parser.add_argument("tests", nargs=argparse.REMAINDER, help="arguments of pytest; none: the whole suite")
    options = parser.parse_args(arguments)
    tests = [argument for argument in options.tests if argument != "--"]
    versions = _newest(environment) if options.newest else VERSIONS
    results = {version: _result(version, options.tested, tests, environment, run) for version in versions}
    for version, result in results.items():
        _say(f"Python {version}: {result}")
    return 0 if {_PASSED, _TESTED} & set(results.values()) and _FAILED not in results.values() else 1


def _newest(environment: Mapping[str, str]) -> Sequence[str]:
    """Return the newest version that is found, or all of them where none is."""
    return [version for version in reversed(VERSIONS) if find_python(version, environment)][:1] or VERSIONS


def _result(
    version: str, tested: str | None, tests: Sequence[str], environment: Mapping[str, str], run: Callable[[Suite], bool]
) -> str:
    if version == tested:
        return _TESTED
    python = find_python(version, environment)
    if python is None:
        return "not found on PATH or in pyenv"
    _say(f"== Python {version} ({python})")
    return _PASSED if run(Suite(version=version, python=python, tests=tests)) else _FAILED


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], environment=os.environ))
