"""S3, SNS, SQS and IoT on loopback: moto in a process of its own, and the environment that points boto3 at it."""

from __future__ import annotations

import sys
from pathlib import Path

from infra.local.ports import LOOPBACK, answers, free_port
from infra.local.process import Process

REGION = "eu-central-1"
ACCOUNT = "123456789012"  # the one that moto answers as


def aws_environment(endpoint_url: str) -> dict[str, str]:
    """Return what makes boto3 in a child process talk to ``endpoint_url`` and never to AWS."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class AwsServer:
    """moto's server. ``objects`` names the folder in which S3 objects outlive it; without it they do not."""

    def __init__(self, *, folder: Path, port: int | None = None, objects: Path | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        command = [sys.executable, "-m", "infra.local.moto_main", "--port", str(self.port)]
        self.process = Process(
            name="aws",
            command=[*command, "--objects", str(objects)] if objects else command,
            folder=folder,
            ready=lambda: answers(self.port),
        )
