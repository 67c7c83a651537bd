"""This machine as a device of the stack: the edge agent's process and its generated configuration."""

from __future__ import annotations

import signal
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge_agent.device.configuration_store import ConfigurationStore
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


def agent_toml(
    urls: StackUrls, *, state: Path, pinned: Mapping[str, Any] | None = None, timezone: str | None = None
) -> str:
    """Return the agent's configuration: where it is, and where the broker and the bucket are.

    The API has the cameras. ``pinned`` holds the settings of one that the API does not accept, as in the
    ``[[cameras]]`` table; its source may contain a password, so it is passed in an environment variable.
    """
    broker = urlsplit(urls.broker)
    lines = [
        f"site_id = {toml_value(SITE_ID)}",
        f"device_id = {toml_value(DEVICE_ID)}",
        "managed = true",
        *([] if timezone is None else [f"timezone = {toml_value(timezone)}"]),
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
    ]
    if pinned is not None:
        lines += ["", "[[cameras]]", f"id = {toml_value(CAMERA_ID)}", f"source_env = {toml_value(SOURCE_VARIABLE)}"]
        lines += toml_lines(pinned, table="cameras")
    return "\n".join([*lines, ""])


def agent_process(
    urls: StackUrls,
    *,
    folder: Path,
    source: str | None = None,
    camera: Mapping[str, Any] | None = None,
    timezone: str | None = None,
) -> Process:
    """Write the agent's configuration and return its process; its outbox is in ``folder``/agent.

    Without ``source``, the API has all of its cameras; with one, a camera with the settings ``camera`` is pinned.
    Without ``timezone``, the device keeps the one that it has.
    """
    state = folder / "agent"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = state / "agent.toml"
    pinned = None if source is None else camera or {}
    text = agent_toml(urls, state=state, pinned=pinned, timezone=timezone or _timezone_in(config))
    config.write_text(text, encoding="utf-8")
    return Process(
        name="agent",
        command=[sys.executable, "-m", "edge_agent", "run", "--config", str(config)],
        folder=folder,
        environment={**aws_environment(urls.aws), **({} if source is None else {SOURCE_VARIABLE: source})},
        stop_signal=signal.SIGTERM,
        stop_timeout_s=12.0,
    )


def forget_camera(folder: Path, camera_id: str) -> None:
    """Remove a camera from the configuration with which the agent starts before the API sends the present one.

    Otherwise it would open the camera's earlier source once more, and send its events.
    """
    store = ConfigurationStore(folder / "agent")
    stored = store.load()
    if stored is not None and any(camera.camera_id == camera_id for camera in stored.cameras):
        cameras = [camera for camera in stored.cameras if camera.camera_id != camera_id]
        store.prepare(stored.model_copy(update={"cameras": cameras})).commit()


def _timezone_in(config: Path) -> str | None:
    """Return the time zone in the configuration that an earlier start wrote."""
    try:
        timezone = tomllib.loads(config.read_text(encoding="utf-8")).get("timezone")
    except (OSError, ValueError):
        return None
    return timezone if isinstance(timezone, str) else None
