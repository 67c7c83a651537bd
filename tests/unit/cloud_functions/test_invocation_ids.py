"""Each log line of a function carries Lambda's id of the invocation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Final

FUNCTIONS: Final = ("ingest", "maintenance", "fanout", "migration", "api")
_PROGRAM: Final = """
import contextlib, importlib, logging, sys, types
for name in sys.argv[1:]:
    module = importlib.import_module(f"cloud_functions.{name}.handler")
    for number in (1, 2):
        with contextlib.suppress(Exception):
            module.handler({"odd": "event"}, types.SimpleNamespace(aws_request_id=f"{name}-{number}"))
        logging.getLogger("test").warning("%s %d", name, number)
"""


def test_a_log_line_has_the_id_of_its_invocation() -> None:
    """Also in an environment that was used before, and after an invocation that failed."""
    variables = {"DATABASE_URL": "port=none", "SNAPSHOT_BUCKET": "pictures", "AWS_LAMBDA_FUNCTION_NAME": "vedette"}
    variables |= {"REDIS_URL": "redis://127.0.0.1:1", "AWS_REGION": "eu-central-1"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *FUNCTIONS],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    found = [
        (line["message"], line["function_request_id"])
        for line in lines
        if line.get("location", "").startswith("<module>")
    ]
    assert found == [(f"{name} {number}", f"{name}-{number}") for name in FUNCTIONS for number in (1, 2)]
