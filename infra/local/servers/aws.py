"""S3, SNS, SQS and the rest on loopback, and the environment that points boto3 there and never at AWS."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from infra.local.processes.ports import LOOPBACK, answers, free_port
from infra.local.processes.process import Process

REGION = "eu-central-1"
ACCOUNT = "123456789012"  # the one that moto answers as


def aws_environment(endpoint_url: str) -> dict[str, str]:
    """Return what makes boto3 in a child process talk to ``endpoint_url``."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class AwsServer:
    """The local endpoint. ``kept`` is the stack's: objects and queues outlive it in ``folder``, and fan-out runs."""

    def __init__(
        self,
        *,
        folder: Path,
        port: int | None = None,
        persistent: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        command = [sys.executable, "-m", "infra.local.aws.main", "--port", str(self.port)]
        self.process = Process(
            name="aws",
            command=[*command, "--state", str(folder)] if persistent else command,
            folder=folder,
            ready=lambda: answers(self.port),
            environment=environment,
        )
