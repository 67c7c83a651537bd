"""Replays: requested over HTTP, sent by maintenance, delivered by fan-out to a real receiver."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cloud_functions.api.webhooks import replay_routes
from cloud_functions.db.replays.record import purge_old_replays
from cloud_functions.fanout.handler import build_fanout
from cloud_functions.fanout.messages import read_deliveries
from cloud_functions.maintenance.handler import Maintenance, build_maintenance
from cloud_functions.privacy.webhook_secrets import WebhookSecrets
from shared.errors import TransientError
from tests.support.api_calls import NOON, Answer, ApiCalls, database_at, lambda_api
from tests.support.camera_groups import OWN, fill_two_groups
from tests.support.fanout_queue import FanoutQueue
from tests.support.ingest_harness import RecordingCommands
from tests.support.protected_sites import keys
from tests.support.users import add_key, bearer, users_api
from tests.support.webhook_receiver import WebhookFanout, receiving

PATH = "/api/v1/replay"
SPAN = {"start_time": "2026-11-20T00:00:00Z", "end_time": "2026-11-21T00:00:00Z"}


def _post(api: ApiCalls, body: dict[str, Any], headers: dict[str, str]) -> Answer:
    return api.call("POST", PATH, body=json.dumps(body), headers=headers)


class Deployment:
    """The API, maintenance and the webhook target on one database."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.handler, self._dependencies = lambda_api(url, webhook_secrets=WebhookSecrets(master_keys=keys(folder)))
        self.api = ApiCalls(self.handler)
        self.fanout = WebhookFanout(url, folder)
        self.queue = FanoutQueue()
        self.database = database_at(url)
        self.pauses: list[float] = []

    def maintenance(self, sleep: Callable[[float], None] | None = None, **variables: str) -> Maintenance:
        return build_maintenance(
            {"DATABASE_URL": self.url, "REPLAY_EVENTS_PER_S": "2", **variables},
            database=self.database,
            commands=RecordingCommands(),
            fanout_queues={"webhook": self.queue, "redis": self.queue},
            sleep=sleep or self.pauses.append,
        )

    def run(self) -> int:
        return self.maintenance().handle({"task": "replays"})["replays"]

    def deliver(self) -> None:
        function = build_fanout({}, target=self.fanout.target)
        assert function.handle(self.queue.event()) == {"batchItemFailures": []}

    def webhook(self, url: str, name: str = "receiver", **fields: Any) -> str:
        answer = self.api.post("/api/v1/webhooks", {"name": name, "url": url, **fields})
        assert answer.status == 201, answer.body
        return answer.json()["data"]["id"]

    def request(self, **fields: Any) -> Answer:
        return self.api.post(PATH, {"target": "redis", **SPAN, **fields})

    def replay(self, **fields: Any) -> str:
        answer = self.request(**fields)
        assert answer.status == 202, answer.body
        return answer.json()["data"]["id"]

    def state(self, replay_id: str) -> dict[str, Any]:
        return self.api.get(f"{PATH}/{replay_id}").json()["data"]

    def close(self) -> None:
        self.database.close()
        self.fanout.close()
        self.handler.close()
        self._dependencies.close()


@pytest.fixture
def deployment(database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    one = Deployment(database_url, tmp_path)
    yield one
    one.close()


def test_one_webhook_gets_the_events_again_marked_and_in_order(deployment: Deployment) -> None:
    """Also those that it has had, once for each replay; the other webhook and events outside of the span are left."""
    with receiving() as server, receiving() as other:
        webhook = deployment.webhook(server.url, filter={"event_type": "tracking"})
        deployment.webhook(other.url, "other")
        late = deployment.fanout.publish("tracking", timestamp=NOON + timedelta(minutes=5))
        early = deployment.fanout.publish("tracking", timestamp=NOON)
        deployment.fanout.publish("motion", timestamp=NOON)
        deployment.fanout.publish("tracking", timestamp=NOON - timedelta(days=3))
        replay = deployment.replay(target="webhook", webhook=webhook)
        assert deployment.state(replay)["events"] == 3
        assert len(server.received) == 3
        assert deployment.run() == 3
        sent = deployment.queue.event()
        for _ in range(2):  # the queue may deliver a message twice
            deployment.queue.messages = sent["Records"] * 2
            deployment.deliver()
        assert [one.event["id"] for one in server.received[3:]] == [early["id"], late["id"]]
        again = server.received[3]
        assert (again.event["replayed"], again.event["replay_id"]) == (True, replay)
        assert again.headers["webhook-id"] == early["event_id"]
        assert len(other.received) == 4
    state = deployment.state(replay)
    assert (state["status"], state["sent"], state["position"]) == ("done", 3, "2026-11-20T12:05:00.000000Z")
    assert deployment.run() == 0


def test_a_replay_continues_after_its_process_died(deployment: Deployment) -> None:
    """Nothing is lost: at most the chunk in which it died is sent again."""
    expected = [deployment.fanout.stored(timestamp=NOON + timedelta(seconds=number))["id"] for number in range(7)]
    replay = deployment.replay()

    class Killed(BaseException):
        pass

    def dies(_: float) -> None:
        if len(deployment.queue.messages) >= 4:
            raise Killed

    with pytest.raises(Killed):
        deployment.maintenance(dies).handle({"task": "replays"})
    assert (deployment.state(replay)["status"], deployment.state(replay)["sent"]) == ("running", 4)
    deployment.queue.fails_after = 5
    with pytest.raises(TransientError, match="replays"):
        deployment.run()
    assert deployment.state(replay)["sent"] == 4
    deployment.queue.fails_after = None
    assert deployment.run() == 3
    sent = [json.loads(message["body"])["id"] for message in deployment.queue.messages]
    assert sent == [*expected[:5], *expected[4:]]
    assert deployment.state(replay)["status"] == "done"


def test_a_limited_caller_sends_the_events_of_its_cameras_only(database_url: str, deployment: Deployment) -> None:
    """A webhook of other groups does not exist for the caller. The request is in the audit log."""
    groups = fill_two_groups(database_url)
    deployment.fanout.execute("DELETE FROM replays")
    with users_api(database_url) as api:
        limited = bearer(add_key(database_url, "replays:read", "replays:write", name="limited", groups=[OWN]))
        admin = bearer(add_key(database_url, "*", name="everything"))
        foreign = {"target": "webhook", "webhook": str(groups.foreign.webhook), **SPAN}
        assert _post(api, foreign, limited).error().code == "webhook-not-found"
        answer = _post(api, {"target": "redis", **SPAN}, limited)
        assert (answer.status, answer.json()["data"]["groups"]) == (202, [OWN])
        entire = _post(api, {"target": "redis", **SPAN, "filter": {"camera_id": "none"}}, admin)
        assert api.call("GET", f"{PATH}/{entire.json()['data']['id']}", headers=limited).status == 404
        entries = api.call("GET", "/api/v1/audit", {"action": "create_replay"}, headers=admin).json()["data"]
    assert entries[0]["details"]["target"] == "redis"
    deployment.maintenance(REPLAY_EVENTS_PER_S="100").handle({"task": "replays"})
    cameras = {json.loads(message["body"])["camera_id"] for message in deployment.queue.messages}
    assert cameras == {groups.own.camera}


def test_a_request_that_asks_for_too_much_is_refused(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each error says what to do instead."""
    deployment.fanout.stored()
    deployment.fanout.stored()
    for fields, text in [
        ({"end_time": "2027-01-20T00:00:00Z"}, "several replays"),
        ({"end_time": "2026-11-01T00:00:00Z"}, "after end_time"),
        ({"target": "webhook"}, "id of a webhook"),
        ({"target": "pigeon"}, "its targets: redis, webhook"),
        ({"filter": {"event_type": "plate_match"}}, "anpr"),
    ]:
        answer = deployment.request(**fields)
        assert answer.status == 422, fields
        assert text in answer.body.decode(), answer.body
    monkeypatch.setattr(replay_routes, "MAX_EVENTS", 1)
    assert deployment.request().error().code == "replay-too-large"
    monkeypatch.setattr(replay_routes, "MAX_OPEN", 1)
    monkeypatch.setattr("cloud_functions.db.replays.record.MAX_OPEN", 1)
    one = deployment.replay(filter={"camera_id": "none"})
    assert deployment.request(filter={"camera_id": "none"}).error().code == "too-many-replays"
    assert deployment.api.post(f"{PATH}/{one}/cancel", "").json()["data"]["status"] == "cancelled"
    assert deployment.api.post(f"{PATH}/{one}/cancel", "").error().code == "replay-ended"
    assert deployment.run() == 0
    assert [entry["id"] for entry in deployment.api.get(PATH).json()["data"]] == [one]
    with deployment.database.transaction() as connection:
        assert purge_old_replays(connection, older_than=timedelta(days=1), limit=10) == 0
        assert purge_old_replays(connection, older_than=timedelta(0), limit=10) == 1


def test_a_slow_or_disabled_webhook_is_not_flooded(deployment: Deployment) -> None:
    """The replay waits while many of its events are pending, and fails if the webhook is disabled."""
    webhook = deployment.webhook("http://127.0.0.1:9/")
    deployment.fanout.stored()
    replay = deployment.replay(target="webhook", webhook=webhook)
    deployment.fanout.execute(
        "INSERT INTO webhook_deliveries (webhook_id, message_id, event_type, document, replay_id)"
        " SELECT id, gen_random_uuid(), 'motion', '{}', gen_random_uuid() FROM webhooks, generate_series(1, 500)"
    )
    assert deployment.run() == 0
    assert deployment.state(replay)["status"] == "pending"
    deployment.fanout.execute("UPDATE webhooks SET enabled = false")
    deployment.fanout.execute("UPDATE webhook_deliveries SET status = 'failed'")
    assert deployment.run() == 0
    assert (deployment.state(replay)["status"], deployment.state(replay)["error"]) == ("failed", "webhook-disabled")
    assert deployment.request(target="webhook", webhook=webhook).error().code == "webhook-disabled"
    assert deployment.request(target="webhook", webhook=str(uuid4())).error().code == "webhook-not-found"


def test_a_large_event_is_compressed_and_delivered_unchanged(deployment: Deployment) -> None:
    """The message is within the limit of SQS, and the document is that of the event with the mark."""
    stored = deployment.fanout.stored(event_data={"extra": ["\ufffe" + "value" * 9] * 3000})
    replay = deployment.replay()
    deployment.run()
    [message] = deployment.queue.messages
    assert message["messageAttributes"]["content_encoding"]["stringValue"] == "gzip+base64"
    assert len(message["body"]) < 64 * 1024
    ([delivery], []) = read_deliveries(deployment.queue.event())
    flat = json.loads(delivery.document)
    assert flat["event_data"] == stored["event_data"]
    assert (flat["id"], flat["replayed"], flat["replay_id"]) == (stored["id"], True, replay)
    assert delivery.replay is not None
    assert delivery.replay.replay_id == replay
