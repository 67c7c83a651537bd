"""This machine as a device of the stack: the edge agent in a process of its own, with a configuration made for it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from infra.local.aws import REGION, aws_environment
from infra.local.process import Process
from infra.local.resources import BUCKET

SITE_ID = "local"
DEVICE_ID = "this-machine"
CAMERA_ID = "camera-1"
SOURCE_VARIABLE = "VEDETTE_DEMO_SOURCE"


@dataclass(frozen=True, slots=True)
class StackUrls:
    """What a device has to know of a stack."""

    broker: str
    aws: str


def agent_toml(urls: StackUrls, *, state: Path, model: str | None = None, plates: bool = False) -> str:
    """Return the agent's configuration; the source, which may hold a password, is named by a variable."""
    broker = urlsplit(urls.broker)
    lines = [
        f"site_id = {_quoted(SITE_ID)}",
        f"device_id = {_quoted(DEVICE_ID)}",
        f"state_dir = {_quoted(str(state))}",
        "heartbeat_s = 5",
        "",
        "[mqtt]",
        f"host = {_quoted(broker.hostname or '127.0.0.1')}",
        f"port = {broker.port or 1883}",
        "reconnect_max_s = 2",
        "",
        "[sender]",
        "retry_max_s = 5",
        "",
        "[s3]",
        f"bucket = {_quoted(BUCKET)}",
        f"region = {_quoted(REGION)}",
        f"endpoint_url = {_quoted(urls.aws)}",
        "",
        "[[cameras]]",
        f"id = {_quoted(CAMERA_ID)}",
        f"source_env = {_quoted(SOURCE_VARIABLE)}",
    ]
    if model is not None:
        lines += ["", "[cameras.model]", f"name = {_quoted(model)}"]
    if plates:
        lines += ["", "[cameras.anpr]", "enabled = true"]
    return "\n".join([*lines, ""])


def agent_process(
    urls: StackUrls,
    *,
    folder: Path,
    source: str,
    model: str | None = None,
    plates: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Return the agent's process, its configuration written; its outbox stays in ``folder``/agent."""
    state = folder / "agent"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = state / "agent.toml"
    config.write_text(agent_toml(urls, state=state, model=model, plates=plates), encoding="utf-8")
    return Process(
        name="agent",
        command=[sys.executable, "-m", "edge_agent", "run", "--config", str(config)],
        folder=folder,
        ready=lambda: True,
        environment={**aws_environment(urls.aws), **(environment or {}), SOURCE_VARIABLE: source},
        stop_signal=signal.SIGTERM,
        stop_timeout_s=12.0,
    )


def _quoted(text: str) -> str:
    # JSON's strings are TOML's basic strings, as far as paths and names go.
    return json.dumps(text, ensure_ascii=False)
