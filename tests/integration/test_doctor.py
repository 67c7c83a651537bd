"""``vedette-admin doctor`` on real services: each fault is staged, found, explained, and does not hide the others."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from cloud_functions.db.migrate import downgrade, head_revision
from cloud_functions.db.webhooks.changes import create_webhook
from cloud_functions.db.webhooks.record import WebhookFields
from cloud_functions.plates.master_keys import make_key_file, master_keys
from cloud_functions.privacy.camera_passwords import KEY_CONTEXT
from cloud_functions.privacy.webhook_secrets import WebhookSecrets
from infra.admin.cli import main
from infra.admin.doctor.checks import CHECKS
from infra.admin.doctor.command import diagnose
from infra.admin.doctor.context import DoctorContext
from infra.local.aws.queue_file import QueueFile
from infra.local.processes.state_folder import StateFolder
from infra.local.servers.aws import aws_environment
from shared.clock import ManualClock, SystemClock
from shared.diagnosis import Finding
from tests.support.backing_services import BrokerFixture
from tests.support.certificates import TestAuthority
from tests.support.ports import reserve_port

NOWHERE = "nowhere.invalid"
Variables = dict[str, str]


@pytest.fixture(scope="module")
def store(stack_s3: str) -> Variables:
    """The variables of a bucket of the one-machine stack's S3."""
    variables = aws_environment(stack_s3) | {"SNAPSHOT_BUCKET": "doctor-bucket"}
    client = boto3.client(
        "s3",
        endpoint_url=stack_s3,
        region_name=variables["AWS_REGION"],
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    client.create_bucket(
        Bucket="doctor-bucket", CreateBucketConfiguration={"LocationConstraint": variables["AWS_REGION"]}
    )
    return variables


def found(name: str, variables: Variables, **context: object) -> list[Finding]:
    """Run one check; return its findings."""
    return list(CHECKS[name](DoctorContext(variables=variables, **context)))  # pyright: ignore[reportArgumentType]


def only(name: str, variables: Variables, **context: object) -> tuple[str, str]:
    """Run one check, and return status and text of its only finding."""
    [finding] = found(name, variables, **context)
    return finding.status, finding.text


def test_a_healthy_deployment(
    database_url: str,
    mqtt_broker: BrokerFixture,
    redis_url: str,
    store: Variables,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All is in order but the device, which is silent; as JSON with the exit status of a warning."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO devices (device_id, site_id, status, last_seen_at) VALUES ('gate-01', 'hq', 'online', %s)",
            [SystemClock().now() - timedelta(hours=2)],
        )
    variables = store | {"DATABASE_URL": database_url, "MQTT_URL": mqtt_broker.url, "REDIS_URL": redis_url}
    assert main(["doctor", "--json"], variables=variables) == 1
    report = json.loads(capsys.readouterr().out)
    bad = {check["name"]: check for check in report["checks"] if check["status"] in {"warning", "fault"}}
    assert list(bad) == ["devices"], bad
    assert "1 of 1 devices are silent: gate-01 (2:00:0" in bad["devices"]["text"]
    assert report["status"] == "warning"
    done = {check["name"] for check in report["checks"] if check["status"] == "ok"}
    assert {"database", "writes", "schema", "partitions", "broker", "redis", "bucket", "clock-store"} <= done


def test_nothing_is_reachable(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each service has its own line; what needs the database is skipped, and no password is printed."""
    port = reserve_port()
    variables = {
        "DATABASE_URL": f"postgresql://vedette:sesame@127.0.0.1:{port}/vedette",
        "REDIS_URL": f"redis://:sesame@127.0.0.1:{port}/0",
        "MQTT_URL": f"mqtt://user:sesame@127.0.0.1:{port}",
        "SNAPSHOT_BUCKET": "pictures",
        **aws_environment(f"http://127.0.0.1:{port}"),
        "CELERY_BROKER_URL": "redis://:sesame@old",
    }
    assert main(["doctor"], variables=variables) == 2
    out = capsys.readouterr().out
    for name in ("database", "redis", "broker"):
        assert f"fault    {name}: nothing listens at 127.0.0.1:{port} (connection refused)\n" in out
    assert f"fault    bucket: nothing listens at 127.0.0.1:{port} (connection refused) (writing an object)\n" in out
    assert "skipped  schema: not checked: the database cannot be used\n" in out
    assert "warning  variables: without effect: CELERY_BROKER_URL (" in out
    assert "sesame" not in out


@pytest.mark.parametrize(
    ("change", "text", "remedy"),
    [
        ({"password": "sesame"}, "refuses the password", "correct user and password in DATABASE_URL"),
        ({"dbname": "nothing"}, "has no such database or user", "create it, or correct DATABASE_URL"),
        ({"sslmode": "require"}, "do not agree on TLS", "correct sslmode in DATABASE_URL"),
        ({"host": NOWHERE}, f"the name of {NOWHERE}:", "correct DATABASE_URL, or the name server"),
    ],
)
def test_causes_of_an_unusable_database(database_url: str, change: Variables, text: str, remedy: str) -> None:
    """Credentials, database, TLS and DNS are distinguished."""
    variables = {"DATABASE_URL": make_conninfo(database_url, **change)}
    [finding] = found("database", variables)
    assert finding.status == "fault"
    assert text in finding.text
    assert finding.remedy == remedy


def test_schema_partitions_and_maintenance(database_url: str) -> None:
    """An old revision, an invalid index, a missing month and failed tasks each have a line."""
    variables = {"DATABASE_URL": database_url}
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO maintenance_retries (task, due_at) VALUES ('retention', now())")
        connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'webhooks_name_idx'::regclass")
    assert only("maintenance", variables) == (
        "warning",
        "failed and not repeated successfully: retention (1 times)",
    )
    revision, invalid = found("schema", variables)
    assert (revision.status, revision.text) == ("ok", f"revision {head_revision()}, the newest of this release")
    assert "webhooks_name_idx" in invalid.text
    later = ManualClock(SystemClock().now() + timedelta(days=730))
    status, text = only("partitions", variables, clock=later)
    assert (status, text[:24]) == ("warning", "partitions are missing: ")
    downgrade(database_url, "0024")
    status, text = only("schema", variables)
    assert (status, text) == ("fault", f"revision 0024 is older than this release, which needs {head_revision()}")
    downgrade(database_url, "base")
    assert only("schema", variables)[1] == "the database is empty: it was never migrated"
    by_name = {one.name: one for one in diagnose(DoctorContext(variables=variables))}
    assert by_name["devices"].text == "not checked: the database does not have the schema of this release"


def test_a_read_only_database(database_url: str) -> None:
    """As after a fail-over: it answers, and refuses writes."""
    url = make_conninfo(database_url, options="-c default_transaction_read_only=on")
    assert only("writes", {"DATABASE_URL": url}) == ("fault", "the database is read-only")
    assert found("database", {"DATABASE_URL": url})[0].status == "ok"


def test_clocks(database_url: str, store: Variables) -> None:
    """This machine's against those of the database and the store; a device's against the time of its heartbeat."""
    variables = store | {"DATABASE_URL": database_url}
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            """INSERT INTO devices (device_id, site_id, status, status_at, heartbeat)
            SELECT name, 'hq', 'online', now(), jsonb_build_object('timestamp', now() + ahead)
            FROM (VALUES ('good', interval '1 second'), ('late', interval '-1 hour')) AS known (name, ahead)"""
        )
    for ahead_s, status, word in (
        (0, "ok", "less than 5 s"),
        (60, "warning", "0:01:00 ahead"),
        (-900, "fault", "behind"),
    ):
        clock = _RunningClock(ahead_s)
        for name in ("clock-database", "clock-store"):
            result = only(name, variables, clock=clock)
            assert result[0] == status, result
            assert word in result[1].replace("0:00:59", "0:01:00").replace("0:01:01", "0:01:00")
    assert only("clock-devices", variables) == ("warning", "clocks of devices are wrong: late is 1:00:00 behind")


class _RunningClock(SystemClock):
    """The system's clock, set wrong."""

    def __init__(self, ahead_s: float) -> None:
        self._ahead = timedelta(seconds=ahead_s)

    def now(self) -> datetime:
        return super().now() + self._ahead


def test_devices_and_webhooks(database_url: str) -> None:
    """Outboxes that are full, ids that are used twice, refused configurations, receivers that fail."""
    variables = {"DATABASE_URL": database_url}
    heartbeat = {
        "outbox": {"pending_events": 5000, "pending_images": 3, "dropped_events": 7},
        "connection": {"client_id_conflict": True},
        "configuration": {"error": "camera gate: no such model"},
    }
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            """INSERT INTO devices (device_id, site_id, status, agent_version, heartbeat, heartbeat_at)
            VALUES ('gate-01', 'hq', 'online', '0.0.9', %s, now())""",
            [json.dumps(heartbeat)],
        )
        connection.execute(
            """INSERT INTO webhooks (id, name, url, secret, secret_wrapped_by, failures, enabled, disabled_reason)
            VALUES (gen_random_uuid(), 'pager', 'https://a.example/?token=sesame', '', '', 3, true, NULL),
                   (gen_random_uuid(), 'gone', 'https://b.example', '', '', 9, false, 'failing')"""
        )
        connection.execute(
            """INSERT INTO webhook_deliveries (webhook_id, message_id, event_type, document, status, attempts,
                   last_attempt_at, response_status, error)
            SELECT id, gen_random_uuid(), 'entry', '{}', 'failed', 3, now(), 500, 'the receiver answered 500'
            FROM webhooks"""
        )
    assert [one.text for one in found("devices", variables)] == [
        "two agents use the same id: gate-01",
        "a configuration is not in effect: gate-01 (camera gate: no such model)",
    ]
    waiting, dropped = found("outboxes", variables)
    assert waiting.text.startswith("much waits on devices: gate-01 (5000 events, 3 pictures, as of 0:00:0")
    assert dropped.text.endswith(": gate-01 (7)")
    assert only("agents", variables) == (
        "warning",
        "agents are older than this release (0.1.0): 1 with 0.0.9",
    )
    assert [(one.name, one.status, "500" in one.text) for one in found("webhooks", variables)] == [
        ("webhook-gone", "fault", True),
        ("webhook-pager", "warning", True),
    ]


def test_keys(database_url: str, tmp_path: Path) -> None:
    """The master key is missing, is another one, can be read by others, or opens what is sealed."""
    right, wrong = tmp_path / "right.key", tmp_path / "wrong.key"
    make_key_file(right)
    make_key_file(wrong)
    _, key = master_keys(f"file:{right}").new_key(KEY_CONTEXT)
    variables = {"DATABASE_URL": database_url}
    assert only("master-key", variables) == ("ok", "nothing is sealed in the database")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO camera_keys (wrapped_key, wrapped_by) VALUES (%s, %s)", [*key])
    assert only("master-key", variables) == (
        "fault",
        "PLATE_MASTER_KEY is not set, but the database contains sealed passwords of cameras",
    )
    assert only("master-key", variables | {"PLATE_MASTER_KEY": f"file:{right}"})[0] == "ok"
    status, text = only("master-key", variables | {"PLATE_MASTER_KEY": f"file:{wrong}"})
    assert (status, text[:46]) == ("fault", "the master key does not open passwords of came")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM camera_keys")
        add_webhook(connection, WebhookSecrets(master_keys=master_keys(f"file:{right}")))
    assert only("master-key", variables | {"PLATE_MASTER_KEY": f"file:{right}"})[0] == "ok"
    status, text = only("master-key", variables | {"PLATE_MASTER_KEY": f"file:{wrong}"})
    assert (status, text[:46]) == ("fault", "the master key does not open secrets of webhoo")
    right.chmod(0o644)
    status, text = only("key-files", variables | {"PLATE_MASTER_KEY": f"file:{right}"})
    assert (status, text) == ("fault", f"{right} with the master key can be read by other users (mode 644)")
    status, text = only("key-files", variables | {"PLATE_MASTER_KEY": f"file:{tmp_path / 'no.key'}"})
    assert "cannot be read: No such file" in text


def add_webhook(connection: psycopg.Connection[Any], secrets: WebhookSecrets) -> None:
    webhook_id = uuid4()
    fields = WebhookFields(name="door", url="https://receiver.example/", filter={}, groups=None, enabled=True)
    create_webhook(connection, webhook_id, fields, secrets.make(webhook_id)[1])


def test_a_stopped_stack_and_its_queues(tmp_path: Path) -> None:
    """What waits in the queue file is reported also while nothing runs."""
    state = StateFolder(tmp_path / "state")
    state.prepare()
    with closing(QueueFile(state.path / "queues.db")) as queues:
        queues.put("vedette-ingest", [("{}", "{}"), ("{}", "{}")])
        queues.put("vedette-ingest-dead", [("{}", "{}")])
    clock = _RunningClock(600)
    by_name = {one.name: one for one in found("queues", {}, state=state, clock=clock)}
    waiting = by_name["queue-ingest"]
    assert (waiting.status, waiting.text[:40]) == ("warning", "2 messages wait, the oldest for 0:10:00")
    assert by_name["queue-ingest-dead"].text.startswith("1 dead letters: ")
    assert by_name["queue-fanout-redis"].status == "ok"
    assert only("parts", {}, state=state) == ("fault", "the stack is stopped")


def test_a_broker_that_is_none() -> None:
    """Another service on the port, and a name that does not resolve."""
    with _server(lambda connection: connection.recv(4096) and connection.sendall(b"HTTP/1.1 400 \r\n")) as port:
        status, text = only("broker", {"MQTT_URL": f"mqtt://127.0.0.1:{port}"})
    assert (status, text) == ("fault", f"127.0.0.1:{port} does not answer as an MQTT broker")
    assert "cannot be resolved (DNS)" in only("broker", {"MQTT_URL": f"mqtt://{NOWHERE}"})[1]


def test_a_broker_that_refuses_the_password() -> None:
    """The return code of its answer is explained."""
    with _server(lambda connection: connection.recv(4096) and connection.sendall(b"\x20\x02\x00\x04")) as port:
        status, text = only("broker", {"MQTT_URL": f"mqtt://user:sesame@127.0.0.1:{port}"})
    assert (status, text) == ("fault", f"the MQTT broker at 127.0.0.1:{port} refuses user name or password")


def test_a_missing_bucket_and_other_refusals(store: Variables) -> None:
    """The code of the store is explained."""
    status, text = only("bucket", store | {"SNAPSHOT_BUCKET": f"missing-{uuid4().hex[:8]}"})
    assert status == "fault"
    assert text.endswith(" does not exist (writing an object)")
    assert only("bucket", store)[0] == "ok"


@pytest.mark.parametrize(
    ("days", "status", "word"),
    [((-2.0, -1.0), "fault", "it has expired"), ((-1.0, 10.0), "warning", "in 9 days"), ((-1.0, 40.0), "ok", "valid")],
)
def test_the_certificate_of_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: tuple[float, float], status: str, word: str
) -> None:
    """Expired, about to expire, and neither; the same for a file."""
    authority = TestAuthority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    certificate, key = authority.issue("server", days=days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with _server(lambda connection: connection.recv(1), context) as port:
        result = only("certificates", {"MQTT_URL": f"mqtts://127.0.0.1:{port}"})
    assert result[0] == status
    assert word in result[1]
    assert only("certificates", {}, certificate_files=[certificate])[0] == status


@contextmanager
def _server(answer: Callable[[socket.socket], object], context: ssl.SSLContext | None = None) -> Generator[int]:
    """Serve one connection on loopback with ``answer``; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            try:
                with connection if context is None else context.wrap_socket(connection, server_side=True) as stream:
                    answer(stream)
            except OSError:
                connection.close()  # the client has refused the certificate

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)
