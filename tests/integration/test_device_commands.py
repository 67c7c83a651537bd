"""Commands of the API to devices: stored, published, answered through ingest, waited for, listed, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from cloud_functions.api.backends.database import ApiDatabase
from cloud_functions.api.backends.reply_signals import ListeningReplySignals, PolledReplySignals, ReplySignals
from cloud_functions.api.backends.thread_pool import ServerThreadPool
from cloud_functions.api.commands.ask import DeviceQuestion, ask_device, new_command_id, send_question
from cloud_functions.api.commands.responses import CommandEnvelope
from cloud_functions.api.dependencies import Dependencies
from cloud_functions.api.http.problems import Problem
from cloud_functions.db.connect import connector
from cloud_functions.device_commands import CommandPublisher
from cloud_functions.maintenance.handler import build_maintenance
from cloud_functions.settings import DatabaseSettings
from shared.commands import Reply, TestConnectionCommand
from shared.errors import TransientError
from tests.support.api_calls import ApiCalls, database_at, lambda_api
from tests.support.command_devices import AnsweringDevice, send_reply, store_device
from tests.support.ingest_harness import RecordingCommands, open_database, rows
from tests.support.waiting import eventually


def _question(device_id: str | None = "gate-01", **fields: Any) -> DeviceQuestion:
    command = TestConnectionCommand(command_id=new_command_id(), camera_id="gate")
    return DeviceQuestion(command=command, device_id=device_id, requested_by="somebody", **fields)


@contextmanager
def _server(
    url: str, commands: CommandPublisher, replies: ReplySignals | None = None, *, threads: int = 2
) -> Iterator[Dependencies]:
    """Yield the dependencies of a server with this many threads and database connections."""
    pool = ServerThreadPool(threads=threads)
    database = ApiDatabase(make_database=lambda: database_at(url), thread_pool=pool)
    _, dependencies = lambda_api(url, commands=commands)
    server = replace(dependencies, database=database, thread_pool=pool, replies=replies or _listening(url))
    yield server
    server.close()


def _listening(url: str) -> ListeningReplySignals:
    return ListeningReplySignals(connect=connector(DatabaseSettings(url=url)))


def _ask(deps: Dependencies, *questions: DeviceQuestion) -> list[Reply]:
    async def ask() -> list[Reply]:
        return await asyncio.gather(*(ask_device(deps, question) for question in questions))

    return asyncio.run(ask())


def _works(_: dict[str, Any]) -> dict[str, Any]:
    return {"latency_ms": 41.5}


def _listeners(url: str) -> list[int]:
    """Return the processes of the sessions that listen for replies."""
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN vedette_commands'"
    return [pid for (pid,) in rows(url, query)]


def test_a_reply_that_comes_before_the_wait_begins_is_returned(database_url: str) -> None:
    """On Lambda: the device answers while the command is still being published."""
    store_device(database_url)
    device = AnsweringDevice(database_url, _works)
    _, deps = lambda_api(database_url, commands=device)
    question = _question()
    [reply] = _ask(deps, question)
    assert (reply.status, reply.latency_ms, reply.command_id) == ("ok", 41.5, question.command.command_id)
    [(topic, command)] = device.sent
    assert topic == "vedette/hq/gate-01/commands/test_connection"
    assert command["expires_at"] > command["issued_at"]
    deps.close()


@pytest.mark.parametrize("make_signals", [lambda _: PolledReplySignals(), _listening])
def test_a_later_reply_ends_the_wait(database_url: str, make_signals: Callable[[str], ReplySignals]) -> None:
    """By polling and by notifications. An error of the device is a reply too."""
    store_device(database_url)
    device = AnsweringDevice(database_url, lambda _: {"status": "error", "error": "no such camera"}, after_s=0.3)
    with _server(database_url, device, make_signals(database_url)) as deps:
        [reply] = _ask(deps, _question())
    assert (reply.status, reply.error) == ("error", "no such camera")


def test_waiting_holds_no_connection_of_the_pool(database_url: str) -> None:
    """Twelve requests wait at once on a server with one thread and connection, and one session listens for all."""
    store_device(database_url)
    device = AnsweringDevice(database_url, _works, after_s=0.5)
    with _server(database_url, device, threads=1) as deps:
        replies = _ask(deps, *(_question() for _ in range(12)))
        assert len({reply.command_id for reply in replies}) == 12
        assert len(_listeners(database_url)) == 1
    eventually(lambda: not _listeners(database_url))


def test_the_wait_survives_the_loss_of_the_listening_connection(database_url: str) -> None:
    """The replies are polled meanwhile, and a new connection listens for the next ones."""
    store_device(database_url)
    with _server(database_url, AnsweringDevice(database_url, _works, after_s=0.2)) as deps:
        _ask(deps, _question())
        eventually(lambda: _listeners(database_url))
        [lost] = _listeners(database_url)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", [lost])
        [reply] = _ask(deps, _question())
        assert reply.status == "ok"
        eventually(lambda: set(_listeners(database_url)) - {lost})
        [reply] = _ask(deps, _question())
        assert reply.status == "ok"


@pytest.mark.parametrize(
    ("device_id", "code"),
    [
        (None, "camera-without-device"),
        ("unknown", "device-offline"),
        ("late", "device-offline"),
        ("gone", "device-offline"),
    ],
)
def test_a_device_that_cannot_answer_is_not_asked(database_url: str, device_id: str | None, code: str) -> None:
    """It never sent a heartbeat, sent none for 90 seconds, or its last will is `offline`: 409, and no command."""
    store_device(database_url, "late", age_s=95)
    store_device(database_url, "gone", status="offline")
    commands = RecordingCommands()
    _, deps = lambda_api(database_url, commands=commands)
    with pytest.raises(Problem) as raised:
        _ask(deps, _question(device_id))
    assert (raised.value.status, raised.value.kind) == (409, code)
    assert commands.sent == []
    assert rows(database_url, "SELECT * FROM commands") == []
    deps.close()


def test_a_silent_device_is_a_504_and_its_late_reply_is_kept(database_url: str) -> None:
    """The command can be read with its reply, which is recorded once; another device's reply is not."""
    store_device(database_url)
    handler, deps = lambda_api(database_url, commands=RecordingCommands())
    question = _question(timeout_s=0.2)
    with pytest.raises(Problem) as raised:
        _ask(deps, question)
    assert (raised.value.status, raised.value.kind) == (504, "device-silent")
    command_id = question.command.command_id
    assert command_id in raised.value.detail
    api = ApiCalls(handler)
    stored = api.get(f"/api/v1/commands/{command_id}").json()
    CommandEnvelope.model_validate(stored, strict=True)
    data = stored["data"]
    assert (data["status"], data["reply"], data["repliedAt"], data["requested_by"]) == ("sent", None, None, "somebody")
    assert (data["kind"], data["device_id"], data["camera_id"]) == ("test_connection", "gate-01", "gate")
    send_reply(database_url, command_id, {"device_id": "gate-02", "latency_ms": 1})
    assert api.get(f"/api/v1/commands/{command_id}").json()["data"]["status"] == "sent"
    for latency_ms in (7, 8):
        send_reply(database_url, command_id, {"latency_ms": latency_ms})
    data = api.get(f"/api/v1/commands/{command_id}").json()["data"]
    assert (data["status"], data["reply"]["latency_ms"]) == ("ok", 7)
    assert data["repliedAt"] is not None
    handler.close()
    deps.close()


def test_replies_without_a_command_of_the_api_are_not_stored(database_url: str) -> None:
    """Neither a reply to a resend request, whose id is a UUID too, nor one with another id."""
    for command_id in (new_command_id(), "c-1"):
        send_reply(database_url, command_id, {"command": "resend"})
    assert rows(database_url, "SELECT * FROM commands") == []


def test_a_stored_reply_has_no_secrets(database_url: str) -> None:
    """A login in an address, and the value of a field that is named as a secret, are masked at any depth."""
    store_device(database_url)
    secret = "pl4nted-secret"
    answer = {
        "status": "error",
        "error": f"rtsp://admin:{secret}@10.0.0.7/live does not answer",
        "details": {"password": secret, "urls": [f"rtsp://admin:{secret}@10.0.0.7/", f"http://h/?token={secret}"]},
        "odd": 1e999,
    }
    _, deps = lambda_api(database_url, commands=AnsweringDevice(database_url, lambda _: answer))
    [reply] = _ask(deps, _question())
    assert reply.error == "rtsp://***@10.0.0.7/live does not answer"
    [(stored,)] = rows(database_url, "SELECT reply::text FROM commands")
    assert secret not in stored
    deps.close()


def test_a_command_that_cannot_be_published_is_an_error(database_url: str) -> None:
    """The caller gets the error at once, and the row says why there is no reply."""
    store_device(database_url)
    _, deps = lambda_api(database_url, commands=RecordingCommands(unavailable=True))
    with pytest.raises(TransientError):
        _ask(deps, _question())
    assert rows(database_url, "SELECT status, reply ->> 'error', replied_at FROM commands") == [
        ("error", "the command could not be published", None)
    ]
    deps.close()


@pytest.mark.parametrize("is_listening", [False, True])
def test_the_wait_ends_when_the_client_disconnects(database_url: str, is_listening: bool) -> None:
    """Long before the timeout, and nothing keeps waiting for the reply."""
    store_device(database_url)
    asked = 0

    async def is_abandoned() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    signals = _listening(database_url) if is_listening else PolledReplySignals()
    with _server(database_url, RecordingCommands(), signals) as deps, pytest.raises(Problem):
        _ask(deps, _question(timeout_s=600, is_abandoned=is_abandoned))
    assert asked == 3


def test_a_caller_need_not_wait(database_url: str) -> None:
    """The command is sent, and its row is what the caller reads later."""
    store_device(database_url)
    commands = RecordingCommands()
    _, deps = lambda_api(database_url, commands=commands)
    question = _question()
    command_id = asyncio.run(send_question(deps, question))
    assert [command["command_id"] for _, command in commands.sent] == [str(command_id)]
    assert rows(database_url, "SELECT id, status FROM commands") == [(command_id, "sent")]
    deps.close()


def test_unknown_commands_are_a_404_and_other_texts_a_422(database_url: str) -> None:
    """In the envelope, as all errors of this resource."""
    handler, deps = lambda_api(database_url)
    api = ApiCalls(handler)
    assert api.get(f"/api/v1/commands/{new_command_id()}").error().code == "command-not-found"
    assert api.get("/api/v1/commands/latest").error().code == "invalid-parameter"
    handler.close()
    deps.close()


def test_commands_older_than_a_month_are_deleted(database_url: str) -> None:
    """The nightly `tidy` deletes them, and no younger one."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO commands (id, device_id, site_id, kind, requested_by, created_at, expires_at)"
            " SELECT gen_random_uuid(), 'd', 'hq', 'snapshot', 'x', now() - days * interval '1 day', now()"
            " FROM generate_series(28, 33) AS days"
        )
    database = open_database(database_url)
    assert build_maintenance({"DATABASE_URL": database_url}, database=database).handle({"task": "tidy"}) == {"tidy": 4}
    assert rows(database_url, "SELECT count(*) FROM commands") == [(2,)]
    database.close()
