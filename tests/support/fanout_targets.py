"""A harness for each fan-out target: its function, its receiver, and the receiver's faults.

``HARNESSES`` has one for each row of ``TARGETS``; ``tests/integration/test_fanout_targets.py`` holds all to a contract.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import redis

from cloud_functions.db.events.queries import find_event
from cloud_functions.db.stream.connections import StreamCaller, add_connection, subscribe
from cloud_functions.fanout.handler import Fanout, build_fanout
from cloud_functions.fanout.targets import REPEAT_EVENT
from cloud_functions.fanout.targets.websocket import WebSocketTarget
from cloud_functions.fanout.websocket.dispatcher import StreamDispatcher
from cloud_functions.fanout.websocket.gateway import Outcome
from cloud_functions.privacy.webhook_secrets import WebhookSecrets
from tests.support.api_calls import ApiCalls, database_at, lambda_api, store, stored_event
from tests.support.fanout_queue import sqs_record
from tests.support.protected_sites import keys
from tests.support.relay import Relay
from tests.support.webhook_receiver import ReceivingServer, Reply, WebhookFanout


class Services(NamedTuple):
    """What harnesses need of a test."""

    database_url: str
    redis_url: str
    folder: Path


class TargetHarness(ABC):
    """One target with a real receiver."""

    function: Fanout
    returns_messages: bool = True
    """Whether messages that the receiver did not take return to the queue. If not, the target keeps them itself."""
    sends_once: bool = False
    """Whether a message that the queue delivers again reaches the receiver only once."""

    def document(self) -> str:
        """Return the document of a new event that the receiver is to get."""
        return json.dumps(
            {"id": 1, "event_id": str(uuid4()), "event_type": "motion", "camera_id": "c", "event_data": {"é": 1e300}}
        )

    def poisoned(self) -> list[str]:
        """Return bodies that can never be delivered."""
        return ["junk", "{}", '{"event_type": 1, "camera_id": "c"}']

    def replay_attributes(self) -> dict[str, str]:
        """Return the attributes of a message that a replay sends to the receiver."""
        return {"replay_id": str(uuid4())}

    @abstractmethod
    def received(self) -> list[str]:
        """Return the documents that the receiver got, in order."""

    @abstractmethod
    def break_receiver(self) -> None:
        """Make the receiver fail until it is mended."""

    @abstractmethod
    def mend_receiver(self) -> None:
        """End the fault."""

    @abstractmethod
    def close(self) -> None:
        """Close everything."""

    def handle(self, *messages: Mapping[str, Any]) -> set[str]:
        """Invoke the function with a batch; return the ids of the messages that return to the queue."""
        response = self.function.handle({"Records": list(messages)})
        return {item["itemIdentifier"] for item in response["batchItemFailures"]}

    def repeat(self) -> None:
        """Do what the schedule's event does."""
        assert self.function.handle(REPEAT_EVENT) == {"batchItemFailures": []}


class RedisHarness(TargetHarness):
    """Redis behind a relay that can be closed; the receiver reads a stream of its own."""

    def __init__(self, services: Services) -> None:
        self._port = int(urlsplit(services.redis_url).port or 6379)
        self._relay = Relay(target=self._port)
        self._stream = f"contract-{uuid4()}"
        self._client = redis.Redis.from_url(services.redis_url, decode_responses=True)
        self.function = build_fanout(
            {
                "FANOUT_TARGET": "redis",
                "REDIS_URL": f"redis://127.0.0.1:{self._relay.port}",
                "REDIS_STREAM": self._stream,
                "REDIS_CHANNEL_NAME": self._stream,
            }
        )

    def received(self) -> list[str]:
        entries: Any = self._client.xrange(self._stream)
        return [fields["event"] for _, fields in entries]

    def break_receiver(self) -> None:
        self._relay.close()

    def mend_receiver(self) -> None:
        self._relay = Relay(target=self._port, port=self._relay.port)

    def close(self) -> None:
        self._relay.close()
        self._client.delete(self._stream)
        self._client.close()


class WebhookHarness(TargetHarness):
    """A webhook of a database and an HTTP receiver."""

    returns_messages = False
    sends_once = True

    def __init__(self, services: Services) -> None:
        self._server = ReceivingServer()
        self._fanout = WebhookFanout(services.database_url, services.folder)
        handler, dependencies = lambda_api(
            services.database_url, webhook_secrets=WebhookSecrets(master_keys=keys(services.folder))
        )
        answer = ApiCalls(handler).post("/api/v1/webhooks", {"name": "contract", "url": self._server.url})
        self._webhook: str = answer.json()["data"]["id"]
        handler.close()
        dependencies.close()
        self._refused: list[int] = []
        self.function = build_fanout({}, target=self._fanout.target)

    def document(self) -> str:
        return json.dumps(self._fanout.stored(event_data={"é": 1e300}))

    def poisoned(self) -> list[str]:
        return [*super().poisoned(), TargetHarness.document(self)]  # not a stored event: it has no time

    def replay_attributes(self) -> dict[str, str]:
        return super().replay_attributes() | {"webhook_id": self._webhook}

    def received(self) -> list[str]:
        return [one.body.decode() for number, one in enumerate(self._server.received) if number not in self._refused]

    def break_receiver(self) -> None:
        def refuse(_: object) -> Reply:
            self._refused.append(len(self._server.received) - 1)
            return Reply(503)

        self._server.behave = refuse

    def mend_receiver(self) -> None:
        self._server.behave = lambda _: Reply()

    def repeat(self) -> None:
        # The pause after a failure, and the wait of a retry, have passed.
        self._fanout.execute("UPDATE webhooks SET paused_until = NULL")
        self._fanout.execute("UPDATE webhook_deliveries SET next_attempt_at = now()")
        super().repeat()

    def close(self) -> None:
        self._fanout.close()
        self._server.close()


class _RecordingGateway:
    """Takes the messages for connections, and refuses them while it is broken."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.is_broken = False

    def send(self, connection_id: str, text: str) -> Outcome:
        del connection_id
        if self.is_broken:
            return Outcome.REFUSED
        self.texts.append(text)
        return Outcome.SENT

    def close(self, connection_id: str) -> None:
        raise AssertionError(connection_id)


class WebSocketHarness(TargetHarness):
    """A subscription of a database, and the gateway of its connection."""

    returns_messages = False
    sends_once = True

    def __init__(self, services: Services) -> None:
        self._url = services.database_url
        self._gateway = _RecordingGateway()
        self._target = WebSocketTarget(
            dispatcher=StreamDispatcher(database=database_at(self._url), gateway=self._gateway, budget_s=30)
        )
        self.function = build_fanout({}, target=self._target)
        self.repeat()  # the stream begins behind what is stored
        with psycopg.connect(self._url) as connection:
            add_connection(connection, "contract", StreamCaller("anonymous"))
            subscribe(connection, "contract", "default", {}, position=0)

    def document(self) -> str:
        [number] = store(self._url, [stored_event(event_data={"é": 1e300})])
        with psycopg.connect(self._url) as connection:
            event = find_event(connection, number)
        assert event is not None
        return _compact(event.to_json())

    def poisoned(self) -> list[str]:
        return [*super().poisoned(), TargetHarness.document(self)]  # not a stored event: it has no time

    def received(self) -> list[str]:
        messages: list[dict[str, Any]] = [json.loads(text) for text in self._gateway.texts]
        return [_compact(json.dumps(event)) for message in messages for event in message["events"]]

    def break_receiver(self) -> None:
        self._gateway.is_broken = True

    def mend_receiver(self) -> None:
        self._gateway.is_broken = False

    def close(self) -> None:
        self._target.close()


def _compact(document: str) -> str:
    """Return the document as numbers and separators are written by Python."""
    flat: dict[str, Any] = json.loads(document)
    flat["event_data"] = {name: float(value) for name, value in flat["event_data"].items()}
    return json.dumps(flat, ensure_ascii=False, separators=(",", ":"))


HARNESSES: Final[Mapping[str, Callable[[Services], TargetHarness]]] = {
    "redis": RedisHarness,
    "webhook": WebhookHarness,
    "websocket": WebSocketHarness,
}
"""By the name of the target. A new target needs a row."""


def message(
    document: str, *, message_id: str | None = None, attributes: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a message of the target's queue."""
    return sqs_record(message_id or str(uuid4()), document, attributes or {})
