"""The processes of the delivery tests: a device that sends events, and a subscriber that counts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

DEVICE = """
import sys
from pathlib import Path
from edge_agent.device.commands import CommandDispatcher, CommandHandlers, ResendHandler
from edge_agent.outbox import Outbox
from edge_agent.transport.sender import Sender
from edge_agent.transport.mqtt import MqttPublisher
from edge_agent.transport.settings import MqttSettings
from shared.topics import DeviceTopics
from tests.support.edge.outbox_builders import motion_event

folder, port, device_id, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
outbox = Outbox(Path(folder) / "outbox.db")
topics = DeviceTopics("hq", device_id)
nothing = lambda command: None
dispatcher = CommandDispatcher(
    topics=topics,
    handlers=CommandHandlers(
        snapshot=nothing, test_connection=nothing, reload=nothing, resend=ResendHandler(outbox=outbox)
    ),
)
settings = MqttSettings(host="127.0.0.1", port=port, reconnect_min_s=0.05, reconnect_max_s=0.3)
publisher = MqttPublisher(settings=settings, topics=topics, on_command=dispatcher.receive)
sender = Sender(outbox=outbox, publisher=publisher)
dispatcher.start(publisher)
sender.start()
publisher.start()
for _ in range(count):
    event = motion_event().model_copy(update={"device_id": device_id})
    stored = outbox.put(event)
    sys.stdout.write(f"{stored.event_id} {stored.sequence}\\n")
    sys.stdout.flush()
print("all put", flush=True)
while sys.stdin.readline().strip() != "stop":
    pass
sender.close(20.0)
publisher.close()
dispatcher.close()
outbox.close()
"""


class DeviceProcess:
    """The outbox and the sender of an agent in their own process, which puts events and prints their ids."""

    def __init__(self, *, folder: Path, port: int, device_id: str, count: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", DEVICE, str(folder), str(port), device_id, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        self.returned: dict[str, int] = {}
        """Event id and sequence of every put that returned."""
        self.finished_putting = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def kill(self) -> None:
        """Send SIGKILL, then read the rest of its output."""
        os.kill(self._process.pid, signal.SIGKILL)
        self._end()

    def stop(self) -> None:
        """Ask it to deliver everything that is pending, and wait until it ends."""
        assert self._process.stdin is not None
        self._process.stdin.write("stop\n")
        self._process.stdin.flush()
        self._end()
        assert self._process.returncode == 0

    def _end(self) -> None:
        self._process.wait(60)
        self._reader.join(10)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line == "all put\n":
                self.finished_putting.set()
            elif line.endswith("\n") and line.count(" ") == 1:
                event_id, sequence = line.split()
                self.returned[event_id] = int(sequence)


class Subscriber:
    """Stands for the cloud: counts all messages of one device, and reconnects after a broker restart."""

    def __init__(self, *, port: int, device_id: str) -> None:
        self._device_id = device_id
        self.events: Counter[str] = Counter()
        self.sequences: dict[int, str] = {}
        self.epoch = ""
        self.replies: list[dict[str, object]] = []
        self.statuses: list[str] = []
        self.heartbeats: list[dict[str, Any]] = []
        self.payloads: list[bytes] = []
        """Every message of the device, as it was received."""
        self.ready = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"subscriber-{device_id}", clean_session=False
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self.ready.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self.ready.wait(20)

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        base = f"vedette/hq/{self._device_id}"
        topics = ("events/+/+", "replies/+", "status", "heartbeat")
        client.subscribe([(f"{base}/{topic}", 1) for topic in topics])

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self.payloads.append(bytes(message.payload))
        body = json.loads(message.payload)
        if "/replies/" in message.topic:
            self.replies.append(body)
            return
        if message.topic.endswith("/heartbeat"):
            self.heartbeats.append(body)
            return
        if message.topic.endswith("/status"):
            self.statuses.append(body["status"])
            return
        self.events[body["event_id"]] += 1
        self.sequences[body["sequence"]] = body["event_id"]
        self.epoch = body["sequence_epoch"]

    def holes(self, last: int) -> list[list[int]]:
        """Return the ranges of sequences up to ``last`` that have not arrived."""
        ranges: list[list[int]] = []
        for number in range(1, last + 1):
            if number in self.sequences:
                continue
            if ranges and ranges[-1][1] == number - 1:
                ranges[-1][1] = number
            else:
                ranges.append([number, number])
        return ranges

    def ask_to_resend(self, ranges: list[list[int]], command_id: str) -> None:
        command = {"command": "resend", "command_id": command_id, "sequence_epoch": self.epoch, "ranges": ranges}
        self._client.publish(f"vedette/hq/{self._device_id}/commands/resend", json.dumps(command), qos=1)

    def ask(self, command: str, command_id: str, **fields: object) -> None:
        payload = {"command": command, "command_id": command_id, **fields}
        self._client.publish(f"vedette/hq/{self._device_id}/commands/{command}", json.dumps(payload), qos=1)

    def answered(self) -> set[object]:
        """Return the ids of the answered commands; a command that the broker delivers twice has two replies."""
        return {reply["command_id"] for reply in list(self.replies)}

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def subscribed(*, port: int, device_id: str) -> Generator[Subscriber]:
    subscriber = Subscriber(port=port, device_id=device_id)
    try:
        yield subscriber
    finally:
        subscriber.close()


def pause(seconds: float) -> None:
    time.sleep(seconds)
