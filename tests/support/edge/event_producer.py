"""A device process without cameras: the real outbox, sender, publisher and commands, with generated events.

The id of each event that the outbox has stored is appended to the ledger (one id a line), so that a test knows which
events must arrive. Started again with the same folder, it continues where it was killed.
"""

from __future__ import annotations

import argparse
import signal
import threading
import time
from pathlib import Path
from typing import NoReturn

from edge_agent.device.commands import CommandDispatcher, CommandHandlers, ReplyFields, ResendHandler
from edge_agent.device.health import HeartbeatLoop
from edge_agent.outbox import Outbox
from edge_agent.transport.mqtt import MqttPublisher
from edge_agent.transport.sender import Sender
from edge_agent.transport.settings import MqttSettings, SenderSettings
from shared.clock import SystemClock
from shared.commands import Command
from shared.errors import PermanentError
from shared.events import ModelInfo, TrackingData, TrackingEvent
from shared.geometry import BoundingBox
from shared.ids import Uuid7Generator
from shared.topics import DeviceTopics

SITE_ID = "e2e"


def _event(new_id: Uuid7Generator, device_id: str, number: int) -> TrackingEvent:
    return TrackingEvent(
        event_id=new_id(),
        site_id=SITE_ID,
        device_id=device_id,
        camera_id="camera-1",
        timestamp=SystemClock().now(),
        frame_number=number,
        event_data=TrackingData(
            track_id=number,
            track_uid=f"{device_id}-{number}",
            tracking_action="entered",
            class_name="car",
            confidence=0.9,
            bounding_box=BoundingBox(x=0.1, y=0.1, width=0.2, height=0.2),
            model_info=ModelInfo(model_type="test", version="1"),
        ),
    )


def _no_camera(_: Command) -> NoReturn:
    raise PermanentError("this device has no camera")


def _nothing(_: Command) -> ReplyFields:
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--broker-port", type=int, required=True)
    parser.add_argument("--count", type=int, required=True, help="total number of events over all starts")
    parser.add_argument("--rate", type=float, required=True, help="events per second")
    options = parser.parse_args()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())

    clock, topics = SystemClock(), DeviceTopics(SITE_ID, options.device)
    outbox = Outbox(options.folder / "outbox.db")
    handlers = CommandHandlers(
        snapshot=_no_camera, test_connection=_no_camera, reload=_nothing, resend=ResendHandler(outbox=outbox)
    )
    dispatcher = CommandDispatcher(topics=topics, handlers=handlers, clock=clock)
    settings = MqttSettings(
        host="127.0.0.1", port=options.broker_port, reconnect_min_s=0.1, reconnect_max_s=0.5, ack_timeout_s=5
    )
    publisher = MqttPublisher(settings=settings, topics=topics, on_command=dispatcher.receive, clock=clock)
    sender = Sender(outbox=outbox, publisher=publisher, settings=SenderSettings(retry_min_s=0.1, retry_max_s=0.5))
    heartbeat = HeartbeatLoop(
        topics=topics, publisher=publisher, outbox=outbox, cameras=list, interval_s=1.0, clock=clock
    )
    publisher.start()
    dispatcher.start(publisher)
    sender.start()
    heartbeat.start()
    _produce(outbox, options, stopped)
    stopped.wait()
    heartbeat.close()
    dispatcher.close()
    sender.close(2.0)
    publisher.close()
    outbox.close()


def _produce(outbox: Outbox, options: argparse.Namespace, stopped: threading.Event) -> None:
    new_id = Uuid7Generator()
    already = outbox.health().last_sequence
    began = time.monotonic()
    with (options.folder / "ledger.txt").open("a", encoding="ascii") as ledger:
        for number in range(already, options.count):
            if stopped.wait(max(began + (number - already) / options.rate - time.monotonic(), 0)):
                return
            event = _event(new_id, options.device, number + 1)
            outbox.put(event)
            ledger.write(f"{event.event_id}\n")
            ledger.flush()


if __name__ == "__main__":
    main()
