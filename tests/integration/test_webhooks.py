"""Deliveries to webhooks: real receivers that fail, hang, answer slowly and redirect, and a real database."""

from __future__ import annotations

import base64
import importlib.util
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from cloud_functions.db.webhooks.log import purge_excess_deliveries, purge_old_deliveries
from cloud_functions.fanout.handler import build_fanout
from cloud_functions.fanout.targets import build_target
from cloud_functions.fanout.targets.webhook import WebhookTarget
from cloud_functions.fanout.webhooks.addresses import AddressPolicy
from cloud_functions.fanout.webhooks.receiver import Receiver
from cloud_functions.fanout.webhooks.signature import signed_headers
from cloud_functions.privacy.protection import Protection
from cloud_functions.privacy.webhook_secrets import WebhookSecrets
from cloud_functions.settings import Environment, FanoutSettings
from tests.support.api_calls import ApiCalls, database_at, lambda_api
from tests.support.camera_groups import OWN, fill_two_groups
from tests.support.protected_sites import keys, setting
from tests.support.relay import Relay
from tests.support.users import add_key, bearer, users_api
from tests.support.waiting import eventually
from tests.support.webhook_receiver import Received, ReceivingServer, Reply, WebhookFanout, receiving

PATH = "/api/v1/webhooks"
Create = Callable[..., dict[str, Any]]


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[ApiCalls]:
    handler, dependencies = lambda_api(database_url, webhook_secrets=WebhookSecrets(master_keys=keys(tmp_path)))
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


@pytest.fixture
def create(api: ApiCalls) -> Create:
    """Return a function that registers a webhook and returns it, with its secret."""

    def register(url: str, name: str = "receiver", **fields: Any) -> dict[str, Any]:
        answer = api.post(PATH, {"name": name, "url": url, **fields})
        assert answer.status == 201, answer.body
        return answer.json()["data"]

    return register


@pytest.fixture
def fanout(database_url: str, tmp_path: Path) -> Iterator[WebhookFanout]:
    one = WebhookFanout(database_url, tmp_path)
    yield one
    one.close()


@pytest.fixture
def server() -> Iterator[ReceivingServer]:
    with receiving() as one:
        yield one


def expected_signature(one: Received, *secrets: str) -> str:
    """Return the signature header that the receiver computes for itself."""
    raw = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    timestamp_s = int(one.headers["webhook-timestamp"])
    return signed_headers(one.headers["webhook-id"], one.body, timestamp_s=timestamp_s, secrets=raw)[
        "webhook-signature"
    ]


def state(api: ApiCalls, webhook: dict[str, Any]) -> dict[str, Any]:
    return api.get(f"{PATH}/{webhook['id']}").json()["data"]


def delivery(api: ApiCalls, webhook: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    return api.get(f"{PATH}/{webhook['id']}/deliveries/{document['event_id']}").json()["data"]


def test_an_event_arrives_signed_and_once(
    api: ApiCalls, create: Create, fanout: WebhookFanout, server: ReceivingServer
) -> None:
    """The request has the document unchanged, its id and a valid signature; a repeated message adds no request."""
    webhook = create(server.url)
    document = fanout.stored("tracking")
    message = fanout.delivery(document)
    assert fanout.target.deliver([message]) == fanout.target.deliver([message]) == set()
    [one] = server.received
    assert (one.path, one.body) == ("/events?from=vedette", message.document.encode())
    assert one.headers["webhook-id"] == document["event_id"]
    assert one.headers["content-type"] == "application/json"
    assert abs(int(one.headers["webhook-timestamp"]) - time.time()) < 60
    assert one.headers["webhook-signature"] == expected_signature(one, webhook["secret"])
    logged = delivery(api, webhook, document)
    assert (logged["status"], logged["attempts"], logged["response_status"]) == ("delivered", 1, 204)
    assert state(api, webhook)["last_success_at"] is not None


def test_filters_are_those_of_the_events_api(create: Create, fanout: WebhookFanout, server: ReceivingServer) -> None:
    """Every condition must hold; a match of a watch-list has the type ``plate_match`` and the filter of its event."""
    base = server.url.partition("/events")[0]
    create(f"{base}/cars", "cars", filter={"event_type": "detection", "class_name": "car", "min_confidence": 0.7})
    create(f"{base}/zone", "zone", filter={"zone": "yard", "camera_id": "camera-1", "site_id": "hq"})
    create(f"{base}/plate", "plate", filter={"license_plate": "b-1", "event_type": "anpr"})
    create(f"{base}/match", "match", filter={"event_type": "plate_match"})
    create(f"{base}/off", "off", enabled=False)
    fanout.publish("detection")
    fanout.publish("detection", event_data={"detections": [{"class_name": "car", "confidence": 0.5}]})
    in_zone = {"track_id": 1, "class_name": "person", "confidence": 0.9, "zones": ["yard"]}
    fanout.publish("tracking", event_data=in_zone)
    fanout.publish("tracking", event_data=in_zone, camera_id="camera-2")
    plate = fanout.publish("anpr")
    match = plate | {"event_id": "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11", "event_type": "plate_match"}
    assert fanout.target.deliver([fanout.delivery(match)]) == set()
    found = sorted((one.path, one.event["event_type"]) for one in server.received)
    assert found == [
        ("/cars", "detection"),
        ("/match", "plate_match"),
        ("/plate", "anpr"),
        ("/zone", "tracking"),
    ]


def test_a_failure_is_repeated_until_it_succeeds(
    api: ApiCalls, create: Create, fanout: WebhookFanout, server: ReceivingServer
) -> None:
    """The webhook is paused after a failure; each attempt has the same id. Statuses and redirects are failures."""
    webhook = create(server.url)
    replies = [Reply(500), Reply(302, {"Location": "http://169.254.169.254/"}), Reply(404), Reply(200, body=b"thanks")]
    server.behave = lambda _: replies.pop(0)
    document = fanout.publish()
    assert delivery(api, webhook, document)["error"] == "status"
    fanout.target.deliver([])  # paused
    assert len(server.received) == 1
    for error, failures in (("redirect", 2), ("status", 3)):
        fanout.repeat()
        assert (delivery(api, webhook, document)["error"], state(api, webhook)["failures"]) == (error, failures)
    fanout.repeat()
    logged = delivery(api, webhook, document)
    assert (logged["status"], logged["attempts"], logged["error"]) == ("delivered", 4, None)
    assert {one.headers["webhook-id"] for one in server.received} == {document["event_id"]}
    assert (state(api, webhook)["failures"], state(api, webhook)["failing_since"]) == (0, None)
    fanout.repeat()
    assert len(server.received) == 4


def test_a_receiver_that_hangs_delays_no_other(
    api: ApiCalls, create: Create, database_url: str, tmp_path: Path, server: ReceivingServer
) -> None:
    """While one thread waits for its receiver, later events reach the others; then the request times out."""
    release = threading.Event()
    fanout = WebhookFanout(database_url, tmp_path, timeout_s=1.0, in_background=True)

    def hang(_: Received) -> Reply:
        release.wait(60)
        return Reply()

    with receiving(hang) as hanging:
        stuck, well = create(hanging.url, "a stuck one"), create(server.url, "well")
        first = fanout.publish()
        eventually(lambda: len(hanging.received) == 1)
        second = fanout.publish()
        eventually(lambda: len(server.received) == 2)
        assert [one.event["id"] for one in server.received] == [first["id"], second["id"]]
        assert {one.event["id"] for one in hanging.received} == {first["id"]}
        eventually(lambda: delivery(api, stuck, first)["error"] == "timeout")
        assert delivery(api, well, second)["status"] == "delivered"
        release.set()
    fanout.close()


def test_all_that_failed_in_an_outage_arrives_after_the_first_success(
    create: Create, fanout: WebhookFanout, server: ReceivingServer
) -> None:
    """Deliveries whose next attempt would be hours away are due as soon as the receiver answers again."""
    create(server.url)
    server.behave = lambda _: Reply(503)
    failed = [fanout.publish()["id"]]
    for _ in range(3):
        fanout.execute("UPDATE webhooks SET paused_until = NULL")
        failed.append(fanout.publish()["id"])
    fanout.execute("UPDATE webhooks SET paused_until = NULL")
    fanout.execute("UPDATE webhook_deliveries SET next_attempt_at = now() + interval '10 hours' WHERE attempts > 0")
    server.behave = lambda _: Reply()
    server.received.clear()
    last = fanout.publish()["id"]
    assert {one.event["id"] for one in server.received} == {*failed, last}


def test_retry_after_is_honoured_and_gone_disables(
    api: ApiCalls, create: Create, fanout: WebhookFanout, server: ReceivingServer
) -> None:
    """A wait that the receiver asks for replaces a shorter one. After 410 nothing more is sent."""
    webhook = create(server.url)
    server.behave = lambda _: Reply(429, {"Retry-After": "2000"})
    document = fanout.publish()
    [(wait_s, pause_s)] = fanout.execute(
        "SELECT extract(epoch FROM next_attempt_at - now()), extract(epoch FROM paused_until - now())"
        " FROM webhook_deliveries JOIN webhooks ON id = webhook_id"
    )
    assert 1900 < wait_s < 2300
    assert 1900 < pause_s < 2100
    server.behave = lambda _: Reply(410)
    fanout.repeat()
    assert (state(api, webhook)["enabled"], state(api, webhook)["disabled_reason"]) == (False, "gone")
    assert delivery(api, webhook, document)["status"] == "failed"
    fanout.publish()
    fanout.repeat()
    assert len(server.received) == 2
    assert api.post(f"{PATH}/{webhook['id']}/test", "").error().code == "webhook-disabled"


def test_a_delivery_is_given_up_and_a_webhook_that_always_fails_is_disabled(
    api: ApiCalls, create: Create, fanout: WebhookFanout, server: ReceivingServer
) -> None:
    """After ten attempts the delivery has failed. After five days without a success the webhook is disabled."""
    webhook = create(server.url)
    server.behave = lambda _: Reply(500)
    document = fanout.publish()
    for _ in range(12):
        fanout.repeat()
    logged = delivery(api, webhook, document)
    assert (logged["status"], logged["attempts"], len(server.received)) == ("failed", 10, 10)
    fanout.execute("UPDATE webhooks SET failing_since = now() - interval '6 days', paused_until = NULL")
    fanout.publish()
    assert (state(api, webhook)["enabled"], state(api, webhook)["disabled_reason"]) == (False, "failing")
    body = {"name": "receiver", "url": server.url, "enabled": True}
    assert api.put(f"{PATH}/{webhook['id']}", body).json()["data"]["disabled_reason"] is None
    server.behave = lambda _: Reply()
    fanout.publish()
    assert delivery(api, webhook, document)["status"] == "failed"
    assert state(api, webhook)["last_success_at"] is not None


def test_addresses_that_are_not_allowed_are_never_connected_to(
    api: ApiCalls, create: Create, database_url: str, tmp_path: Path, server: ReceivingServer
) -> None:
    """Without the setting no private address; never a link-local one; a name is resolved once; plain http needs the
    setting."""
    addresses = iter([["169.254.169.254"], ["93.184.215.14"], ["10.0.0.1", "127.0.0.1"]])
    resolved: list[str] = []

    def resolve_host(host: str, _: int) -> list[str]:
        resolved.append(host)
        return next(addresses)

    closed = WebhookFanout(database_url, tmp_path, networks="")
    webhook = create(server.url)
    document = closed.publish()
    assert delivery(api, webhook, document)["error"] == "address-not-allowed"
    fanout = WebhookFanout(database_url, tmp_path, resolve_host=resolve_host)
    api.put(f"{PATH}/{webhook['id']}", {"name": "receiver", "url": f"http://rebinding.example:{server.port}/"})
    for error in ("address-not-allowed", "https-required"):
        fanout.repeat()
        assert delivery(api, webhook, document)["error"] == error
    assert server.received == []
    fanout.repeat()
    assert delivery(api, webhook, document)["status"] == "delivered"
    assert [one.headers["host"] for one in server.received] == [f"rebinding.example:{server.port}"]
    assert resolved == ["rebinding.example"] * 3
    closed.close()
    fanout.close()


def test_a_slow_or_endless_response_is_bounded(
    api: ApiCalls, create: Create, database_url: str, tmp_path: Path, server: ReceivingServer
) -> None:
    """A body that never ends is not waited for longer than the time limit, and a long one is not read to its end."""
    fanout = WebhookFanout(database_url, tmp_path, timeout_s=0.5)
    webhook = create(server.url)
    server.behave = lambda _: Reply(200, body=b"x" * 200, drip_s=0.1)
    assert delivery(api, webhook, fanout.publish())["status"] == "delivered"
    server.behave = lambda _: Reply(200, body=b"x" * 5_000_000)
    assert delivery(api, webhook, fanout.publish())["status"] == "delivered"
    server.behave = lambda _: Reply(200)
    assert delivery(api, webhook, fanout.publish())["status"] == "delivered"
    fanout.close()


def test_the_secret_is_stored_wrapped_and_rotates_with_an_overlap(
    api: ApiCalls,
    create: Create,
    fanout: WebhookFanout,
    server: ReceivingServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Both secrets sign while both are valid; neither is in the database, a response or a log; a new master key keeps
    them."""
    caplog.set_level(logging.DEBUG)
    webhook = create(server.url)
    first = webhook["secret"]
    answer = api.post(f"{PATH}/{webhook['id']}/secret", {"overlap_s": 600})
    second = answer.json()["data"]["secret"]
    assert first != second
    assert answer.headers["cache-control"] == "no-store"
    fanout.publish()
    assert server.received[-1].headers["webhook-signature"] == expected_signature(server.received[-1], second, first)
    fanout.execute("UPDATE webhooks SET previous_until = now()")
    fanout.publish()
    assert server.received[-1].headers["webhook-signature"] == expected_signature(server.received[-1], second)
    raw = base64.b64decode(second.removeprefix("whsec_"))
    [(stored,)] = fanout.execute("SELECT secret FROM webhooks")
    assert raw not in bytes(stored)
    shown = api.get(f"{PATH}/{webhook['id']}").body + api.get(PATH).body + caplog.text.encode()
    assert first.encode() not in shown
    assert second.encode() not in shown
    database = database_at(fanout.url)
    assert Protection(database=database, master_keys=keys(tmp_path)).rewrap(old=keys(tmp_path)) == 2
    database.close()
    fanout.publish()
    assert server.received[-1].headers["webhook-signature"] == expected_signature(server.received[-1], second)


def test_a_test_is_sent_and_a_delivery_is_repeated_on_request(
    api: ApiCalls, create: Create, fanout: WebhookFanout, server: ReceivingServer
) -> None:
    """Both are deliveries in the log, and the repeated one has the same id."""
    webhook = create(server.url)
    path = f"{PATH}/{webhook['id']}"
    answer = api.post(f"{path}/test", "")
    assert answer.status == 202
    document = fanout.publish()
    assert [one.event["event_type"] for one in server.received] == ["test", "motion"]
    again = api.post(f"{path}/deliveries/{document['event_id']}/redeliver", "")
    assert (again.status, again.json()["data"]["status"]) == (202, "pending")
    fanout.target.deliver([])
    assert server.received[1].headers["webhook-id"] == server.received[2].headers["webhook-id"]
    log = api.get(f"{path}/deliveries").json()
    assert [one["event_type"] for one in log["data"]] == ["motion", "test"]
    assert log["meta"]["total"] == 2
    assert api.get(f"{path}/deliveries", status="failed").json()["data"] == []
    assert api.post(f"{path}/deliveries/{webhook['id']}/redeliver", "").error().code == "delivery-not-found"


def test_the_function_is_built_from_its_environment(
    create: Create, database_url: str, tmp_path: Path, server: ReceivingServer, fanout: WebhookFanout
) -> None:
    """With the settings of the function, a queue's message is delivered, and the schedule's event repeats a failure."""
    create(server.url)
    variables = {
        "FANOUT_TARGET": "webhook",
        "DATABASE_URL": database_url,
        "PLATE_MASTER_KEY": setting(tmp_path),
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1/32",
    }
    target = build_target(FanoutSettings.from_environment(Environment(variables)))
    assert isinstance(target, WebhookTarget)
    function = build_fanout(variables, target=target)
    server.behave = lambda _: Reply(500)
    document = fanout.stored()
    record = {"messageId": "m1", "body": json.dumps(document)}
    odd = {"messageId": "m2", "body": json.dumps({"event_type": "motion", "camera_id": "c", "id": "x"})}
    response = function.handle({"Records": [record, odd]})
    assert response == {"batchItemFailures": [{"itemIdentifier": "m2"}]}
    server.behave = lambda _: Reply()
    fanout.execute("UPDATE webhooks SET paused_until = NULL")
    fanout.execute("UPDATE webhook_deliveries SET next_attempt_at = now()")
    assert function.handle({"task": "repeat"}) == {"batchItemFailures": []}
    assert [one.event["id"] for one in server.received] == [document["id"]] * 2
    target.close()


def test_without_its_database_the_batch_stays_on_the_queue(tmp_path: Path) -> None:
    """Every message is returned, and nothing is raised."""
    fanout = WebhookFanout("postgresql://nobody@127.0.0.1:1/none", tmp_path)
    document = {"event_id": "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11", "id": 1, "timestamp": "2026-11-20T12:00:00Z"}
    message = fanout.delivery(document | {"event_type": "motion", "camera_id": "c"})
    assert fanout.target.deliver([message]) == {message.message_id}


def test_the_example_receiver_verifies_and_ignores_repetitions(create: Create, fanout: WebhookFanout) -> None:
    """It accepts what is signed with its secret, handles it once, and refuses everything else."""
    example = load_example()
    handled: list[dict[str, Any]] = []
    secrets: list[str] = []
    server = example.make_server("whsec_", handled.append, port=0)
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    server.server_close()
    secrets.append(create(url)["secret"])
    server = example.make_server(secrets[0], handled.append, port=server.server_address[1])
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    document = fanout.publish("tracking")
    fanout.execute("UPDATE webhook_deliveries SET status = 'pending'")
    fanout.repeat()
    assert [event["id"] for event in handled] == [document["id"]]
    [(status, attempts)] = fanout.execute("SELECT status, attempts FROM webhook_deliveries")
    assert (status, attempts) == ("delivered", 2)
    refused = httpx.post(url, content=b"{}", headers={"webhook-id": "x", "webhook-timestamp": str(int(time.time()))})
    assert refused.status_code == 401
    with pytest.raises(ValueError, match="timestamp"):
        example.verify(secrets[0], {"webhook-id": "x", "webhook-timestamp": "1"}, b"{}")
    server.shutdown()
    server.server_close()


def load_example() -> Any:
    path = Path(__file__).resolve().parents[2] / "docs" / "examples" / "webhook_receiver.py"
    spec = importlib.util.spec_from_file_location("webhook_receiver_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_caller_with_groups_registers_within_them(database_url: str, tmp_path: Path, fanout: WebhookFanout) -> None:
    """Events of other cameras are not sent; another group is refused; a webhook without a limit is not visible."""
    objects = fill_two_groups(database_url)
    limited, free = (bearer(add_key(database_url, "*", name=str(groups), groups=groups)) for groups in ([OWN], None))
    secrets = WebhookSecrets(master_keys=keys(tmp_path))
    with receiving() as server, users_api(database_url, webhook_secrets=secrets) as api:

        def send(headers: dict[str, str], method: str, path: str = PATH, body: Any = None) -> Any:
            return api.call(method, path, body=None if body is None else json.dumps(body), headers=headers)

        everything = send(free, "POST", body={"name": "all", "url": server.url}).json()["data"]
        mine = send(limited, "POST", body={"name": "mine", "url": server.url}).json()["data"]
        assert (everything["groups"], mine["groups"]) == (None, [OWN])
        body = {"name": "other", "url": server.url, "groups": [objects.foreign.group]}
        assert send(limited, "POST", body=body).error().code == "outside-groups"
        assert send(limited, "GET", f"{PATH}/{everything['id']}").error().code == "webhook-not-found"
        assert {one["name"] for one in send(limited, "GET").json()["data"]} == {"mine", "north hook"}
        fanout.execute("DELETE FROM webhooks WHERE name LIKE '% hook'")
        own = fanout.publish(camera_id=objects.own.camera)
        foreign = fanout.publish(camera_id=objects.foreign.camera)
        assert sorted(one.event["id"] for one in server.received) == [own["id"], own["id"], foreign["id"]]
        [logged] = send(limited, "GET", f"{PATH}/{mine['id']}/deliveries").json()["data"]
        assert logged["event_id"] == own["id"]
        log = send(free, "GET", "/api/v1/audit", body=None)
        assert mine["secret"] not in log.body.decode()
        assert "create_webhook" in log.body.decode()


def test_names_are_unique_and_a_master_key_is_required(api: ApiCalls, create: Create, database_url: str) -> None:
    """409 for a name in use, and for a deployment without a master key."""
    create("https://receiver.example/")
    taken = api.post(PATH, {"name": "Receiver", "url": "https://other.example/"})
    assert (taken.status, taken.error().code) == (409, "name-taken")
    handler, dependencies = lambda_api(database_url)
    refused = ApiCalls(handler).post(PATH, {"name": "other", "url": "https://other.example/"})
    assert (refused.status, refused.error().code) == (409, "no-webhook-key")
    handler.close()
    dependencies.close()


def test_finished_deliveries_are_deleted_in_time(
    create: Create, fanout: WebhookFanout, server: ReceivingServer
) -> None:
    """Old ones, those beyond the newest, and those whose event is gone; pending ones stay."""
    create(server.url)
    documents = [fanout.publish() for _ in range(5)]
    server.behave = lambda _: Reply(500)
    documents.append(fanout.publish())
    old, gone = documents[0]["id"], documents[1]["id"]
    fanout.execute(f"UPDATE webhook_deliveries SET created_at = now() - interval '4 days' WHERE event_id = {old}")
    fanout.execute(f"DELETE FROM events WHERE id = {gone}")
    database = database_at(fanout.url)
    with database.transaction() as connection:
        assert purge_old_deliveries(connection, older_than=timedelta(days=3), limit=100) == 2
        assert purge_excess_deliveries(connection, kept=2, limit=100) == 2
    database.close()
    left = fanout.execute("SELECT event_id FROM webhook_deliveries ORDER BY number")
    assert [number for (number,) in left] == [documents[4]["id"], documents[5]["id"]]


def test_a_database_that_is_lost_during_a_delivery_delays_no_further_one(
    database_url: str, create: Create, server: ReceivingServer, tmp_path: Path
) -> None:
    """The webhook is released when the database answers again, and the delivery is attempted again at once."""
    create(server.url)
    port = urlsplit(database_url).port
    assert port is not None
    relays = [Relay(target=port)]
    fanout = WebhookFanout(database_url.replace(f":{port}/", f":{relays[0].port}/"), tmp_path)

    def lose_database(_: Received) -> Reply:
        server.behave = lambda _: Reply()
        relays[0].close()
        threading.Timer(0.3, lambda: relays.append(Relay(target=port, port=relays[0].port))).start()
        return Reply()

    server.behave = lose_database
    event = fanout.delivery(WebhookFanout(database_url, tmp_path).stored())
    assert fanout.target.deliver([event]) == set()
    assert fanout.execute("SELECT leased_until FROM webhooks") == [(None,)]
    fanout.target.deliver([])
    assert fanout.execute("SELECT status, attempts FROM webhook_deliveries") == [("delivered", 1)]
    assert len(server.received) == 2
    fanout.close()
    relays[-1].close()


def test_a_request_does_not_wait_for_acknowledgements(server: ReceivingServer) -> None:
    """Nagle's algorithm is off: the body, a segment of its own, would wait for the acknowledgement of the headers."""
    with Receiver(server.url, policy=AddressPolicy.parse("127.0.0.0/8"), timeout_s=10.0) as receiver:
        assert receiver.post(b"{}", {}).status == 204
        connection: Any = vars(receiver)["_connection"]
        assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
