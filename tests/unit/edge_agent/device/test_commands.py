"""The command dispatcher: each command is executed once, each is answered, and invalid ones do no harm."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.device.commands import (
    MAX_WAITING,
    CommandFailedError,
    InProgressError,
    NotReadyError,
    refuse_configuration,
)
from shared.commands import MAX_COMMAND_BYTES, ConfigureCommand
from shared.errors import TransientError
from tests.support.edge.command_harness import TOPICS, CommandHarness
from tests.support.waiting import eventually


def test_a_command_is_executed_and_answered(device: CommandHarness) -> None:
    """The reply is published on the command's own reply topic, with the fields that the handler returned."""
    device.handler.behavior = lambda _: {"latency_ms": 12.5, "resolution": "1280x720", "codec": "h264"}
    device.send("test_connection", "c-7", camera_id="camera-1")
    reply = device.last_reply()
    assert device.publisher.published[0][0] == "vedette/hq/gate-01/replies/c-7"
    assert (reply.command_id, reply.command, reply.status, reply.error) == ("c-7", "test_connection", "ok", None)
    assert (reply.latency_ms, reply.resolution, reply.codec) == (12.5, "1280x720", "h264")
    assert reply.timestamp == device.clock.now()
    assert device.handler.commands[0].camera_id == "camera-1"


@pytest.mark.parametrize("command", ["snapshot", "reload"])
def test_a_handler_that_returns_none_succeeds(device: CommandHarness, command: str) -> None:
    """The reply has the status ``ok`` and no further fields."""
    device.send(command, camera_id="camera-1")
    assert device.last_reply().status == "ok"


def test_a_duplicate_is_executed_once_and_answered_again(device: CommandHarness) -> None:
    """MQTT may deliver a command twice, and the first reply may have been lost."""
    device.send()
    first = device.last_reply()
    device.send()
    eventually(lambda: len(device.publisher.published) == 2)
    assert device.replies()[1] == first
    assert len(device.handler.commands) == 1


def test_a_duplicate_of_a_running_command_is_ignored(device: CommandHarness) -> None:
    """Two workers do not execute the same command at the same time."""
    release = threading.Event()
    device.handler.behavior = lambda _: release.wait(20) and None
    device.send()
    eventually(lambda: device.handler.commands)
    device.send()
    device.send("reload", "c-2")
    eventually(lambda: len(device.handler.commands) == 2)
    release.set()
    eventually(lambda: len(device.publisher.published) == 2)
    assert sorted(reply.command_id for reply in device.replies()) == ["c-1", "c-2"]


def test_an_expired_command_is_answered_without_being_executed(device: CommandHarness) -> None:
    """The reply is an error, because a late snapshot would show another scene than the requested one."""
    device.send(expires_at=(device.clock.now() - timedelta(seconds=1)).isoformat())
    reply = device.last_reply()
    assert reply.status == "error"
    assert "expired" in str(reply.error)
    assert device.handler.commands == []


def test_a_command_that_expires_later_is_executed(device: CommandHarness) -> None:
    """An expiry time in the future has no effect."""
    device.send(expires_at=(device.clock.now() + timedelta(seconds=1)).isoformat())
    assert device.last_reply().status == "ok"


def test_the_text_of_an_expected_error_is_in_the_reply(device: CommandHarness) -> None:
    """The text of a VedetteError contains no secrets."""

    def fail(_: Any) -> None:
        raise TransientError("camera-1 does not answer")

    device.handler.behavior = fail
    device.send()
    assert device.last_reply().error == "camera-1 does not answer"


def test_the_text_of_an_unexpected_error_is_only_in_the_log(
    device: CommandHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """It may contain a secret, so the reply contains only the type of the exception."""

    def fail(_: Any) -> None:
        raise RuntimeError("rtsp://admin:hunter2@10.0.0.1")

    device.handler.behavior = fail
    device.send()
    reply = device.last_reply()
    assert "RuntimeError" in str(reply.error)
    assert "hunter2" not in str(reply.error)
    assert "the command reload failed" in caplog.text


def test_invalid_reply_fields_become_an_error_reply(device: CommandHarness) -> None:
    """If a handler returns a field of the wrong type, the sender of the command still receives an answer."""
    device.handler.behavior = lambda _: {"latency_ms": "soon"}
    device.send()
    assert device.last_reply().status == "error"


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
        (b'{"command_id": "c-1", "x": "' + b"y" * MAX_COMMAND_BYTES + b'"}', False),
    ],
)
def test_edge_34_an_invalid_message_is_answered_if_it_has_a_command_id(
    device: CommandHarness, payload: bytes, answered: bool
) -> None:
    """A malformed, oversized or hostile message gets an error reply or none, and the next command is executed."""
    device.dispatcher.receive(TOPICS.command("reload"), payload)
    device.send("reload", "after")
    eventually(lambda: any(reply.command_id == "after" for reply in device.replies()))
    errors = [reply for reply in device.replies() if reply.command_id == "c-1"]
    assert [reply.status for reply in errors] == (["error"] if answered else [])
    assert len(device.handler.commands) == 1


def test_a_command_on_the_topic_of_another_command_is_rejected(device: CommandHarness) -> None:
    """Permissions are granted by topic, so the payload must name the same command as the topic."""
    device.send("reload", topic=TOPICS.command("snapshot"))
    assert "topic" in str(device.last_reply().error)
    assert device.handler.commands == []


def test_too_many_queued_commands_are_answered_with_an_error() -> None:
    """The network thread never blocks, and memory stays bounded."""
    device = CommandHarness(workers=1)
    release = threading.Event()
    device.handler.behavior = lambda _: release.wait(20) and None
    device.send("reload", "first")
    eventually(lambda: device.handler.commands)
    for number in range(MAX_WAITING + 5):
        device.send("reload", f"n-{number}")
    refused = [reply for reply in device.replies() if reply.status == "error"]
    assert len(refused) == 5
    assert "too many" in str(refused[0].error)
    release.set()
    eventually(lambda: len(device.publisher.published) == MAX_WAITING + 6)
    device.dispatcher.close()


def test_close_finishes_running_commands_and_refuses_queued_ones() -> None:
    """A queued command is answered with an error and is not executed."""
    device = CommandHarness(workers=1)
    release = threading.Event()
    device.handler.behavior = lambda _: release.wait(20) and None
    device.send("reload", "running")
    eventually(lambda: device.handler.commands)
    device.send("reload", "queued")
    closing = threading.Thread(target=device.dispatcher.close)
    closing.start()
    eventually(lambda: "queued" in [reply.command_id for reply in device.replies()])
    release.set()
    closing.join()
    assert device.handler.ids() == ["running"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(topic=st.text(max_size=60), payload=st.binary(max_size=300))
def test_edge_34_arbitrary_messages_do_no_harm(device: CommandHarness, topic: str, payload: bytes) -> None:
    """For any topic and payload, no exception reaches the network thread, and the next command is answered."""
    device.dispatcher.receive(topic, payload)
    known = len(device.publisher.published)
    device.send("reload", f"after-{known}")
    eventually(lambda: len(device.publisher.published) > known)


def test_edge_10_a_command_that_is_not_ready_does_not_block_others(device: CommandHarness) -> None:
    """More commands than workers wait for their camera; another one is answered at once, and they are later."""
    ready = threading.Event()

    def execute(command: Any) -> None:
        if command.command == "snapshot" and not ready.is_set():
            raise NotReadyError("not connected yet")

    device.handler.behavior = execute
    for number in range(5):
        device.send("snapshot", f"s-{number}", camera_id="camera-1")
    device.send("reload", "r-1")
    eventually(lambda: len(device.handler.commands) >= 12)
    assert [reply.command_id for reply in device.replies()] == ["r-1"]
    ready.set()
    eventually(lambda: len(device.replies()) == 6)
    assert {(reply.command, reply.status) for reply in device.replies()} == {("reload", "ok"), ("snapshot", "ok")}


def test_edge_10_a_command_that_expires_while_it_waits_gets_an_error(device: CommandHarness) -> None:
    """It is not executed after its expiry time, and the reply states that it had waited."""

    def fail(_: Any) -> None:
        device.clock.advance(1)
        raise NotReadyError("not connected yet")

    device.handler.behavior = fail
    expires_at = device.clock.now() + timedelta(seconds=3)
    device.send("snapshot", camera_id="camera-1", expires_at=expires_at.isoformat())
    reply = device.last_reply()
    assert (reply.status, reply.error) == ("error", "the command expired while it waited")


def test_edge_10_waiting_commands_are_answered_when_the_device_stops() -> None:
    """The sender receives an error at once instead of waiting for a timeout."""
    device = CommandHarness()

    def fail(_: Any) -> None:
        raise NotReadyError("not connected yet")

    device.handler.behavior = fail
    device.send("snapshot", camera_id="camera-1")
    eventually(lambda: device.handler.commands)
    device.dispatcher.close()
    assert "stopping" in str(device.last_reply().error)


def test_a_command_in_progress_does_not_expire(device: CommandHarness) -> None:
    """It is retried until its outcome is known, also after its time; one that has not begun expires."""
    handler = device.handler
    handler.behavior = lambda command: _raise(
        InProgressError("applying") if command.command_id == "begun" else NotReadyError("no picture yet")
    )
    expires_at = (device.clock.now() + timedelta(seconds=10)).isoformat()
    device.send("configure", "begun", version=1, cameras=[], expires_at=expires_at)
    device.send("reload", "waiting", expires_at=expires_at)
    eventually(lambda: {"begun", "waiting"} <= set(handler.ids()))
    device.clock.advance(11)
    assert (device.last_reply().command_id, device.last_reply().status) == ("waiting", "error")
    handler.behavior = lambda _: {"config_version": 1}
    eventually(lambda: len(device.replies()) == 2)
    assert (device.last_reply().command_id, device.last_reply().config_version) == ("begun", 1)


def test_a_failed_command_has_further_fields(device: CommandHarness) -> None:
    """The reply has the error and the fields of the handler's exception."""
    device.handler.behavior = lambda _: _raise(
        CommandFailedError("no", fields={"config_version": 3, "rejected_version": 4})
    )
    device.send("configure", version=4, cameras=[])
    reply = device.last_reply()
    assert (reply.status, reply.error, reply.config_version, reply.rejected_version) == ("error", "no", 3, 4)


def test_a_device_that_is_not_managed_refuses_a_configuration() -> None:
    """The refused version is named, so that it is not sent again."""
    command = ConfigureCommand(command_id="c-1", version=7, cameras=[])
    with pytest.raises(CommandFailedError, match=r"agent\.toml") as refused:
        refuse_configuration(command)
    assert refused.value.fields == {"rejected_version": 7}


def _raise(error: Exception) -> Any:
    raise error
