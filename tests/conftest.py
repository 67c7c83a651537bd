"""Fixtures that every kind of test may use; services live in ``tests/support/backing_services.py``."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is slow, and no test asserts timings.
settings.register_profile("vedette", deadline=None)
settings.load_profile("vedette")

os.environ["REDIS_PORT"] = "0"  # stacks of tests leave 6379 to the user's Redis, and to the test that asks for it
# A make that a test starts must not inherit the options and variables of the make that runs the tests.
_given_variables = re.findall(r"(\w+)=", os.environ.get("MAKEFLAGS", "").partition(" -- ")[2], re.ASCII)
for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", *_given_variables):
    os.environ.pop(name, None)

pytest_plugins = ["tests.support.backing_services"]

ROOT = Path(__file__).resolve().parents[1]
SHARED_MATERIAL = ROOT.parent / "shared"


MAX_ID_CHARS = 60


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a long value by its length: encoded or compressed data may hold the time and differ between workers."""
    if isinstance(val, str | bytes) and len(val) > MAX_ID_CHARS:
        return f"{argname}-of-{len(val)}"
    return None


@pytest.fixture(scope="session")
def shared_material() -> Path:
    """The folder of clips, models and examination data beside the checkout; skips where there is none."""
    if not (SHARED_MATERIAL / "clips").is_dir():
        pytest.skip("needs ../shared (clips, models, examination data), which is not on this machine")
    return SHARED_MATERIAL
