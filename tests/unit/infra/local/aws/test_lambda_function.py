"""A handler runs under AWS's runtime client, and is restarted when it dies or hangs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local.aws.lambda_function import LambdaFunction
from shared.errors import TransientError

HANDLER = """
import os, signal, time
calls = 0
def handler(event, context):
    global calls
    calls += 1
    what = event["do"]
    if what == "raise":
        raise ValueError("a bad event")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "sleep":
        time.sleep(60)
    return {"calls": calls, "id": context.aws_request_id,
            "name": context.function_name, "left": context.get_remaining_time_in_millis(),
            "variable": os.environ["VARIABLE"], "text": event.get("text")}
"""


@pytest.fixture
def function(tmp_path: Path, written_module: Callable[[str, str], str]) -> Iterator[LambdaFunction]:
    folder = written_module("some_function", HANDLER)
    running = LambdaFunction(
        name="some",
        handler="some_function.handler",
        environment={"PYTHONPATH": folder, "VARIABLE": "yes"},
        folder=tmp_path,
        timeout_s=5.0,
    )
    running.start()
    yield running
    running.stop()


def _invoke(function: LambdaFunction, **event: str) -> dict[str, object]:
    return json.loads(function.invoke(json.dumps(event).encode()))


def test_an_execution_environment_serves_several_invocations(function: LambdaFunction) -> None:
    """Module state survives from one invocation to the next, and the context has Lambda's fields."""
    first = _invoke(function, do="work", text="ä" * 100_000)
    second = _invoke(function, do="work")
    assert (first["calls"], second["calls"]) == (1, 2)
    assert first["id"] != second["id"]
    assert (first["name"], first["variable"], first["text"]) == ("vedette-some", "yes", "ä" * 100_000)
    assert 0 < int(str(first["left"])) <= 5000


def test_a_raised_error_is_reported_and_the_function_continues(function: LambdaFunction) -> None:
    """The error contains the type and message of the exception. The same process handles the next event."""
    with pytest.raises(TransientError, match="ValueError: a bad event"):
        _invoke(function, do="raise")
    assert _invoke(function, do="work")["calls"] == 2


def test_a_function_that_dies_is_restarted(function: LambdaFunction) -> None:
    """If it dies during an invocation, only that one fails. If it dies between two invocations, none fails."""
    with pytest.raises(TransientError, match="exited"):
        _invoke(function, do="die")
    assert _invoke(function, do="work")["calls"] == 1
    assert function.process.pid is not None
    os.kill(function.process.pid, signal.SIGKILL)
    function.process.kill()
    assert _invoke(function, do="work")["calls"] == 1


def test_a_function_that_hangs_is_killed(function: LambdaFunction) -> None:
    """This happens after the timeout. The next invocation starts the function again."""
    function._timeout_s = 0.3
    with pytest.raises(TransientError, match=r"did not answer within 0\.3 s"):
        _invoke(function, do="sleep")
    function._timeout_s = 5.0
    assert _invoke(function, do="work")["calls"] == 1


def test_a_handler_that_cannot_be_imported_is_reported(tmp_path: Path) -> None:
    """The invocation fails with the import error, without waiting for the timeout."""
    broken = LambdaFunction(
        name="broken", handler="no_such_module.handler", environment={}, folder=tmp_path, timeout_s=5.0
    )
    broken.start()
    with pytest.raises(TransientError, match="no_such_module"):
        broken.invoke(b"{}")
    broken.stop()
