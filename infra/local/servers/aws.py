"""The local AWS endpoint (S3, SNS, SQS and more), and the environment that makes boto3 use it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from infra.local.processes.ports import LOOPBACK
from infra.local.processes.process import Process

REGION = "eu-central-1"
ACCOUNT = "123456789012"  # moto's default account


def aws_environment(endpoint_url: str) -> dict[str, str]:
    """Return environment variables that make boto3 in a child process use ``endpoint_url``."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class AwsServer:
    """The local endpoint. If ``persistent``, it stores its data in ``folder`` and runs the fan-out function.

    Objects are in ``objects``, or in ``folder``/objects.
    """

    def __init__(
        self,
        *,
        folder: Path,
        port: int,
        persistent: bool = False,
        environment: Mapping[str, str] | None = None,
        objects: Path | None = None,
    ) -> None:
        self.port = port
        self.url = f"http://{LOOPBACK}:{self.port}"
        command = [sys.executable, "-m", "infra.local.aws.main", "--port", str(self.port)]
        if persistent:
            command += ["--state", str(folder), "--objects", str(objects or folder / "objects")]
        self.process = Process(
            name="aws",
            command=command,
            folder=folder,
            port=self.port,
            environment=environment,
        )
