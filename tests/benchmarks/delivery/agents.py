"""Hundreds of agents in one process: coroutines that speak the agents' protocol, each with an MQTT connection.

Each agent publishes its status, heartbeats, and events with sequence numbers at QoS 1, keeps every event until PUBACK,
sends unacknowledged ones again after a lost connection, and answers the commands ``configure`` and ``resend``. It has
no outbox on disk. Every event is in the journal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from shared import __version__
from shared.clock import SystemClock, format_utc
from shared.ids import Uuid7Generator
from shared.topics import DeviceTopics
from tests.benchmarks.delivery.journal import ACKNOWLEDGED, CAPTURED, KEPT, JournalWriter
from tests.benchmarks.delivery.mqtt_session import MqttError, MqttSession

SITE_ID: Final = "bench"
HEARTBEAT_S: Final = 15.0
KEEPALIVE_S: Final = 60
_KEPT_SENT: Final = 1_000
"""Sent events that an agent keeps in memory for ``resend``."""
_PUBLIC_KEY: Final = "A" * 43 + "="
_POLL_S: Final = 0.05
_SPREAD_S: Final = 5.0
"""The agents connect one after another within this time."""


class LightAgent:
    """One agent."""

    def __init__(self, *, device_id: str, cameras: list[str], port: int, journal: JournalWriter) -> None:
        self._cameras = cameras
        self._port = port
        self._journal = journal
        self._topics = DeviceTopics(SITE_ID, device_id)
        self._device_id = device_id
        self._clock = SystemClock()
        self._new_id = Uuid7Generator()
        self._epoch = str(self._new_id())
        self._sequence = 0
        self._version = 0
        self._pending: dict[int, tuple[str, str, bytes]] = {}
        self._sent: OrderedDict[int, tuple[str, str, bytes]] = OrderedDict()
        self._session: MqttSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._began_s = time.monotonic()
        self.reconnects = -1

    @property
    def connected(self) -> bool:
        return self._session is not None and not self._session.lost

    @property
    def configured(self) -> bool:
        """Whether the cloud has sent the configuration with its cameras."""
        return self._version > 0

    @property
    def pending(self) -> int:
        return len(self._pending)

    async def stay_connected(self) -> None:
        """Connect, send heartbeats, and connect again whenever the connection is lost, until cancelled."""
        while True:
            try:
                await self._connect()
                while self.connected:
                    await self._beat()
                    await asyncio.sleep(HEARTBEAT_S)
            except (OSError, MqttError, TimeoutError):
                await asyncio.sleep(1.0)

    async def produce(self, *, rate: float, until_s: float, offset: float) -> None:
        """Emit events at a fixed rate until the Unix time ``until_s``."""
        began = time.monotonic() + offset / rate
        number = 0
        while time.time() < until_s:
            await asyncio.sleep(max(began + number / rate - time.monotonic(), 0))
            number += 1
            self._emit()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _connect(self) -> None:
        if self._session is not None:
            await self._session.close()
        self._session = session = await MqttSession.connect(
            self._port,
            client_id=self._device_id,
            will_topic=self._topics.status,
            will=self._status("offline"),
            keepalive_s=KEEPALIVE_S,
            on_message=self._on_message,
        )
        self.reconnects += 1
        await session.subscribe(self._topics.commands_filter)
        await session.publish(self._topics.status, self._status("online"), retain=True)
        for sequence in list(self._pending):
            self._start(sequence)

    def _emit(self) -> None:
        self._sequence += 1
        event_id, camera_id = str(self._new_id()), self._cameras[self._sequence % len(self._cameras)]
        now = self._clock.now()
        at_s = now.timestamp()
        self._journal.write(CAPTURED, event_id, at_s=at_s)
        self._pending[self._sequence] = (event_id, camera_id, self._event(event_id, camera_id, format_utc(now)))
        self._journal.write(KEPT, event_id, at_s=at_s)
        if self.connected:
            self._start(self._sequence)

    def _event(self, event_id: str, camera_id: str, timestamp: str) -> bytes:
        event: dict[str, Any] = {
            "schema_version": 1,
            "event_id": event_id,
            "event_type": "tracking",
            "site_id": SITE_ID,
            "device_id": self._device_id,
            "camera_id": camera_id,
            "timestamp": timestamp,
            "frame_number": self._sequence,
            "sequence": self._sequence,
            "sequence_epoch": self._epoch,
            "event_data": {
                "track_id": self._sequence,
                "track_uid": f"{self._device_id}-{self._sequence}",
                "tracking_action": "entered",
                "class_name": "car",
                "confidence": 0.9,
                "bounding_box": {"x": 0.1, "y": 0.1, "width": 0.2, "height": 0.2},
                "model_info": {"model_type": "bench", "version": "1"},
            },
        }
        return json.dumps(event, separators=(",", ":")).encode()

    def _start(self, sequence: int) -> None:
        task = asyncio.create_task(self._deliver(sequence))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, sequence: int) -> None:
        """Publish a pending event. Without PUBACK it stays pending, and the next connection sends it again."""
        event_id, camera_id, payload = self._pending[sequence]
        if not await self._publish(self._topics.events(camera_id, "tracking"), payload):
            return
        self._journal.write(ACKNOWLEDGED, event_id)
        if (acknowledged := self._pending.pop(sequence, None)) is not None:
            self._sent[sequence] = acknowledged
            if len(self._sent) > _KEPT_SENT:
                self._sent.popitem(last=False)

    async def _publish(self, topic: str, payload: bytes) -> bool:
        if self._session is None:
            return False
        try:
            await self._session.publish(topic, payload)
        except MqttError:
            return False
        return True

    async def _beat(self) -> None:
        heartbeat: dict[str, Any] = {
            "schema_version": 1,
            "site_id": SITE_ID,
            "device_id": self._device_id,
            "timestamp": format_utc(self._clock.now()),
            "agent_version": __version__,
            "uptime_seconds": time.monotonic() - self._began_s,
            "outbox": {
                "sequence_epoch": self._epoch,
                "last_sequence": self._sequence,
                "pending_events": len(self._pending),
                "pending_bytes": sum(len(payload) for _, _, payload in self._pending.values()),
                "dropped_events": 0,
            },
            "cameras": [{"camera_id": camera, "status": "online", "fps_actual": 5} for camera in self._cameras],
            "configuration": {"version": self._version},
            "public_key": _PUBLIC_KEY,
        }
        await self._publish(self._topics.heartbeat, json.dumps(heartbeat).encode())

    def _status(self, status: str) -> bytes:
        return json.dumps({"schema_version": 1, "device_id": self._device_id, "status": status}).encode()

    def _on_message(self, topic: str, payload: bytes) -> None:
        if not payload or "/commands/" not in topic:
            return
        command = json.loads(payload)
        reply: dict[str, Any] = {
            "command_id": command["command_id"],
            "command": command["command"],
            "site_id": SITE_ID,
            "device_id": self._device_id,
            "timestamp": format_utc(self._clock.now()),
            "status": "ok",
        }
        if command["command"] == "configure":
            self._version = max(self._version, command["version"])
            reply["config_version"] = self._version
        elif command["command"] == "resend":
            reply |= self._resend(command)
        task = asyncio.create_task(self._reply(command["command_id"], reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _resend(self, command: dict[str, Any]) -> dict[str, Any]:
        numbers = [number for first, last in command["ranges"] for number in range(first, last + 1)]
        again = [number for number in numbers if number in self._sent]
        for number in again:
            self._pending[number] = self._sent.pop(number)
            self._start(number)
        missing = [(number, number) for number in numbers if number not in self._pending]
        return {"sequence_epoch": command["sequence_epoch"], "resent": len(again), "unavailable": missing}

    async def _reply(self, command_id: str, reply: dict[str, Any]) -> None:
        await self._publish(self._topics.reply(command_id), json.dumps(reply).encode())


async def run(options: argparse.Namespace) -> None:
    """Connect all agents, wait until all are configured, produce when ``go`` appears, and stay until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    folder: Path = options.folder
    journal = JournalWriter(folder / "journal.txt")
    fleet = json.loads((folder / "fleet.json").read_text(encoding="utf-8"))
    agents = [
        LightAgent(device_id=device, cameras=cameras, port=options.broker_port, journal=journal)
        for device, cameras in fleet.items()
    ]
    connections: list[asyncio.Task[None]] = []
    for agent in agents:
        connections.append(asyncio.create_task(agent.stay_connected()))
        await asyncio.sleep(_SPREAD_S / len(agents))
    await _until(lambda: all(agent.connected and agent.configured for agent in agents))
    (folder / "ready").touch()
    await _until((folder / "go").is_file)
    until_s = float((folder / "go").read_text(encoding="ascii"))
    rate = options.rate / len(agents)
    producers = [
        asyncio.create_task(agent.produce(rate=rate, until_s=until_s, offset=number / len(agents)))
        for number, agent in enumerate(agents)
    ]
    watching = asyncio.create_task(_watch(agents, folder / "agents.json"))
    await asyncio.gather(*producers)
    await stopped.wait()
    for task in (*connections, watching):
        task.cancel()
    await asyncio.gather(*(agent.close() for agent in agents))


async def _until(condition: Callable[[], bool]) -> None:
    """Poll until the condition is true: what it depends on is outside of this loop."""
    while True:
        if condition():
            return
        await asyncio.sleep(_POLL_S)


async def _watch(agents: list[LightAgent], path: Path) -> None:
    """Write each second how many agents are connected, and how many events are without PUBACK."""
    while True:
        state = {
            "connected": sum(agent.connected for agent in agents),
            "pending": sum(agent.pending for agent in agents),
            "reconnects": sum(agent.reconnects for agent in agents),
        }
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(state), encoding="ascii")
        temporary.replace(path)
        await asyncio.sleep(1.0)


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="with fleet.json: device ids and their cameras")
    parser.add_argument("--broker-port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="events per second of all agents together")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
