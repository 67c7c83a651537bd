"""The handlers import no slow modules, so cold starts stay short."""

from __future__ import annotations

import subprocess
import sys

import pytest

SLOW_MODULES = (
    "boto3",
    "botocore",
    "redis",
    "sqlalchemy",
    "alembic",
    "fastapi",
    "aws_lambda_powertools",
    "confluent_kafka",
    "asyncio.events",
    "urllib3",
    "cloud_functions.api",
    "cryptography",
)


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        # psycopg imports asyncio.
        ("cloud_functions.ingest.handler", {"asyncio.events"}),
        ("cloud_functions.maintenance.handler", {"asyncio.events"}),
        ("cloud_functions.fanout.handler", set()),
    ],
)
def test_a_handler_imports_no_slow_module(module: str, allowed: set[str]) -> None:
    """Importing the AWS and Redis clients takes longer than most invocations, so they are imported on first use."""
    code = f"import sys, {module}; print(*[name for name in {SLOW_MODULES!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= allowed


def test_fan_out_does_not_import_the_database_driver() -> None:
    """The artefact of the fan-out function does not contain psycopg."""
    code = "import sys, cloud_functions.fanout.handler; print('psycopg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
