"""The MQTT broker on loopback: mosquitto if installed, otherwise amqtt in its own process."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from infra.local.processes.ports import LOOPBACK
from infra.local.processes.process import Process


def mosquitto_binary() -> str | None:
    """Return the path of mosquitto, searched in PATH and in the sbin folders; None if it is not installed."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class MqttBroker:
    """A broker with sessions in memory: if killed, it loses messages that it acknowledged but had not delivered."""

    def __init__(self, *, folder: Path, port: int, embedded: bool = False) -> None:
        self.host = LOOPBACK
        self.port = port
        self.url = f"mqtt://{self.host}:{self.port}"
        mosquitto = None if embedded else mosquitto_binary()
        command = (
            [mosquitto, "-c", str(_mosquitto_settings(folder, self.port))]
            if mosquitto
            else [sys.executable, "-m", "infra.local.servers.amqtt_main", "--port", str(self.port)]
        )
        self.process = Process(name="broker", command=command, folder=folder, port=self.port)


def _mosquitto_settings(folder: Path, port: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mosquitto.conf"
    path.write_text(
        f"listener {port} {LOOPBACK}\nallow_anonymous true\npersistence false\n"
        "max_queued_messages 0\nmax_inflight_messages 1000\n",
        encoding="utf-8",
    )
    return path
