"""Webhooks: CloudEvents, TLS, the limit of pending deliveries, and the owner's camera groups."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud_functions.privacy.webhook_secrets import WebhookSecrets
from tests.support.api_calls import ApiCalls
from tests.support.camera_groups import FOREIGN, OWN, fill_two_groups
from tests.support.certificates import TestAuthority
from tests.support.protected_sites import keys
from tests.support.users import PASSWORD, add_key, add_user, bearer, users_api
from tests.support.webhook_receiver import Reply, WebhookFanout, receiving

PATH = "/api/v1/webhooks"
Open = Callable[..., WebhookFanout]


@pytest.fixture
def open_fanout(database_url: str, tmp_path: Path) -> Iterator[Open]:
    """Yield a function that returns a fan-out to webhooks with other settings."""
    opened: list[WebhookFanout] = []

    def make(**settings: Any) -> WebhookFanout:
        opened.append(WebhookFanout(database_url, tmp_path, **settings))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[ApiCalls]:
    with users_api(database_url, webhook_secrets=WebhookSecrets(master_keys=keys(tmp_path))) as one:
        yield one


@pytest.fixture
def admin(database_url: str) -> dict[str, str]:
    return bearer(add_key(database_url, "*", name="everything"))


def call(api: ApiCalls, headers: dict[str, str], method: str, path: str = "", **body: Any) -> dict[str, Any]:
    answer = api.call(method, PATH + path, body=json.dumps(body) if body else None, headers=headers)
    assert answer.status in (200, 201, 202), answer.body
    return answer.json()["data"]


def test_cloudevents_carry_the_event_unchanged(api: ApiCalls, admin: dict[str, str], open_fanout: Open) -> None:
    """Structured JSON with the required attributes; a test has them too, and the format can be changed."""
    fanout = open_fanout()
    with receiving() as server:
        webhook = call(api, admin, "POST", name="w", url=server.url, format="cloudevents")
        document = fanout.publish("tracking", site_id="hq", camera_id="gate 1")
        call(api, admin, "POST", f"/{webhook['id']}/test")
        fanout.target.deliver([])
        call(api, admin, "PUT", f"/{webhook['id']}", name="w", url=server.url)
        plain = fanout.publish("motion")
    event, test, last = server.received
    assert event.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert event.event == {
        "specversion": "1.0",
        "id": document["event_id"],
        "source": "/vedette/sites/hq/cameras/gate%201",
        "type": "vedette.event.tracking",
        "subject": str(document["id"]),
        "time": document["timestamp"],
        "datacontenttype": "application/json",
        "data": document,
    }
    assert event.headers["webhook-id"] == event.event["id"]
    assert (test.event["type"], test.event["source"]) == ("vedette.event.test", "/vedette")
    assert (last.headers["content-type"], last.event) == ("application/json", plain)


def test_beyond_the_limit_low_value_is_dropped_first(api: ApiCalls, admin: dict[str, str], open_fanout: Open) -> None:
    """What was dropped is counted, in the log, and visible; what remains arrives when the receiver is back."""
    fanout = open_fanout(max_pending=3)
    with receiving(lambda _: Reply(503)) as server:
        webhook = call(api, admin, "POST", name="w", url=server.url)
        entered = {"track_id": 1, "class_name": "person", "tracking_action": "entered"}
        kept = [fanout.publish("tracking", event_data=entered)["id"]]
        fanout.publish("motion")
        kept += [fanout.publish("anpr")["id"]]
        fanout.publish("tracking", event_data=entered | {"tracking_action": "updated"})
        assert call(api, admin, "GET", f"/{webhook['id']}")["dropped"] == 1
        kept += [fanout.publish("tracking", event_data=entered)["id"]]
        kept += [fanout.publish("tracking", event_data=entered)["id"]]
        state = call(api, admin, "GET", f"/{webhook['id']}")
        assert (state["pending"], state["dropped"]) == (3, 3)
        assert state["dropped_at"] is not None
        log = api.call("GET", f"{PATH}/{webhook['id']}/deliveries", {"status": "failed"}, headers=admin).json()["data"]
        assert [(one["event_type"], one["error"]) for one in log] == [
            ("tracking", "dropped"),
            ("motion", "dropped"),
            ("tracking", "dropped"),
        ]
        server.behave = lambda _: Reply()
        server.received.clear()
        fanout.repeat()
    assert sorted(one.event["id"] for one in server.received) == kept[1:]


def test_a_webhook_loses_the_groups_that_its_owner_loses(api: ApiCalls, database_url: str, open_fanout: Open) -> None:
    """At once, for events to come and for those that are pending."""
    groups = fill_two_groups(database_url)
    add_user(database_url, "ana", role="admin", groups=[OWN, FOREIGN])
    owner = bearer(api.post("/api/auth/login-json", {"username": "ana", "password": PASSWORD}).json()["access_token"])
    fanout = open_fanout()
    fanout.execute("DELETE FROM webhooks")
    with receiving(lambda _: Reply(503)) as server:
        webhook = call(api, owner, "POST", name="w", url=server.url)
        assert webhook["groups"] == [OWN, FOREIGN]
        pending = fanout.publish(camera_id=groups.foreign.camera)
        own = fanout.publish(camera_id=groups.own.camera)
        server.behave = lambda _: Reply()
        server.received.clear()
        fanout.execute("UPDATE users SET groups = ARRAY['north']")
        fanout.publish(camera_id=groups.foreign.camera)
        fanout.repeat()
        assert [one.event["id"] for one in server.received] == [own["id"]]
        [(error,)] = fanout.execute(f"SELECT error FROM webhook_deliveries WHERE message_id = '{pending['event_id']}'")
        assert error == "outside-groups"
        fanout.execute("UPDATE users SET groups = '{}'")
        fanout.publish(camera_id=groups.own.camera)
        fanout.execute("DELETE FROM users")
        last = fanout.publish(camera_id=groups.own.camera)
    assert [one.event["id"] for one in server.received] == [own["id"], last["id"]]


def test_a_disabled_owner_receives_nothing(api: ApiCalls, database_url: str, open_fanout: Open) -> None:
    """Neither what is pending nor what comes. What was pending arrives when the owner is enabled again."""
    add_user(database_url, "ana", role="admin")
    owner = bearer(api.post("/api/auth/login-json", {"username": "ana", "password": PASSWORD}).json()["access_token"])
    fanout = open_fanout()
    fanout.execute("DELETE FROM webhooks")
    with receiving(lambda _: Reply(503)) as server:
        call(api, owner, "POST", name="w", url=server.url)
        pending = fanout.publish()
        server.behave = lambda _: Reply()
        server.received.clear()
        fanout.execute("UPDATE users SET is_active = false")
        fanout.publish()
        fanout.repeat()
        assert server.received == []
        fanout.execute("UPDATE users SET is_active = true")
        fanout.repeat()
    assert [one.event["id"] for one in server.received] == [pending["id"]]


def test_deleting_its_owner_does_not_widen_a_webhook(
    api: ApiCalls, admin: dict[str, str], database_url: str, open_fanout: Open
) -> None:
    """The limit that it has through its owner becomes its own; a webhook of an owner without a limit stays as it is."""
    groups = fill_two_groups(database_url)
    fanout = open_fanout()
    fanout.execute("DELETE FROM webhooks")
    with receiving() as server:
        for name in ("ana", "ben"):
            add_user(database_url, name, role="admin")
            token = api.post("/api/auth/login-json", {"username": name, "password": PASSWORD}).json()["access_token"]
            call(api, bearer(token), "POST", name=name, url=f"{server.url}{name}")
        fanout.execute(f"UPDATE users SET groups = ARRAY['{OWN}'] WHERE username = 'ana'")
        add_user(database_url, "kim", role="admin")
        for (user_id,) in fanout.execute("SELECT id FROM users WHERE username <> 'kim'"):
            assert api.call("DELETE", f"/api/v1/users/{user_id}", headers=admin).status == 200
        foreign = fanout.publish(camera_id=groups.foreign.camera)
        own = fanout.publish(camera_id=groups.own.camera)
    received = sorted((one.path[-3:], one.event["id"]) for one in server.received)
    assert received == [("ana", own["id"]), ("ben", foreign["id"]), ("ben", own["id"])]


def test_a_receiver_must_prove_its_name(
    api: ApiCalls, admin: dict[str, str], open_fanout: Open, tmp_path: Path
) -> None:
    """A certificate of a trusted authority for the host is accepted; each other one is refused with its reason."""
    (tmp_path / "other").mkdir()
    authority, other = TestAuthority(tmp_path), TestAuthority(tmp_path / "other")
    fanout = open_fanout(tls=lambda: ssl.create_default_context(cafile=authority.ca_file))

    def error_of(certificate: tuple[Path, Path]) -> str | None:
        with receiving(certificate=certificate) as server:
            webhook = call(api, admin, "POST", name="w", url=server.url)
            document = fanout.publish()
            path = f"/{webhook['id']}/deliveries/{document['event_id']}"
            error: str | None = call(api, admin, "GET", path)["error"]
            assert len(server.received) == (error is None)
            call(api, admin, "DELETE", f"/{webhook['id']}")
            return error

    assert error_of(authority.issue("right")) is None
    assert error_of(authority.issue("wrong", address="127.0.0.2")) == "certificate-name"
    assert error_of(other.issue("foreign")) == "certificate-untrusted"
    assert error_of(authority.issue("old", days=(-4.0, -1.0))) == "certificate-expired"
