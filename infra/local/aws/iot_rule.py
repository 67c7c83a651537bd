"""The IoT rule and the IoT data plane of the one-machine stack: MQTT to the ingest function, and HTTP to MQTT.

The rule subscribes with a persistent session and acknowledges messages itself, so the broker keeps every message that
ingest has not stored when this process, the function or the database ends. The data plane serves boto3's ``iot-data``
``publish``, so commands use the same code path as on AWS.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from infra.local.aws.batch_journal import BatchJournal
from infra.local.aws.http_handler import ProgramHandler
from infra.local.aws.ingest_event_source import Inbox, IngestEventSourceMapping, ReceivedMessage
from infra.local.aws.lambda_function import LambdaFunction
from infra.local.processes.ports import LOOPBACK
from infra.packaging.functions import FUNCTIONS
from shared.log_lines import line_handler
from shared.topics import EVENTS_FILTER, HEARTBEAT_FILTER, REPLIES_FILTER, STATUS_FILTER

log = logging.getLogger(__name__)

RULE_FILTERS = (EVENTS_FILTER, HEARTBEAT_FILTER, STATUS_FILTER, REPLIES_FILTER)
_CLIENT_ID = "vedette-rule"
_DATA_PLANE_CLIENT_ID = "vedette-data-plane"
_MAX_PAYLOAD_BYTES = 128 * 1024  # AWS IoT Core's limit
_PUBLISH_TIMEOUT_S = 5.0
_POLL_INTERVAL_S = 1.0


def connect(url: str, *, client_id: str, persistent: bool, manual_ack: bool = False) -> mqtt.Client:
    """Return a client that connects in the background and reconnects whenever the connection is lost."""
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=not persistent, manual_ack=manual_ack
    )
    parts = urlsplit(url)
    if parts.username:
        client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
    if parts.scheme == "mqtts":
        client.tls_set()
    client.reconnect_delay_set(min_delay=1, max_delay=2)
    client.connect_async(parts.hostname or LOOPBACK, parts.port or (8883 if parts.scheme == "mqtts" else 1883), 30)
    return client


class RuleSubscription:
    """The rule's subscription: puts messages into the inbox, and acknowledges them on the connection they came from."""

    def __init__(self, *, client: mqtt.Client, inbox: Inbox) -> None:
        self._client = client
        self._inbox = inbox
        self._connection = 0
        client.on_connect = self._on_connect
        client.on_message = self._on_message

    def start(self) -> None:
        self._client.loop_start()

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def acknowledge(self, arrival: ReceivedMessage) -> None:
        """Send PUBACK, unless the connection on which the message came has ended.

        The broker then redelivers it with another packet id; the old id may belong to another message.
        """
        if arrival.connection == self._connection:
            self._client.ack(arrival.packet_id, 1)

    def _on_connect(self, client: mqtt.Client, _data: object, _flags: object, reason: Any, _props: object) -> None:
        if reason.is_failure:
            log.warning("the broker refused the IoT rule's connection: %s", reason)
            return
        self._connection += 1
        client.subscribe([(topic_filter, 1) for topic_filter in RULE_FILTERS])

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        received = ReceivedMessage(
            topic=_topic_of(message),
            payload=bytes(message.payload),
            packet_id=message.mid,
            connection=self._connection,
            received_at_ms=time.time_ns() // 1_000_000,
        )
        self._inbox.put(received)


def _topic_of(message: mqtt.MQTTMessage) -> str:
    """Return the topic; in a topic that is not UTF-8 (a broker should have refused it), the invalid bytes are escaped.

    Ingest then rejects the message with a reason and keeps a copy.
    """
    try:
        return message.topic
    except UnicodeDecodeError as error:
        return error.object.decode("utf-8", errors="backslashreplace")


class NetworkThreadMonitor:
    """Ends the process when an MQTT client's network thread has ended, so that the supervisor restarts the process.

    paho's thread ends silently when a callback raises; the process would then receive no more messages.
    """

    def __init__(self, *, clients: Sequence[str], stopped: threading.Event) -> None:
        self._names = {f"paho-mqtt-client-{client_id}" for client_id in clients}
        self._stopped = stopped
        self.failed = False

    def run(self) -> None:
        """Check once a second until ``stopped`` is set; set it when a thread is missing."""
        while not self._stopped.wait(_POLL_INTERVAL_S):
            missing = self._names - {thread.name for thread in threading.enumerate()}
            if missing:
                log.error(
                    "the network thread of %s has ended: the process will be restarted", ", ".join(sorted(missing))
                )
                self.failed = True
                self._stopped.set()


class _DataPlane(ProgramHandler):
    """``POST /topics/TOPIC?qos=1``: publish, and answer after the broker has acknowledged."""

    client: mqtt.Client

    def do_POST(self) -> None:  # noqa: N802  http.server's name
        payload = self.body(largest_bytes=_MAX_PAYLOAD_BYTES)
        path = urlsplit(self.path).path
        if not path.startswith("/topics/") or payload is None:
            self._reply(400)
            return
        try:
            sent = self.client.publish(unquote(path.removeprefix("/topics/")), payload, qos=1)
            sent.wait_for_publish(_PUBLISH_TIMEOUT_S)
            self._reply(200 if sent.is_published() else 503)
        except (ValueError, RuntimeError):  # no topic to publish to; not connected
            self._reply(503 if not self.client.is_connected() else 400)

    def _reply(self, status: int) -> None:
        body = b'{"message":"OK"}' if status == 200 else b'{"message":"not published"}'
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def data_plane(*, client: mqtt.Client, port: int) -> ThreadingHTTPServer:
    """Return the HTTP server that publishes; the caller runs ``serve_forever``."""
    server = ThreadingHTTPServer((LOOPBACK, port), type("DataPlane", (_DataPlane,), {"client": client}))
    server.daemon_threads = True
    return server


def main() -> int:
    """Run until SIGTERM (exit status 0) or until a network thread has ended (exit status 1).

    ``MQTT_URL`` names the broker; the other environment variables are those of the ingest function.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--data-plane-port", type=int, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, handlers=[line_handler()])
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())

    url = os.environ["MQTT_URL"]
    ingest = LambdaFunction(
        name="ingest", handler=FUNCTIONS["ingest"].entry_point, environment={}, folder=options.state
    )
    ingest.start()
    commands = connect(url, client_id=_DATA_PLANE_CLIENT_ID, persistent=False)
    commands.loop_start()
    server = data_plane(client=commands, port=options.data_plane_port)
    threading.Thread(target=server.serve_forever, name="data-plane", daemon=True).start()
    inbox = Inbox()
    rule = RuleSubscription(client=connect(url, client_id=_CLIENT_ID, persistent=True, manual_ack=True), inbox=inbox)
    rule.start()
    monitor = NetworkThreadMonitor(clients=[_CLIENT_ID, _DATA_PLANE_CLIENT_ID], stopped=stopped)
    threading.Thread(target=monitor.run, name="network-monitor", daemon=True).start()
    journal = BatchJournal(options.state / "ingest-batch.json")
    IngestEventSourceMapping(inbox=inbox, invoke=ingest.invoke, acknowledger=rule, journal=journal).run(stopped)

    rule.stop()
    server.shutdown()
    commands.disconnect()
    commands.loop_stop()
    ingest.stop()
    return 1 if monitor.failed else 0


if __name__ == "__main__":
    sys.exit(main())
