"""The AWS services that ``vedette-admin`` works on: those of a one-machine stack, or those of the environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.local.aws.resources import BUCKET
from infra.local.processes.ports import LOOPBACK
from infra.local.servers.aws import aws_environment
from shared.errors import ConfigurationError

MASTER_KEY_FILE: Final = "master.key"
"""Of a one-machine stack, in its state folder."""


class Bucket(NamedTuple):
    """A bucket, with the client of boto3 that reaches it."""

    client: Any
    name: str


def aws_endpoint(state: Path) -> str:
    """Return the address of the stack's S3, SNS and SQS; raise ConfigurationError if ``state`` is not of a stack."""
    try:
        port = int(json.loads((state / "ports.json").read_text(encoding="utf-8"))["aws"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{state} is not the state folder of a one-machine stack") from None
    return f"http://{LOOPBACK}:{port}"


def aws_client(service: str, variables: Mapping[str, str], *, state: Path | None) -> Any:
    """Return a client of boto3; without ``state``, boto3 finds region and credentials itself.

    Raises ConfigurationError if it does not find the region.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "max_attempts": 4})
    if service == "s3":
        config = config.merge(Config(s3={"addressing_style": "path"} if _is_other_store(variables, state) else {}))
    if state is None:
        try:
            return boto3.client(service, endpoint_url=variables.get("AWS_ENDPOINT_URL") or None, config=config)
        except (BotoCoreError, ValueError) as error:
            raise ConfigurationError(
                f"AWS cannot be used ({error}): set AWS_REGION and credentials, or --state DIR"
            ) from None
    local = aws_environment(aws_endpoint(state))
    return boto3.client(
        service,
        endpoint_url=local["AWS_ENDPOINT_URL"],
        region_name=local["AWS_REGION"],
        aws_access_key_id=local["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=local["AWS_SECRET_ACCESS_KEY"],
        config=config,
    )


def open_bucket(variables: Mapping[str, str], *, state: Path | None, needed_by: str) -> Bucket:
    """Return the bucket of a running one-machine stack, or the one that SNAPSHOT_BUCKET names.

    Raises ConfigurationError without both; its text begins with ``needed_by``.
    """
    name = BUCKET if state is not None else variables.get("SNAPSHOT_BUCKET", "").strip()
    if not name:
        raise ConfigurationError(f"{needed_by} needs SNAPSHOT_BUCKET, the bucket of the pictures, or --state DIR")
    return Bucket(aws_client("s3", variables, state=state), name)


def master_key_setting(variables: Mapping[str, str], *, state: Path | None) -> str | None:
    """Return PLATE_MASTER_KEY, or the key file of the stack in ``state``; None without both."""
    given = variables.get("PLATE_MASTER_KEY", "").strip()
    if given:
        return given
    key = None if state is None else state / MASTER_KEY_FILE
    return None if key is None or not key.is_file() else f"file:{key.absolute()}"


def _is_other_store(variables: Mapping[str, str], state: Path | None) -> bool:
    return state is not None or bool(variables.get("AWS_ENDPOINT_URL"))
