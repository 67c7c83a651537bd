"""The IoT rule's subscription accepts any topic, and the process ends when a network thread has ended."""

from __future__ import annotations

import threading

import paho.mqtt.client as mqtt

from infra.local.aws.ingest_event_source import Inbox
from infra.local.aws.iot_rule import NetworkThreadMonitor, RuleSubscription, connect


def test_cloud_c3_a_topic_that_is_not_utf8_reaches_ingest() -> None:
    """The invalid bytes are escaped, so that ingest can reject it with a reason. The network thread continues."""
    client = connect("mqtt://127.0.0.1", client_id="rule", persistent=True, manual_ack=True)
    inbox = Inbox()
    RuleSubscription(client=client, inbox=inbox)
    message = mqtt.MQTTMessage(mid=7, topic=b"vedette/hq/gate\xff/events/camera-1/motion")
    message.payload = b"{}"
    assert client.on_message is not None
    client.on_message(client, None, message)
    (received,) = inbox.take(most=10, most_bytes=1000)
    assert received.topic == "vedette/hq/gate\\xff/events/camera-1/motion"
    assert (received.packet_id, "gate\\\\xff" in received.body()) == (7, True)


def test_cloud_c3_a_network_thread_that_ended_stops_the_process() -> None:
    """paho's thread ends silently. The monitor detects this, and the supervisor restarts the process."""
    release, stopped = threading.Event(), threading.Event()
    thread = threading.Thread(target=release.wait, name="paho-mqtt-client-rule")
    thread.start()
    monitor = NetworkThreadMonitor(clients=["rule"], stopped=stopped)
    monitoring = threading.Thread(target=monitor.run)
    monitoring.start()
    assert not stopped.wait(1.2)
    release.set()
    thread.join()
    assert stopped.wait(10)
    monitoring.join()
    assert monitor.failed


def test_cloud_c3_the_monitored_thread_has_the_name_that_paho_gives_it() -> None:
    """The monitor finds the thread by its name, which paho chooses."""
    client = connect("mqtt://127.0.0.1:1", client_id="named", persistent=False)
    client.loop_start()
    try:
        assert "paho-mqtt-client-named" in {thread.name for thread in threading.enumerate()}
    finally:
        client.loop_stop()
