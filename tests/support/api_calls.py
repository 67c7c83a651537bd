"""Calls the API through the Lambda handler with the event JSON of API Gateway."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import psycopg

from cloud_functions.api.app import create_app
from cloud_functions.api.backends.database import ApiDatabase
from cloud_functions.api.backends.health_probes import HealthProbe
from cloud_functions.api.backends.thread_pool import InlineThreadPool
from cloud_functions.api.dependencies import Dependencies
from cloud_functions.api.handler import ApiHandler
from cloud_functions.api.http.limits import LAMBDA_LIMITS, Limits
from cloud_functions.api.security.audit.middleware import AuditTrail
from cloud_functions.api.security.audit.request_audit import change_hook
from cloud_functions.api.security.permissions import AllowAll, Authorizer
from cloud_functions.api.security.plate_access import PlateAccess
from cloud_functions.api.security.rate_limit.limiters import RateLimiter
from cloud_functions.api.security.roles import Role
from cloud_functions.api.security.tokens import AccessTokens
from cloud_functions.api.security.user_authorizer import OidcAuthorizer, UserAuthorizer
from cloud_functions.db.connect import Database
from cloud_functions.device_commands import CommandPublisher
from cloud_functions.fanout.targets import TARGETS
from cloud_functions.object_storage.bucket import ObjectInfo
from cloud_functions.privacy.camera_passwords import CameraPasswords
from cloud_functions.privacy.webhook_secrets import WebhookSecrets
from cloud_functions.settings import DatabaseSettings
from cloud_functions.snapshot_store import SnapshotStore, StoredImage
from shared.clock import Clock, SystemClock
from shared.errors import TransientError, VedetteError
from tests.support.ingest_harness import RecordingCommands

AWS_EVENTS = Path(__file__).parents[1] / "aws_events"
PLACEHOLDERS = {
    "event": "1",
    "event_id": "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11",
    "camera_id": "camera-1",
    "device_id": "front-door",
    "snapshot_id": "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11",
    "camera": "front-door",
    "group": "entrances",
    "device": "gate-01",
    "command": "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11",
    "text": "AB123",
    "version": "1",
    "watchlist": "1",
    "pattern": "1",
    "policy": "1",
    "hold": "1",
    "user": "ana",
    "key": "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11",
    "webhook": "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11",
    "replay": "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11",
    "delivery": "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11",
}
"""A valid value for each path parameter."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The response that API Gateway would send to the client."""

    status: int
    headers: dict[str, str]
    body: bytes
    set_cookie: str = ""

    def json(self) -> Any:
        return json.loads(self.body)

    def error(self) -> Error:
        """Return the error in this response: a problem document, or an error envelope."""
        body = self.json()
        if self.headers["content-type"] == "application/problem+json":
            code = body["type"].removeprefix("urn:vedette:problem:")
            return Error(body["status"], code, body["detail"], body.get("errors", []))
        assert set(body) == {"success", "error", "meta"}, body
        assert body["success"] is False
        assert body["meta"]["requestId"]
        return Error(self.status, body["error"]["code"], body["error"]["message"], body["error"]["details"])


@dataclass(frozen=True, slots=True)
class Error:
    """What a problem document and an error envelope have in common."""

    status: int
    code: str
    message: str
    errors: list[dict[str, str]]


class ApiCalls:
    """A client of one application. Each method sends a request and returns its response."""

    def __init__(self, handler: ApiHandler) -> None:
        self._handler = handler

    def get(self, path: str, **parameters: Any) -> Answer:
        return self.call("GET", path, parameters)

    def delete(self, path: str, **parameters: Any) -> Answer:
        return self.call("DELETE", path, parameters)

    def post(self, path: str, content: Any, **parameters: Any) -> Answer:
        return self.call("POST", path, parameters, body=content if isinstance(content, str) else json.dumps(content))

    def put(self, path: str, content: Any, *, if_match: str | None = None) -> Answer:
        return self.call("PUT", path, body=json.dumps(content), headers=_if_match(if_match))

    def patch(self, path: str, content: Any, *, if_match: str | None = None) -> Answer:
        return self.call("PATCH", path, body=json.dumps(content), headers=_if_match(if_match))

    def call(
        self,
        method: str,
        path: str,
        parameters: dict[str, Any] | Sequence[tuple[str, Any]] = (),
        *,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        parts = urlsplit(path)
        query = "&".join(part for part in (parts.query, urlencode(parameters, quote_via=quote)) if part)
        return self.invoke(http_api_event(method, parts.path, query=query, body=body, headers=headers))

    def invoke(self, event: dict[str, Any]) -> Answer:
        """Invoke the handler with one event."""
        result = self._handler(event, None)
        headers = dict(result.get("headers", {}))
        headers |= {name: values[-1] for name, values in result.get("multiValueHeaders", {}).items()}
        text = result.get("body", "")
        content = base64.b64decode(text) if result["isBase64Encoded"] else text.encode()
        if headers.get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        cookies = "; ".join(result.get("cookies") or ())  # payload 2.0 has them beside the headers
        return Answer(status=result["statusCode"], headers=headers, body=content, set_cookie=cookies)


def _if_match(tag: str | None) -> dict[str, str]:
    return {} if tag is None else {"if-match": tag}


def filled_path(path: str, **chosen: str) -> str:
    """Return the path with its placeholders replaced by the chosen values, or by valid ones."""
    return path.replace(":path}", "}").format_map(
        PLACEHOLDERS | {name: quote(value, safe="") for name, value in chosen.items()}
    )


def http_api_event(
    method: str, path: str, *, query: str = "", body: str | None = None, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return an HTTP API event (payload 2.0), based on the recorded one."""
    event = json.loads((AWS_EVENTS / "apigw_http_v2_list_events.json").read_text(encoding="utf-8"))
    event |= {"rawPath": path, "rawQueryString": query, "body": body}
    event["headers"] |= {"content-type": "application/json"} if body is not None else {}
    event["headers"] |= {name.lower(): value for name, value in (headers or {}).items()}
    event["requestContext"]["http"] |= {"method": method, "path": path}
    return event


@dataclass
class FakeSnapshots:
    """An in-memory bucket. If ``error`` is set, every method raises it."""

    objects: dict[str, bytes] = field(default_factory=dict[str, bytes])
    error: VedetteError | None = None

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error

    def read(self, key: str, *, limit_bytes: int) -> StoredImage | None:
        self._fail()
        content = self.objects.get(key)
        if content is None:
            return None
        return StoredImage(content if len(content) <= limit_bytes else None, len(content), '"e-tag"')

    def exists(self, key: str) -> bool:
        self._fail()
        return key in self.objects

    def signed_url(self, key: str, *, filename: str, content_type: str, expires_s: int) -> str:
        self._fail()
        return f"https://bucket.example/{key}?name={filename}&type={content_type}&expires={expires_s}"

    def delete(self, keys: Sequence[str]) -> None:
        self._fail()
        for key in keys:
            self.objects.pop(key, None)

    def folders(self, prefix: str) -> Iterator[str]:
        self._fail()
        below = (key.removeprefix(prefix) for key in self.objects if key.startswith(prefix))
        return iter(sorted({f"{prefix}{name.partition('/')[0]}/" for name in below if "/" in name}))

    def keys(self, prefix: str) -> Iterator[str]:
        self._fail()
        return iter(sorted(key for key in self.objects if key.startswith(prefix)))

    def list_objects(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        now = datetime.now(UTC)
        return (ObjectInfo(key, len(self.objects[key]), now) for key in self.keys(prefix) if key > after)

    def check(self) -> None:
        self._fail()


def no_database() -> Database:
    """Return a database whose connections fail, for tests of requests that must be rejected before any query."""

    def refuse() -> psycopg.Connection[Any]:
        raise TransientError("there is no database in this test")

    return Database(connect=refuse)


def database_at(url: str) -> Database:
    """Return the database at ``url``."""
    return Database.from_settings(DatabaseSettings(url=url))


def lambda_api(
    url: str | None = None,
    *,
    snapshots: SnapshotStore | None = None,
    authorizer: Authorizer | None = None,
    probes: Sequence[HealthProbe] = (),
    clock: Clock | None = None,
    limits: Limits = LAMBDA_LIMITS,
    docs_assets: Path | None = None,
    root_path: str = "",
    plate_access: PlateAccess | None = None,
    camera_passwords: CameraPasswords | None = None,
    webhook_secrets: WebhookSecrets | None = None,
    commands: CommandPublisher | None = None,
    tokens: AccessTokens | None = None,
    anonymous_role: Role | None = None,
    limiter: RateLimiter | None = None,
    oidc: OidcAuthorizer | None = None,
) -> tuple[ApiHandler, Dependencies]:
    """Return the handler of an application on the database at ``url``; close both when done.

    With ``tokens`` it checks users and API keys; without an authorizer and tokens it allows everything.
    """
    thread_pool = InlineThreadPool()
    database = ApiDatabase(
        make_database=no_database if url is None else lambda: database_at(url),
        thread_pool=thread_pool,
        commit_hook=change_hook,
    )
    if tokens is not None:
        authorizer = UserAuthorizer(
            database=database, tokens=tokens, anonymous_role=anonymous_role, limiter=limiter, oidc=oidc
        )
    dependencies = Dependencies(
        database=database,
        snapshots=snapshots or FakeSnapshots(),
        authorizer=authorizer or AllowAll(),
        probes=tuple(probes),
        thread_pool=thread_pool,
        commands=commands or RecordingCommands(),
        clock=clock or SystemClock(),
        limits=limits,
        plate_access=plate_access or PlateAccess(),
        camera_passwords=camera_passwords or CameraPasswords(),
        webhook_secrets=webhook_secrets or WebhookSecrets(),
        replay_targets=frozenset(TARGETS),
        tokens=tokens,
        limits_rates=limiter is not None,
        audit=None if tokens is None else AuditTrail(database, plate_access or PlateAccess()),
    )
    handler = ApiHandler(
        make_app=lambda: create_app(dependencies=dependencies, docs_assets=docs_assets, root_path=root_path)
    )
    return handler, dependencies


NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def stored_event(event_type: str = "motion", **fields: Any) -> dict[str, Any]:
    """Return a row of ``events`` with these fields and default values for the others."""
    data: dict[str, Any] = {
        "motion": {"motion_intensity": 0.5, "affected_area_percentage": 2.0, "regions": []},
        "tracking": {"track_id": 1, "class_name": "person", "confidence": 0.9, "zones": []},
        "detection": {"detections": [{"class_name": "car", "confidence": 0.8}]},
        "anpr": {"anpr_result": {"license_plate": "B 1", "confidence": 0.9}, "plate_normalized": "B1"},
    }.get(event_type, {})
    return {
        "event_id": None,
        "event_type": event_type,
        "site_id": "hq",
        "device_id": "gate-01",
        "camera_id": "camera-1",
        "timestamp": NOON,
        "frame_number": 7,
        "snapshot_path": None,
        "event_data": data,
    } | fields


def events_each_minute(count: int = 30, **fields: Any) -> list[dict[str, Any]]:
    """Return rows of ``events`` that are a minute apart, beginning at noon."""
    return [stored_event(timestamp=NOON + timedelta(minutes=number), **fields) for number in range(count)]


def store(url: str, events: Iterable[dict[str, Any]]) -> list[int]:
    """Insert rows and return their ids in order."""
    rows = list(events)
    with psycopg.connect(url, autocommit=True) as connection:
        inserted = connection.execute(
            """
            INSERT INTO events (event_id, event_type, site_id, device_id, camera_id, "timestamp", frame_number,
                                snapshot_path, event_data)
            SELECT coalesce(event_id, gen_random_uuid()), event_type, site_id, device_id, camera_id, "timestamp",
                   frame_number, snapshot_path, event_data
            FROM jsonb_to_recordset(%s::jsonb) AS given (event_id uuid, event_type text, site_id text, device_id text,
                camera_id text, "timestamp" timestamptz, frame_number bigint, snapshot_path text, event_data jsonb)
            RETURNING id
            """,
            [json.dumps(rows, default=str)],
        )
        return [row[0] for row in inserted]


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)
