"""The table of inference runtimes; opens a model file with the first installed one.

To add one: a module with an opener, a row in ``RUNTIMES``, an extra in ``pyproject.toml``. The contract test in
``tests/unit/edge_agent/detect/runtimes/test_table.py`` covers it.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from edge_agent.detect.runtimes.base import InferenceModel
from shared.errors import ConfigurationError


class RuntimeMissingError(ConfigurationError):
    """The package of this runtime is not installed; the next runtime may be tried."""


class EdgeTpuError(ConfigurationError):
    """This runtime cannot use the Edge TPU; another one may, since the TPU's library supports few of them."""


class Opener(Protocol):
    """Opens a model file; raises RuntimeMissingError, or ConfigurationError if the file is invalid."""

    def __call__(self, path: Path, *, threads: int, edgetpu: bool) -> InferenceModel: ...


class Runtime(NamedTuple):
    """One row of the table."""

    package: str
    """Import name of the runtime's package."""
    opener: str
    """``module:function`` of an ``Opener``."""


RUNTIMES: dict[str, Runtime] = {
    "litert": Runtime("ai_edge_litert", "edge_agent.detect.runtimes.tflite:open_litert"),
    "tflite": Runtime("tflite_runtime", "edge_agent.detect.runtimes.tflite:open_tflite_runtime"),
}
"""Runtimes by name, the preferred one first."""


def is_runtime_installed(runtimes: Mapping[str, Runtime] = RUNTIMES) -> bool:
    """Return whether the package of at least one runtime is installed. Nothing is imported."""
    return any(importlib.util.find_spec(runtime.package) is not None for runtime in runtimes.values())


def open_model(
    path: Path,
    *,
    threads: int,
    edgetpu: bool,
    runtime: str | None = None,
    runtimes: Mapping[str, Runtime] = RUNTIMES,
) -> InferenceModel:
    """Open a model with the named runtime, or with the first installed one; raise ConfigurationError if none can."""
    if runtime is not None and runtime not in runtimes:
        raise ConfigurationError(f"unknown runtime '{runtime}'; available runtimes are {', '.join(runtimes)}")
    failures: list[ConfigurationError] = []
    for name in (runtime,) if runtime else tuple(runtimes):
        try:
            return load_opener(runtimes[name].opener)(path, threads=threads, edgetpu=edgetpu)
        except (RuntimeMissingError, EdgeTpuError) as error:
            failures.append(error)
    # The failure of an installed runtime is more useful than the absence of the others.
    decisive = [error for error in failures if runtime or isinstance(error, EdgeTpuError)]
    if decisive:
        raise decisive[0]
    raise ConfigurationError(
        f"no inference runtime is installed, so {path.name} cannot run: pip install ai-edge-litert "
        "(or tflite-runtime, for Coral boxes whose Edge TPU library needs it)"
    )


def load_opener(target: str) -> Opener:
    """Import and return ``module:function``."""
    module, _, function = target.partition(":")
    return getattr(importlib.import_module(module), function)
