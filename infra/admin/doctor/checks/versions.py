"""Python, the installed packages, and the releases of the devices' agents."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Final

from infra.admin.doctor.context import DoctorContext
from shared import __version__
from shared.diagnosis import Finding

OLDEST_PYTHON: Final = (3, 11)
_LISTED: Final = 5
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?([^;]*)(?:;(.*))?")
_AT_LEAST: Final = re.compile(r">=\s*([0-9.]+)", re.ASCII)
_EXTRA: Final = re.compile(r"extra == ['\"]([a-z-]+)['\"]")
_COMPILED: Final = {
    "argon2-cffi": "argon2",
    "cryptography": "cryptography.hazmat.primitives.ciphers.aead",
    "psycopg": "psycopg",
    "pydantic": "pydantic",
}
"""Packages with libraries that may not fit this machine, and the module whose import loads them."""
_AGENTS: Final = "SELECT agent_version, count(*) FROM devices WHERE agent_version IS NOT NULL GROUP BY 1 ORDER BY 1"


def python(_: DoctorContext) -> Iterator[Finding]:
    """The releases of Vedette and of Python."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        text = f"Python {version} is too old"
        yield Finding("python", "fault", text, f"use {'.'.join(map(str, OLDEST_PYTHON))} or newer")
    else:
        yield Finding("python", "ok", f"Vedette {__version__} on Python {version}")


def packages(context: DoctorContext) -> Iterator[Finding]:
    """Packages that are missing, older than required, or broken; those of the extra ``local`` only for a stack."""
    extras = {"", "cloud", "migrate"} | ({"local"} if context.state is not None else set())
    try:
        requirements = importlib.metadata.requires("vedette") or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding("packages", "skipped", "Vedette runs from its source and is not installed as a package")
        return
    problems = list(package_problems(requirements, extras))
    for problem in problems:
        yield Finding(
            "packages", "fault", problem, f"pip install --upgrade 'vedette[{','.join(sorted(extras - {''}))}]'"
        )
    if not problems:
        yield Finding("packages", "ok", "all required packages are installed")


def package_problems(requirements: Iterable[str], extras: set[str]) -> Iterator[str]:
    """Yield what is wrong with the packages of these extras; ``""``: those that every installation needs."""
    for name, oldest in sorted(_required(requirements, extras)):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield f"the package {name} is missing"
            continue
        if _numbers(version) < _numbers(oldest):
            yield f"the package {name} {version} is older than {oldest}"
        elif (module := _COMPILED.get(name)) and (problem := _import_problem(module)):
            yield f"the package {name} {version} is broken: {problem}"


def agents(context: DoctorContext) -> Iterator[Finding]:
    """Devices whose agent is of an older release than this command."""
    with context.connection() as connection:
        rows = connection.execute(_AGENTS).fetchall()
    if not rows:
        yield Finding("agents", "skipped", "no device has reported its release")
        return
    older = [(version, count) for version, count in rows if _numbers(version) < _numbers(__version__)]
    if older:
        named = ", ".join(f"{count} with {version}" for version, count in older[:_LISTED])
        text = f"agents are older than this release ({__version__}): {named}"
        yield Finding("agents", "warning", text, "upgrade them; they work meanwhile, without the newest features")
    else:
        count = sum(count for _, count in rows)
        yield Finding("agents", "ok", f"the agents of all {count} devices are of this release or newer")


def _required(requirements: Iterable[str], extras: set[str]) -> Iterator[tuple[str, str]]:
    for requirement in requirements:
        match = _REQUIREMENT.fullmatch(requirement.strip())
        if match is None:
            continue
        name, versions, marker = match.groups()
        extra = _EXTRA.search(marker or "")
        has_other_conditions = marker is not None and re.search(r"sys_platform|machine|python_version", marker)
        if name == "vedette" or has_other_conditions or (extra[1] if extra else "") not in extras:
            continue
        oldest = _AT_LEAST.search(versions)
        yield name, oldest[1] if oldest else "0"


def _import_problem(module: str) -> str | None:
    try:
        importlib.import_module(module)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers at the beginning of a version, without zeros at their end: 1.40.0rc1 is (1, 40)."""
    match = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    numbers = [int(number) for number in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
