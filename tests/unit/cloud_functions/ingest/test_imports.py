"""Cold starts stay short: what the functions' handlers import, and what they do not."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
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
        # psycopg itself brings asyncio.
        ("cloud_functions.ingest.handler", {"asyncio.events"}),
        ("cloud_functions.maintenance.handler", {"asyncio.events"}),
        ("cloud_functions.fanout.handler", set()),
    ],
)
def test_a_handler_imports_nothing_heavy(module: str, allowed: set[str]) -> None:
    """AWS's and Redis's clients cost more than most invocations; they are imported when first needed."""
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= allowed


def test_fan_out_needs_no_database_driver() -> None:
    """The fan-out function's package can do without psycopg."""
    code = "import sys, cloud_functions.fanout.handler; print('psycopg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
