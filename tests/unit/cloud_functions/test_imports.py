"""The handlers import no slow modules, so cold starts stay short."""

from __future__ import annotations

import subprocess
import sys

import pytest

from infra.packaging.functions import FUNCTIONS

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


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"api"}))
def test_a_handler_imports_no_slow_module(name: str) -> None:
    """Importing the AWS and Redis clients takes longer than most invocations, so they are imported on first use."""
    code = FUNCTIONS[name]
    program = f"import sys, {code.handler}; print(*[name for name in {SLOW_MODULES!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported_by_psycopg = {"asyncio.events"} if "cloud_functions/db" in code.parts else set[str]()
    assert set(done.stdout.split()) <= imported_by_psycopg


def test_fan_out_does_not_import_the_database_driver() -> None:
    """The artefact of the fan-out function does not contain psycopg."""
    code = f"import sys, {FUNCTIONS['fanout'].handler}; print('psycopg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
