"""The handlers import no slow modules, so cold starts stay short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.packaging.functions import FUNCTIONS

ROOT = Path(__file__).resolve().parents[3]

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


# The API has a test of its own below; the migration runs once for each deployment and needs Alembic.
@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"api", "migration"}))
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


@pytest.mark.parametrize("function", ["api", "ingest"])
def test_the_client_for_commands_is_made_at_import_where_that_costs_no_request(function: str) -> None:
    """With SnapStart it is in the snapshot; with an ordinary cold start it is made on first use."""
    code = (
        "from cloud_functions.aws import AwsClients\n"
        "made = []\n"
        "AwsClients._make = lambda self, service, url: made.append(service)\n"
        f"import {FUNCTIONS[function].handler}\n"
        "print(*made)"
    )
    variables = {
        "DATABASE_URL": "postgresql://127.0.0.1:1/none",
        "SNAPSHOT_BUCKET": "snapshots",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "PATH": os.environ["PATH"],
    }
    for kind, expected in (("snap-start", ["iot-data"]), ("on-demand", []), ("", [])):
        environment = variables | {"AWS_LAMBDA_INITIALIZATION_TYPE": kind}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.split() == expected
