"""This machine as a device of the stack: the edge agent's process and its generated configuration."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.local.aws.resources import BUCKET
from infra.local.demo.toml_text import toml_lines, toml_value
from infra.local.processes.process import Process
from infra.local.servers.aws import REGION, aws_environment

SITE_ID = "local"
DEVICE_ID = "this-machine"
CAMERA_ID = "camera-1"
SOURCE_VARIABLE = "VEDETTE_DEMO_SOURCE"


@dataclass(frozen=True, slots=True)
class StackUrls:
    """Addresses of the stack that a device needs."""

    broker: str
    aws: str


def agent_toml(urls: StackUrls, *, state: Path, camera: Mapping[str, Any] | None = None) -> str:
    """Return the agent's configuration. The source may contain a password, so it is passed in an environment variable.

    ``camera`` holds further settings of the camera, as in the ``[[cameras]]`` table of an agent's file.
    """
    broker = urlsplit(urls.broker)
    lines = [
        f"site_id = {toml_value(SITE_ID)}",
        f"device_id = {toml_value(DEVICE_ID)}",
        f"state_dir = {toml_value(str(state))}",
        "heartbeat_s = 5",
        "",
        "[mqtt]",
        f"host = {toml_value(broker.hostname or '127.0.0.1')}",
        f"port = {broker.port or 1883}",
        "reconnect_max_s = 2",
        "",
        "[sender]",
        "retry_max_s = 5",
        "",
        "[s3]",
        f"bucket = {toml_value(BUCKET)}",
        f"region = {toml_value(REGION)}",
        f"endpoint_url = {toml_value(urls.aws)}",
        "",
        "[[cameras]]",
        f"id = {toml_value(CAMERA_ID)}",
        f"source_env = {toml_value(SOURCE_VARIABLE)}",
        *toml_lines(camera or {}, table="cameras"),
    ]
    return "\n".join([*lines, ""])


def agent_process(
    urls: StackUrls,
    *,
    folder: Path,
    source: str,
    camera: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Write the agent's configuration and return its process; its outbox is in ``folder``/agent."""
    state = folder / "agent"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = state / "agent.toml"
    config.write_text(agent_toml(urls, state=state, camera=camera), encoding="utf-8")
    return Process(
        name="agent",
        command=[sys.executable, "-m", "edge_agent", "run", "--config", str(config)],
        folder=folder,
        environment={**aws_environment(urls.aws), **(environment or {}), SOURCE_VARIABLE: source},
        stop_signal=signal.SIGTERM,
        stop_timeout_s=12.0,
    )
