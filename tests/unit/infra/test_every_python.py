"""Every supported Python has the same dependencies, is tested by ``make test-all``, and is named everywhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from infra.every_python import VERSIONS, Suite, candidates, find_python, main

ROOT = Path(__file__).resolve().parents[3]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_python_a_lock_file_contains_one_version_of_each_package(lock: Path) -> None:
    """Every supported Python then runs the versions that are tested."""
    names = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", lock.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) > 5
    assert not {name for name in names if names.count(name) > 1}


def test_python_all_lock_files_have_the_same_versions() -> None:
    """The tests run with the versions that devices, functions and the one-machine stack install."""
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==(\S+)", lock.read_text("utf-8"), re.MULTILINE):
            versions.setdefault(name, set()).add(version)
    assert not {name: locked for name, locked in versions.items() if len(locked) > 1}


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    return tomllib.loads(text_of("pyproject.toml"))


def classified() -> list[str]:
    pattern = re.compile(r"Programming Language :: Python :: (\d+\.\d+)")
    return [match[1] for name in project()["project"]["classifiers"] if (match := pattern.fullmatch(name))]


def test_python_the_supported_versions_are_the_same_everywhere() -> None:
    """Classifiers, README, Makefile, requires-python, the tools' targets, CI and the functions' runtime agree."""
    versions = classified()
    lowest, highest = versions[0], versions[-1]
    tools = project()["tool"]
    makefile = text_of("Makefile")
    assert versions == [f"3.{minor}" for minor in range(int(lowest[2:]), int(highest[2:]) + 1)]
    assert project()["project"]["requires-python"] == f">={lowest}"
    assert tools["basedpyright"]["pythonVersion"] == lowest
    assert tools["ruff"]["target-version"] == f"py{lowest.replace('.', '')}"
    assert f"Python {lowest} to {highest}" in text_of("README.md")
    assert re.findall(r"python(3\.\d+)", makefile) == versions[::-1]
    assert f"sys.version_info < ({lowest.replace('.', ', ')})" in makefile
    assert f"needs Python {lowest} or newer" in makefile
    assert f"--python-version {lowest} " in makefile
    assert re.findall(r'"(3\.\d+)"', text_of(".github/workflows/check.yml")) == versions
    assert set(re.findall(r"Runtime: python(3\.\d+)", text_of("template.yaml"))) <= set(versions)
    assert set(versions) <= set(VERSIONS)


def script(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
    path.chmod(0o755)
    return path


def this_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def test_python_a_shim_that_fails_is_ignored(tmp_path: Path) -> None:
    """The shim of a version manager may be on PATH without its version. The installation of pyenv is found."""
    name = f"python{this_version()}"
    shim = script(tmp_path / "shims" / name, "echo 'pyenv: command not found' >&2", "exit 127")
    other_version = script(tmp_path / "bin" / name, "echo 2.7")
    script(tmp_path / "pyenv/versions" / f"{this_version()}.2" / "bin" / name, "exit 1")
    working = tmp_path / "pyenv/versions" / f"{this_version()}.1" / "bin" / name
    working.parent.mkdir(parents=True)
    working.symlink_to(sys.executable)
    environment = {"PATH": f"{shim.parent}{os.pathsep}{other_version.parent}", "PYENV_ROOT": str(tmp_path / "pyenv")}
    assert find_python(this_version(), environment) == working
    assert find_python("3.9", environment) is None


def test_python_candidates_are_path_first_then_newer_patches_of_pyenv(tmp_path: Path) -> None:
    """3.11.10 is newer than 3.11.9. Pre-releases and other implementations are ignored."""
    on_path = script(tmp_path / "bin/python3.11", "exit 0")
    for name in ("3.11.9", "3.11.10", "3.11-dev", "3.12.1", "3.11.4t"):
        script(tmp_path / "pyenv/versions" / name / "bin/python3.11", "exit 0")
    environment = {"PATH": str(on_path.parent), "PYENV_ROOT": str(tmp_path / "pyenv")}
    first, *others = candidates("3.11", environment)
    assert first == on_path
    assert [path.parts[-3] for path in others] == ["3.11.10", "3.11.9"]


class FakeMake:
    """Records each call, and fails for the given versions."""

    def __init__(self, *failing: str) -> None:
        self.calls: list[tuple[str, ...]] = []
        self._failing = failing

    def __call__(self, suite: Suite) -> bool:
        self.calls.append((suite.version, *suite.tests))
        return suite.version not in self._failing


@pytest.fixture
def three_versions(tmp_path: Path) -> dict[str, str]:
    """An environment with 3.11, 3.12 and 3.13 on PATH."""
    for version in ("3.11", "3.12", "3.13"):
        script(tmp_path / f"python{version}", f"echo {version}")
    return {"PATH": str(tmp_path), "PYENV_ROOT": str(tmp_path / "none")}


def test_python_every_version_that_is_found_is_tested(
    three_versions: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each runs the tests of the command line, and missing versions are named."""
    make = FakeMake()
    assert main(["--except", "3.11", "tests/unit", "-x"], environment=three_versions, run=make) == 0
    assert make.calls == [("3.12", "tests/unit", "-x"), ("3.13", "tests/unit", "-x")]
    output = capsys.readouterr().out
    assert "Python 3.11: tested already" in output
    assert "Python 3.13: passed" in output
    assert "Python 3.14: not found on PATH or in pyenv" in output


@pytest.mark.parametrize(("tested", "calls"), [("3.11", [("3.13", "tests/unit")]), ("3.13", [])])
def test_python_only_the_newest_version_is_tested_on_request(
    three_versions: dict[str, str], tested: str, calls: list[tuple[str, ...]]
) -> None:
    """``--newest`` tests the newest version that is found, unless it was tested already."""
    make = FakeMake()
    arguments = ["--newest", "--except", tested, "tests/unit"]
    assert main(arguments, environment=three_versions, run=make) == 0
    assert make.calls == calls


def test_python_one_failing_version_makes_the_run_fail(
    three_versions: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The remaining versions are tested, too."""
    make = FakeMake("3.12")
    assert main([], environment=three_versions, run=make) == 1
    assert [version for (version,) in make.calls if version != "3.14"] == ["3.11", "3.12", "3.13"]
    assert "Python 3.12: FAILED" in capsys.readouterr().out


def test_python_a_run_without_any_version_fails(tmp_path: Path) -> None:
    """The exit status is 1 if no supported Python is found."""
    assert main([], environment={"PATH": str(tmp_path), "PYENV_ROOT": str(tmp_path)}, run=FakeMake()) == 1


def test_python_make_passes_its_arguments_to_the_script() -> None:
    """``make test-all ARGS=… EXCEPT=…``; ``.ci/run`` excludes the version that ``make check`` used."""
    command = ["make", "-n", "test-all", "ARGS=tests/unit -k zone", "EXCEPT=3.11"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "infra/every_python.py --except 3.11 -- tests/unit -k zone" in done.stdout
    assert "make test-all NEWEST=1 EXCEPT=" in text_of(".ci/run")
    done = subprocess.run([*command, "NEWEST=1"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "infra/every_python.py --newest --except 3.11 -- " in done.stdout
    assert re.search(r"^\.venv-\*/$", text_of(".gitignore"), re.MULTILINE)
    done = subprocess.run(["make", "-n", "clean"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert " .venv-* " in done.stdout
