"""Functions take few parameters; one that takes more than six is listed with its reason."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
MAX_PARAMETERS: Final = 6
REASONS: Final = {
    "cloud_functions/alpr_storage/kafka_consumer.py:KafkaStorageConsumer": "the signature that the document gives it",
    "cloud_functions/alpr_storage/storage_service.py:StorageService": "the signature that the document gives it",
    "cloud_functions/ingest/handler.py:build_ingest": "a composition root; a test replaces any collaborator",
    "cloud_functions/maintenance/handler.py:build_maintenance": "a composition root, as that of ingest",
    "edge_agent/device/health.py:HeartbeatLoop": "collaborators with defaults that a test replaces: clock, interval",
    "edge_agent/track/motion_model.py:MotionModel": "the constants of one model, described together",
    "infra/client/vedette/client/retention.py:place_hold": "the fields of a legal hold, as the API has them",
    "infra/client/vedette/client/retention.py:replace_policy": "the fields of a policy, as the API has them",
    "infra/client/vedette/client/webhooks.py:replace": "the fields of a webhook, as the API has them",
    "infra/local/aws/ingest_event_source.py:IngestEventSourceMapping": "clock and sleep are replaced by tests",
    "infra/local/processes/process.py:Process": "the settings of a process; all but four have defaults",
    "training/plates/dies.py:_bowl": "the geometry of one curve",
}
"""``file:function``, or ``file:class`` for a constructor: why it takes more than ``MAX_PARAMETERS``."""


def _long_signatures(name: str, text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        for function in ast.iter_child_nodes(node):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                is_constructor = isinstance(node, ast.ClassDef) and function.name == "__init__"
                if _count(function) > MAX_PARAMETERS:
                    yield f"{name}:{node.name if is_constructor and isinstance(node, ast.ClassDef) else function.name}"


def _count(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def test_functions_with_many_parameters_are_listed_with_a_reason() -> None:
    """Past six parameters a context object is missing, unless there is a reason; no reason is left over."""
    folders = ("shared", "edge_agent", "cloud_functions", "infra", "training")
    listed = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.splitlines() if name.endswith(".py") and (ROOT / name).is_file()]
    found = {long for name in names for long in _long_signatures(name, (ROOT / name).read_text(encoding="utf-8"))}
    assert found == set(REASONS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f(a, b, c, d, e, f): ...", []),
        ("def f(a, b, c, *, d, e, f, g): ...", ["made.py:f"]),
        ("class C:\n    def __init__(self, a, b, c, d, e, f, g): ...", ["made.py:C"]),
        ("class C:\n    async def g(self, a, b, c, /, d, e, f, g): ...", ["made.py:g"]),
    ],
)
def test_long_signatures_are_found(text: str, expected: list[str]) -> None:
    """Positional and keyword parameters count; ``self`` does not."""
    assert list(_long_signatures("made.py", text)) == expected
