"""``python -m infra.packaging.build FUNCTION FOLDER``: builds one function's artefact, for ``sam build`` and others.

Libraries come from that function's hashed lock file, as wheels for Lambda's platform; ``--from-environment`` copies
them from the running environment (tests, machines without a package index). Everything is compiled to ``.pyc``, because
neither SAM nor Lambda does: without these files an import takes twice as long.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from infra.packaging.functions import FUNCTIONS, LEFT_OUT, PLATFORM, PYTHON_VERSION, FunctionCode, function_code
from shared.errors import ConfigurationError, VedetteError

ROOT = Path(__file__).resolve().parents[2]
_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)(?:\s*;\s*(.+?))?\s*\\?$", re.MULTILINE | re.ASCII)


def build(name: str, folder: Path, *, from_environment: bool = False) -> None:
    """Build the artefact of one function in ``folder``, which is emptied first.

    Raises:
        ConfigurationError: unknown function, or no interpreter of Lambda's Python version to compile with.
    """
    code = function_code(name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if from_environment:
        _copy_installed(code, folder)
        interpreter = sys.executable
    else:
        interpreter = _interpreter()
        _download(code, folder)
    for part in code.parts:
        _copy(ROOT / part, folder / part, left_out=code.left_out)
    _prune(folder)
    _compile(folder, interpreter)


def _copy(source: Path, target: Path, *, left_out: Sequence[str] = LEFT_OUT) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*left_out))
    else:
        shutil.copy2(source, target)


def _download(code: FunctionCode, folder: Path) -> None:
    """Install the locked wheels for Lambda's platform with uv, independent of this machine's."""
    command = [
        *_uv(),
        "pip",
        "install",
        "--quiet",
        "--require-hashes",
        "--only-binary=:all:",
        f"--python-platform={PLATFORM}",
        f"--python-version={PYTHON_VERSION}",
        f"--target={folder}",
        f"--requirements={ROOT / code.requirements}",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        raise ConfigurationError(f"the libraries of {code.handler} could not be fetched:\n{done.stderr[-2000:]}")


def _copy_installed(code: FunctionCode, folder: Path) -> None:
    """Copy the locked distributions out of the running environment; their versions must be the locked ones."""
    locked = (ROOT / code.requirements).read_text(encoding="utf-8")
    for name, version, marker in _PINNED.findall(locked):
        try:
            installed = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if marker:
                continue  # for another platform or Python
            raise ConfigurationError(f"{name} is locked for this function but not installed here") from None
        if installed.version != version:
            raise ConfigurationError(f"{name} is locked at {version}, but {installed.version} is installed here")
        for file in installed.files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                _copy(Path(str(installed.locate_file(file))), folder / file)


def _prune(folder: Path) -> None:
    """Remove files that are never imported: console scripts, tests of libraries, type stubs."""
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for path in [*folder.rglob("tests"), *folder.rglob("__pycache__")]:
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.rglob("*.pyi"):
        path.unlink()


def _compile(folder: Path, interpreter: str) -> None:
    """Compile every module; with ``unchecked-hash``, Python ignores source timestamps, which zip changes."""
    command = [interpreter, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        raise ConfigurationError(f"could not compile:\n{(done.stdout + done.stderr)[-2000:]}")


def _uv() -> list[str]:
    """Return the path of uv: next to this interpreter, or on PATH."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise ConfigurationError("uv is needed to fetch the libraries: run `make setup`, or put uv on PATH")
    return [found]


def _interpreter() -> str:
    """Return an interpreter of Lambda's Python version; only that version writes compatible ``.pyc`` files."""
    if sys.version_info[:2] == tuple(int(part) for part in PYTHON_VERSION.split(".")):
        return sys.executable
    found = subprocess.run([*_uv(), "python", "find", PYTHON_VERSION], check=False, capture_output=True, text=True)  # noqa: S603
    if found.returncode != 0:
        raise ConfigurationError(
            f"Python {PYTHON_VERSION} is needed to compile for Lambda: `uv python install {PYTHON_VERSION}`"
        )
    return found.stdout.strip()


def main(arguments: list[str] | None = None) -> int:
    """Build one artefact; print errors as one line."""
    parser = argparse.ArgumentParser(prog="python -m infra.packaging.build", description=__doc__)
    parser.add_argument("function", choices=sorted(FUNCTIONS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--from-environment", action="store_true", help="copy installed libraries, fetch nothing")
    chosen = parser.parse_args(arguments)
    try:
        build(chosen.function, chosen.folder, from_environment=chosen.from_environment)
    except VedetteError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
