"""Replies to commands while the broker is unavailable."""

from __future__ import annotations

import time

import pytest

from edge_agent.device.commands import CommandDispatcher, CommandHandlers
from edge_agent.device.replies import MAX_UNSENT_REPLIES, ReplyQueue
from shared.clock import ManualClock
from shared.errors import PermanentError, TransientError
from tests.support.edge.command_harness import TOPICS, CommandHarness, RecordingHandler
from tests.support.edge.fake_transport import FakePublisher
from tests.support.waiting import eventually


def test_a_reply_is_sent_after_the_broker_is_connected_again(device: CommandHarness) -> None:
    """A command that arrives just before the connection is lost is answered after the reconnect."""
    device.publisher.set_connected(False)
    device.send()
    eventually(lambda: device.handler.commands)
    time.sleep(0.02)
    assert device.publisher.published == []
    eventually(lambda: device.publisher.set_connected(True) or device.publisher.published)
    assert device.last_reply().command_id == "c-1"


def test_an_unacknowledged_reply_is_sent_again() -> None:
    """A reply counts as sent only when the broker has acknowledged it."""
    publisher = FakePublisher(ack=False)
    replies = ReplyQueue(publisher=publisher, clock=ManualClock())
    replies.send("t", b"reply")
    publisher.ack = True
    publisher.lose()
    assert publisher.published == [("t", b"reply"), ("t", b"reply")]


def test_old_replies_are_dropped() -> None:
    """A reply that is older than its lifetime is not sent after a reconnect."""
    clock = ManualClock()
    publisher = FakePublisher(connected=False)
    replies = ReplyQueue(publisher=publisher, clock=clock)
    replies.send("t", b"old")
    clock.advance(500)
    replies.send("t", b"new")
    clock.advance(200)
    publisher.set_connected(True)
    assert publisher.published == [("t", b"new")]


def test_the_number_of_unsent_replies_is_limited() -> None:
    """During a long outage the oldest replies are dropped, so memory stays bounded."""
    publisher = FakePublisher(connected=False)
    replies = ReplyQueue(publisher=publisher, clock=ManualClock())
    for number in range(MAX_UNSENT_REPLIES + 10):
        replies.send("t", b"%d" % number)
    publisher.set_connected(True)
    assert [payload for _, payload in publisher.published][:1] == [b"10"]
    assert len(publisher.published) == MAX_UNSENT_REPLIES


def test_python_replies_survive_an_unexpected_publish_error() -> None:
    """If publishing the first queued reply raises an exception, all of them stay in the queue."""

    class FailingOnce(FakePublisher):
        faults = 0

        def publish(self, topic: str, payload: bytes, *, retain: bool = False):
            if self.faults:
                self.faults -= 1
                raise ZeroDivisionError
            return super().publish(topic, payload, retain=retain)

    publisher = FailingOnce(connected=False)
    replies = ReplyQueue(publisher=publisher, clock=ManualClock())
    for number in range(3):
        replies.send(f"replies/{number}", b"x")
    publisher.connected = True
    publisher.faults = 1
    with pytest.raises(ZeroDivisionError):
        replies.try_again()
    replies.try_again()
    assert [topic for topic, _ in publisher.published] == ["replies/0", "replies/1", "replies/2"]


def test_python_errors_while_resending_replies_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The worker thread that resends replies continues, and logs one traceback."""

    class FailingWhenConnected(FakePublisher):
        queued = calls = 0

        def publish(self, topic: str, payload: bytes, *, retain: bool = False):
            if self.connected:
                self.calls += 1
                raise ZeroDivisionError
            self.queued += 1
            return super().publish(topic, payload, retain=retain)

    publisher, handler = FailingWhenConnected(connected=False), RecordingHandler()
    handlers = CommandHandlers(snapshot=handler, test_connection=handler, reload=handler, resend=handler)
    dispatcher = CommandDispatcher(topics=TOPICS, handlers=handlers, workers=1, retry_every_s=0.01)
    dispatcher.start(publisher)
    try:
        dispatcher.receive(TOPICS.command("reload"), b'{"command": "reload", "command_id": "c-1"}')
        eventually(lambda: publisher.queued == 1)
        publisher.connected = True
        eventually(lambda: publisher.calls >= 4)
    finally:
        dispatcher.close()
    assert caplog.text.count("sending replies again failed unexpectedly") == 1


def test_edge_36_a_dropped_reply_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A reply that the broker refuses, that is too old, or that exceeds the limit is named in the log."""
    clock, publisher = ManualClock(), FakePublisher()
    replies = ReplyQueue(publisher=publisher, clock=clock)
    publisher.fail_with = PermanentError("cannot publish")
    replies.send("vedette/hq/gate-01/replies/a", b"{}")
    assert "replies/a: cannot publish" in caplog.text
    publisher.fail_with = TransientError("unavailable")
    for number in range(MAX_UNSENT_REPLIES + 1):
        replies.send(f"vedette/hq/gate-01/replies/b-{number}", b"{}")
    assert "dropping the one on vedette/hq/gate-01/replies/b-0" in caplog.text
    clock.advance(601)
    replies.try_again()
    assert "replies/b-1, unsent for 600 s" in caplog.text
