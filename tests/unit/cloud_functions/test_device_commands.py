"""Commands on the device: each once, each answered, none able to hurt."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.device.commands import (
    MAX_UNAVAILABLE_RANGES,
    MAX_UNSENT_REPLIES,
    MAX_WAITING,
    CommandDispatcher,
    CommandHandlers,
    NotReadyError,
    ReplyQueue,
    ResendHandler,
)
from edge_agent.outbox import Outbox, OutboxSettings
from shared.clock import ManualClock
from shared.commands import Reply
from shared.errors import PermanentError, TransientError
from shared.topics import DeviceTopics
from tests.support.edge.fake_transport import FakePublisher
from tests.support.edge.outbox_builders import motion_event
from tests.support.waiting import eventually

TOPICS = DeviceTopics("hq", "gate-01")


class Recorder:
    """Handlers that note what they were asked, and do what the test says."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.act: Callable[[Any], Any] = lambda _: None

    def __call__(self, command: Any) -> Any:
        self.asked.append(command)
        return self.act(command)


class Device:
    """A dispatcher between a fake publisher and recording handlers."""

    def __init__(self, *, resend: Callable[[Any], Any] | None = None, workers: int = 2) -> None:
        self.clock = ManualClock()
        self.publisher = FakePublisher()
        self.handler = Recorder()
        handlers = CommandHandlers(
            snapshot=self.handler,
            test_connection=self.handler,
            reload=self.handler,
            resend=resend or self.handler,
        )
        self.dispatcher = CommandDispatcher(topics=TOPICS, handlers=handlers, clock=self.clock, workers=workers)
        self.dispatcher.start(self.publisher)

    def ask(self, command: str = "reload", command_id: str = "c-1", *, topic: str | None = None, **fields: Any) -> None:
        payload = json.dumps({"command": command, "command_id": command_id, **fields}).encode()
        self.dispatcher.receive(topic or TOPICS.command(command), payload)

    def replies(self) -> list[Reply]:
        return [Reply.model_validate_json(payload) for _, payload in self.publisher.published]

    def next_reply(self) -> Reply:
        eventually(lambda: self.publisher.published)
        return self.replies()[-1]


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device()
    yield device
    device.dispatcher.close()


def test_a_command_is_carried_out_and_answered(device: Device) -> None:
    """The handler's fields travel in the reply, on the command's own topic."""
    device.handler.act = lambda _: {"latency_ms": 12.5, "resolution": "1280x720", "codec": "h264"}
    device.ask("test_connection", "c-7", camera_id="camera-1")
    reply = device.next_reply()
    assert device.publisher.published[0][0] == "vedette/hq/gate-01/replies/c-7"
    assert (reply.command_id, reply.command, reply.status, reply.error) == ("c-7", "test_connection", "ok", None)
    assert (reply.latency_ms, reply.resolution, reply.codec) == (12.5, "1280x720", "h264")
    assert reply.timestamp == device.clock.now()
    assert device.handler.asked[0].camera_id == "camera-1"


@pytest.mark.parametrize("command", ["snapshot", "reload"])
def test_a_handler_with_nothing_to_add_is_an_ok(device: Device, command: str) -> None:
    """None is success."""
    device.ask(command, camera_id="camera-1")
    assert device.next_reply().status == "ok"


def test_a_duplicate_is_carried_out_once_and_answered_again(device: Device) -> None:
    """MQTT may deliver twice, perhaps because the reply was lost."""
    device.ask()
    first = device.next_reply()
    device.ask()
    eventually(lambda: len(device.publisher.published) == 2)
    assert device.replies()[1] == first
    assert len(device.handler.asked) == 1


def test_a_duplicate_while_the_first_is_at_work_is_ignored(device: Device) -> None:
    """Two workers do not do the same thing at once."""
    go_on = threading.Event()
    device.handler.act = lambda _: go_on.wait(20) and None
    device.ask()
    eventually(lambda: device.handler.asked)
    device.ask()
    device.ask("reload", "c-2")
    eventually(lambda: len(device.handler.asked) == 2)
    go_on.set()
    eventually(lambda: len(device.publisher.published) == 2)
    assert sorted(reply.command_id for reply in device.replies()) == ["c-1", "c-2"]


def test_an_expired_command_is_answered_not_carried_out(device: Device) -> None:
    """A snapshot asked for an hour ago is not wanted now."""
    device.ask(expires_at=(device.clock.now() - timedelta(seconds=1)).isoformat())
    reply = device.next_reply()
    assert reply.status == "error"
    assert "expired" in str(reply.error)
    assert device.handler.asked == []


def test_a_command_that_expires_later_is_carried_out(device: Device) -> None:
    """Not expired is not expired."""
    device.ask(expires_at=(device.clock.now() + timedelta(seconds=1)).isoformat())
    assert device.next_reply().status == "ok"


def test_an_error_on_purpose_is_told(device: Device) -> None:
    """The text of our own errors may be shown."""

    def fail(_: Any) -> None:
        raise TransientError("camera-1 does not answer")

    device.handler.act = fail
    device.ask()
    assert device.next_reply().error == "camera-1 does not answer"


def test_any_other_error_is_kept_at_home(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    """What an unforeseen error says may hold a secret: only its kind is told, the log has the rest."""

    def fail(_: Any) -> None:
        raise RuntimeError("rtsp://admin:hunter2@10.0.0.1")

    device.handler.act = fail
    device.ask()
    reply = device.next_reply()
    assert "RuntimeError" in str(reply.error)
    assert "hunter2" not in str(reply.error)
    assert "the command reload failed" in caplog.text


def test_an_answer_of_another_shape_is_an_error_reply(device: Device) -> None:
    """A handler's mistake still gets the asker an answer."""
    device.handler.act = lambda _: {"latency_ms": "soon"}
    device.ask()
    assert device.next_reply().status == "error"


@pytest.mark.parametrize(
    ("payload", "answered"),
    [
        (b"", False),
        (b"not json", False),
        (b"[]", False),
        (b'{"command": "reload"}', False),
        (b'{"command": "reload", "command_id": "../x"}', False),
        (b'{"command": "reload", "command_id": 7}', False),
        (b'{"command": "format_disk", "command_id": "c-1"}', True),
        (b'{"command": "snapshot", "command_id": "c-1"}', True),
        (b'{"command": "resend", "command_id": "c-1", "sequence_epoch": "e", "ranges": []}', True),
        (b"[" * 50_000, False),
        (b'{"command_id": "c-1", "x": "' + b"y" * 70_000 + b'"}', False),
    ],
)
def test_edge_34_what_is_no_command_is_answered_where_it_says_who_asks(
    device: Device, payload: bytes, answered: bool
) -> None:
    """Malformed, oversized or hostile: an error reply or silence, and the next command works."""
    device.dispatcher.receive(TOPICS.command("reload"), payload)
    device.ask("reload", "after")
    eventually(lambda: any(reply.command_id == "after" for reply in device.replies()))
    errors = [reply for reply in device.replies() if reply.command_id == "c-1"]
    assert [reply.status for reply in errors] == (["error"] if answered else [])
    assert len(device.handler.asked) == 1


def test_a_command_on_another_command_s_topic_is_refused(device: Device) -> None:
    """Rights are given by topic: a payload may not say something else."""
    device.ask("reload", topic=TOPICS.command("snapshot"))
    assert "topic" in str(device.next_reply().error)
    assert device.handler.asked == []


def test_too_many_at_a_time_are_answered_with_an_error() -> None:
    """The network thread is never held up, and memory is bounded."""
    device = Device(workers=1)
    go_on = threading.Event()
    device.handler.act = lambda _: go_on.wait(20) and None
    device.ask("reload", "first")
    eventually(lambda: device.handler.asked)
    for number in range(MAX_WAITING + 5):
        device.ask("reload", f"n-{number}")
    refused = [reply for reply in device.replies() if reply.status == "error"]
    assert len(refused) == 5
    assert "too many" in str(refused[0].error)
    go_on.set()
    eventually(lambda: len(device.publisher.published) == MAX_WAITING + 6)
    device.dispatcher.close()


def test_a_reply_waits_for_the_broker(device: Device) -> None:
    """Asked just before the connection went: answered when it is back."""
    device.publisher.set_connected(False)
    device.ask()
    eventually(lambda: device.handler.asked)
    time.sleep(0.02)
    assert device.publisher.published == []
    eventually(lambda: device.publisher.set_connected(True) or device.publisher.published)
    assert device.next_reply().command_id == "c-1"


def test_a_reply_lost_on_its_way_goes_again() -> None:
    """Unacknowledged is unsent."""
    publisher = FakePublisher(ack=False)
    replies = ReplyQueue(publisher=publisher, clock=ManualClock())
    replies.send("t", b"reply")
    publisher.ack = True
    publisher.lose()
    assert publisher.published == [("t", b"reply"), ("t", b"reply")]


def test_old_replies_are_given_up() -> None:
    """Nobody waits for an answer for an hour."""
    clock = ManualClock()
    publisher = FakePublisher(connected=False)
    replies = ReplyQueue(publisher=publisher, clock=clock)
    replies.send("t", b"old")
    clock.advance(500)
    replies.send("t", b"new")
    clock.advance(200)
    publisher.set_connected(True)
    assert publisher.published == [("t", b"new")]


def test_unsent_replies_are_bounded() -> None:
    """A long outage does not fill the memory: the oldest answers go."""
    publisher = FakePublisher(connected=False)
    replies = ReplyQueue(publisher=publisher, clock=ManualClock())
    for number in range(MAX_UNSENT_REPLIES + 10):
        replies.send("t", b"%d" % number)
    publisher.set_connected(True)
    assert [payload for _, payload in publisher.published][:1] == [b"10"]
    assert len(publisher.published) == MAX_UNSENT_REPLIES


def test_closing_ends_the_workers_and_drops_what_waits() -> None:
    """What has begun is finished; what waits is not begun."""
    device = Device(workers=1)
    go_on = threading.Event()
    device.handler.act = lambda _: go_on.wait(20) and None
    device.ask("reload", "begun")
    eventually(lambda: device.handler.asked)
    device.ask("reload", "waiting")
    closing = threading.Thread(target=device.dispatcher.close)
    closing.start()
    eventually(lambda: "waiting" in [reply.command_id for reply in device.replies()])  # answered, not carried out
    go_on.set()
    closing.join()
    assert [command.command_id for command in device.handler.asked] == ["begun"]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox.db", settings=OutboxSettings(keep_sent_bytes=10_000_000))
    yield outbox
    outbox.close()


def test_resend_puts_events_back_and_names_what_is_gone(outbox: Outbox) -> None:
    """The reply says how many come again and which never will."""
    for _ in range(10):
        outbox.put(motion_event())
    outbox.events.ack(outbox.events.take(10))
    device = Device(resend=ResendHandler(outbox=outbox))
    device.ask("resend", "r-1", sequence_epoch=outbox.epoch, ranges=[[3, 4], [9, 12]])
    reply = device.next_reply()
    assert (reply.status, reply.resent, reply.unavailable) == ("ok", 4, [(11, 12)])
    assert reply.sequence_epoch == outbox.epoch
    assert [item.key for item in outbox.events.take(10)] == [3, 4, 9, 10]
    device.dispatcher.close()


def test_resend_of_another_epoch_is_all_unavailable(outbox: Outbox) -> None:
    """The outbox was wiped: the cloud may close the hole as lost."""
    device = Device(resend=ResendHandler(outbox=outbox))
    device.ask("resend", "r-1", sequence_epoch="gone", ranges=[[3, 4]])
    reply = device.next_reply()
    assert (reply.resent, reply.unavailable, reply.sequence_epoch) == (0, [(3, 4)], "gone")
    device.dispatcher.close()


def test_the_list_of_what_is_gone_is_bounded() -> None:
    """However ragged the holes, the reply fits into one message."""

    class Ragged:
        def resend(self, _epoch: str, _ranges: object) -> Any:
            from edge_agent.outbox import ResendOutcome

            return ResendOutcome(resent=0, unavailable=[(2 * n, 2 * n) for n in range(1, 100_000)])

    handler = ResendHandler(outbox=Ragged())  # pyright: ignore[reportArgumentType]
    device = Device(resend=handler)
    device.ask("resend", "r-1", sequence_epoch="e", ranges=[[1, 10]])
    reply = device.next_reply()
    assert len(reply.unavailable or []) == MAX_UNAVAILABLE_RANGES
    assert len(device.publisher.published[0][1]) < 128 * 1024
    device.dispatcher.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(topic=st.text(max_size=60), payload=st.binary(max_size=300))
def test_edge_34_nothing_that_arrives_can_hurt(device: Device, topic: str, payload: bytes) -> None:
    """Any topic and any bytes: no exception reaches the network thread, and the next command is answered."""
    device.dispatcher.receive(topic, payload)
    known = len(device.publisher.published)
    device.ask("reload", f"after-{known}")
    eventually(lambda: len(device.publisher.published) > known)


def test_python_replies_survive_a_link_that_fails_unexpectedly() -> None:
    """What waits for the broker still waits when publishing the first of it raises."""

    class Faulty(FakePublisher):
        faults = 0

        def publish(self, topic: str, payload: bytes, *, retain: bool = False):
            if self.faults:
                self.faults -= 1
                raise ZeroDivisionError
            return super().publish(topic, payload, retain=retain)

    publisher = Faulty(connected=False)
    replies = ReplyQueue(publisher=publisher, clock=ManualClock())
    for number in range(3):
        replies.send(f"replies/{number}", b"x")
    publisher.connected = True
    publisher.faults = 1
    with pytest.raises(ZeroDivisionError):
        replies.try_again()
    replies.try_again()
    assert [topic for topic, _ in publisher.published] == ["replies/0", "replies/1", "replies/2"]


def test_python_faults_while_sending_replies_again_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The worker that sends them again lives on, with one traceback in the log."""

    class Broken(FakePublisher):
        kept = calls = 0

        def publish(self, topic: str, payload: bytes, *, retain: bool = False):
            if self.connected:
                self.calls += 1
                raise ZeroDivisionError
            self.kept += 1
            return super().publish(topic, payload, retain=retain)

    publisher, handler = Broken(connected=False), Recorder()
    handlers = CommandHandlers(snapshot=handler, test_connection=handler, reload=handler, resend=handler)
    dispatcher = CommandDispatcher(topics=TOPICS, handlers=handlers, workers=1, retry_every_s=0.01)
    dispatcher.start(publisher)
    try:
        dispatcher.receive(TOPICS.command("reload"), b'{"command": "reload", "command_id": "c-1"}')
        eventually(lambda: publisher.kept == 1)
        publisher.connected = True
        eventually(lambda: publisher.calls >= 4)
    finally:
        dispatcher.close()
    assert caplog.text.count("sending replies again failed unexpectedly") == 1


def test_edge_10_a_command_that_cannot_be_carried_out_yet_waits_and_holds_up_no_other(device: Device) -> None:
    """More of them than there are workers wait for their camera; others are answered meanwhile, and then all are."""
    ready = threading.Event()

    def act(command: Any) -> None:
        if command.command == "snapshot" and not ready.is_set():
            raise NotReadyError("not connected yet")

    device.handler.act = act
    for number in range(5):
        device.ask("snapshot", f"s-{number}", camera_id="camera-1")
    device.ask("reload", "r-1")
    eventually(lambda: len(device.handler.asked) >= 12)
    assert [reply.command_id for reply in device.replies()] == ["r-1"]
    ready.set()
    eventually(lambda: len(device.replies()) == 6)
    assert {(reply.command, reply.status) for reply in device.replies()} == {("reload", "ok"), ("snapshot", "ok")}


def test_edge_10_a_command_that_expires_while_it_waits_is_answered_so(device: Device) -> None:
    """It is not carried out after its time, and the answer says that it had waited."""

    def act(_: Any) -> None:
        device.clock.advance(1)
        raise NotReadyError("not connected yet")

    device.handler.act = act
    expires_at = device.clock.now() + timedelta(seconds=3)
    device.ask("snapshot", camera_id="camera-1", expires_at=expires_at.isoformat())
    reply = device.next_reply()
    assert (reply.status, reply.error) == ("error", "the command expired while it waited")


def test_edge_10_what_still_waits_at_the_end_is_answered() -> None:
    """A device that stops says so to those who wait, instead of leaving them to their timeouts."""
    device = Device()

    def act(_: Any) -> None:
        raise NotReadyError("not connected yet")

    device.handler.act = act
    device.ask("snapshot", camera_id="camera-1")
    eventually(lambda: device.handler.asked)
    device.dispatcher.close()
    assert "stopping" in str(device.next_reply().error)


def test_edge_36_a_reply_that_is_given_up_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Refused for good, too old, or one too many: no reply disappears without a word."""
    clock, publisher = ManualClock(), FakePublisher()
    replies = ReplyQueue(publisher=publisher, clock=clock)
    publisher.fail_with = PermanentError("cannot publish")
    replies.send("vedette/hq/gate-01/replies/a", b"{}")
    assert "replies/a: cannot publish" in caplog.text
    publisher.fail_with = TransientError("away")
    for number in range(MAX_UNSENT_REPLIES + 1):
        replies.send(f"vedette/hq/gate-01/replies/b-{number}", b"{}")
    assert "dropping the one on vedette/hq/gate-01/replies/b-0" in caplog.text
    clock.advance(601)
    replies.try_again()
    assert "replies/b-1, unsent for 600 s" in caplog.text
