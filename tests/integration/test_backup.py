"""``vedette-admin backup``, ``restore`` and ``verify`` on real databases and a real object store."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import psycopg
import pytest

from cloud_functions.api.app import create_app
from cloud_functions.api.security.plate_access import PlateAccess
from cloud_functions.db.migrate import downgrade, head_revision, upgrade
from cloud_functions.db.partitions.partitions import partition_of
from cloud_functions.db.webhooks.changes import list_secrets, rewrap_secrets
from cloud_functions.plates.master_keys import make_key_file
from cloud_functions.privacy.vault import PlateVault
from cloud_functions.privacy.webhook_secrets import WebhookSecrets
from infra.admin.cli import main
from infra.local.servers.aws import aws_environment
from tests.support.api_calls import Answer, ApiCalls, FakeSnapshots, filled_path, lambda_api
from tests.support.camera_groups import TwoGroups, fill_two_groups
from tests.support.every_table import contents, fill_every_table
from tests.support.ingest_harness import open_ingest
from tests.support.permission_matrix import all_routes, object_values
from tests.support.protected_sites import keys, protect, setting
from tests.support.users import add_key, add_user
from tests.support.waiting import eventually
from tests.support.wire_events import NOON, batch, mixed_traffic

NOT_COMPARED = {"audit_log", "audit_chains", "event_stream_head", "sites_version", "watchlist_version"}
"""Each command adds to the audit log, and a restore raises versions and positions."""
LATER = NOON + timedelta(days=20)
Run = Callable[..., tuple[int, str, str]]


@dataclass
class System:
    """A database and a bucket."""

    url: str
    bucket: str
    client: Any
    variables: dict[str, str]

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType="image/jpeg")

    def images(self) -> dict[str, bytes]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {key: self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}


@pytest.fixture
def new_system(stack_s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], System]]:
    """Return a function that makes a bucket for a database."""
    for name, value in aws_environment(stack_s3).items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")

    def make(url: str) -> System:
        name = f"backup-{uuid4().hex[:12]}"
        client.create_bucket(Bucket=name)
        variables = {"DATABASE_URL": url, "SNAPSHOT_BUCKET": name, "AWS_ENDPOINT_URL": stack_s3}
        return System(url, name, client, variables | {"PLATE_MASTER_KEY": setting(tmp_path)})

    yield make
    client.close()


@pytest.fixture
def old(new_system: Callable[[str], System], database_url: str) -> System:
    return new_system(database_url)


@pytest.fixture
def new(new_system: Callable[[str], System], empty_url: str) -> System:
    return new_system(empty_url)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command on a system and returns its status, output and errors."""

    def call(system: System, *arguments: object, **variables: str) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments], variables=system.variables | variables)
        output = capsys.readouterr()
        return status, output.out, output.err

    return call


def fill(system: System, folder: Path) -> TwoGroups:
    """Fill a system with an object of every kind, with pictures and with sealed plates."""
    objects = fill_two_groups(system.url)
    protect(system.url, folder, "vault")
    seal_webhooks(system.url, folder)
    events = mixed_traffic(60)
    with open_ingest(system.url, PLATE_MASTER_KEY=setting(folder)) as ingest:
        ingest.handle(batch([event | {"site_id": "vault"} for event in events]))
    add_user(system.url, "ana", role="operator")
    add_key(system.url, "events:read")
    for key, image in objects.images.items():
        system.put(key, image)
    return objects


def seal_webhooks(url: str, folder: Path) -> None:
    """Give the webhooks secrets that the master key opens."""
    secrets = WebhookSecrets(master_keys=keys(folder))
    with psycopg.connect(url) as connection:
        for webhook_id, _, _ in list_secrets(connection, lock=True):
            rewrap_secrets(connection, webhook_id, secrets.make(webhook_id)[1], None)


def answers(system: System, folder: Path, objects: TwoGroups) -> dict[str, Answer]:
    """Return the answer of every GET route, for the objects of both groups.

    That of the audit log is left out, because backup and restore add to it.
    """
    handler, dependencies = lambda_api(
        system.url,
        snapshots=FakeSnapshots(system.images()),
        plate_access=PlateAccess(vault=PlateVault(master_keys=keys(folder))),
    )
    found: dict[str, Answer] = {}
    try:
        for route in all_routes(create_app(dependencies=dependencies)):
            compared = route.method == "GET" and not route.path.endswith("/audit")
            for side in (objects.own, objects.foreign) if compared else ():
                path = filled_path(route.path, name="index.html", **object_values(objects, side))
                found[path] = ApiCalls(handler).get(path)
    finally:
        handler.close()
        dependencies.close()
    return found


def comparable(answer: Answer) -> tuple[int, str]:
    """Return status and body without the time of the answer and the id of the request."""
    text = re.sub(r'"(timestamp|requestId|generated_at|expires_at)": ?"[^"]*"', "", repr(answer.body))
    return answer.status, text


def rows_of(url: str) -> dict[str, Any]:
    return {table: rows for table, rows in contents(url).items() if table not in NOT_COMPARED}


def test_a_restored_system_gives_the_same_answers(old: System, new: System, run: Run, tmp_path: Path) -> None:
    """Every GET route answers the same, byte by byte; so do all tables; and the system verifies."""
    objects = fill(old, tmp_path)
    assert run(old, "user", "create", "ben", "--role", "viewer")[0] == 0
    before = answers(old, tmp_path, objects)
    assert sum(answer.status == 200 for answer in before.values()) > len(before) / 2
    folder = tmp_path / "backup"
    status, out, err = run(old, "backup", folder)
    assert status == 0, err
    assert "WITHOUT the master key (file:" in out
    assert run(old, "verify", folder)[0] == 0

    status, out, err = run(new, "restore", folder)
    assert (status, "MASTER KEY MISSING" in out) == (0, False), err
    after = answers(new, tmp_path, objects)
    assert {path: comparable(answer) for path, answer in after.items()} == {
        path: comparable(answer) for path, answer in before.items()
    }
    assert new.images() == old.images()
    head = new.client.head_object(Bucket=new.bucket, Key=next(iter(objects.images)))
    assert head["ContentType"] == "image/jpeg"
    assert rows_of(new.url) == rows_of(old.url)
    actions = {entry["action"] for entry in contents(new.url)["audit_log"]}
    assert actions == {"create_user", "restore"}
    for system in (old, new):
        status, out, err = run(system, "verify", "--all", SNAPSHOT_RETENTION_DAYS="0")
        assert status == 0, out + err


def test_every_table_is_restored(old: System, new: System, run: Run, tmp_path: Path) -> None:
    """A row in each table, with its values, ids and sequences; into a database that is migrated already."""
    upgrade(new.url)
    fill_two_groups(old.url)
    fill_every_table(old.url)
    before = rows_of(old.url)
    assert run(old, "backup", tmp_path / "backup", "--objects", "none")[0] == 0
    assert run(new, "restore", tmp_path / "backup")[0] == 0
    assert rows_of(new.url) == before
    with psycopg.connect(new.url) as connection:
        highest = connection.execute("SELECT max(id), nextval('events_id_seq') FROM events").fetchone()
        enabled = connection.execute(
            "SELECT DISTINCT tgenabled::text FROM pg_trigger WHERE NOT tgisinternal"
        ).fetchall()
    assert highest is not None
    assert highest[1] > highest[0]
    assert enabled == [("O",)]


def test_a_used_database_is_refused(old: System, run: Run, tmp_path: Path) -> None:
    """And stays as it is."""
    with psycopg.connect(old.url, autocommit=True) as connection:
        connection.execute("INSERT INTO camera_groups (id, slug, name) VALUES (gen_random_uuid(), 'n', 'N')")
    assert run(old, "backup", tmp_path / "backup", "--objects", "none")[0] == 0
    before = rows_of(old.url)
    status, _, err = run(old, "restore", tmp_path / "backup")
    assert (status, "not empty (camera_groups)" in err) == (2, True)
    assert rows_of(old.url) == before


def test_an_older_schema_is_upgraded(old: System, new: System, run: Run, tmp_path: Path) -> None:
    """The rows are loaded at the revision of the backup; a new stack is at the newest already."""
    downgrade(old.url, "0020")
    add_key(old.url, "events:read")
    assert run(old, "backup", tmp_path / "backup", "--objects", "none")[0] == 0
    upgrade(new.url)
    status, out, err = run(new, "restore", tmp_path / "backup")
    assert (status, f"the schema is {head_revision()}" in out) == (0, True), err
    with psycopg.connect(new.url) as connection:
        assert connection.execute("SELECT count(*) FROM api_keys").fetchone() == (1,)


def test_a_backup_while_ingest_writes_is_consistent(old: System, new: System, run: Run, tmp_path: Path) -> None:
    """Rollups, plates and sequences of the restored database agree with its events."""
    stopped = threading.Event()

    def write() -> None:
        number = 0
        with open_ingest(old.url) as ingest:
            while not stopped.is_set():
                ingest.handle(batch(mixed_traffic(40, seed=number, first_sequence=1 + 40 * number)))
                number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        eventually(lambda: len(contents(old.url)["events"]) > 80, what="ingest writes")
        assert run(old, "backup", tmp_path / "backup", "--objects", "none")[0] == 0
    finally:
        stopped.set()
        thread.join()
    assert run(new, "restore", tmp_path / "backup")[0] == 0
    status, out, err = run(new, "verify", "--all", SNAPSHOT_BUCKET="")
    assert status == 0, out + err
    assert len(contents(new.url)["events"]) >= 80


def test_pictures_are_copied_once(old: System, run: Run, tmp_path: Path) -> None:
    """A second backup copies what is new and removes what is gone; the earlier one stays until it is complete."""
    folder = tmp_path / "backup"
    old.put("snapshots/gate-01/a.jpg", b"a")
    assert json.loads(run(old, "backup", folder, "--json")[1])["copied"] == 1
    old.put("snapshots/gate-01/b.jpg", b"b")
    assert json.loads(run(old, "backup", folder, "--json")[1])["copied"] == 1
    old.client.delete_object(Bucket=old.bucket, Key="snapshots/gate-01/a.jpg")
    assert json.loads(run(old, "backup", folder, "--json")[1])["copied"] == 0
    assert [path.name for path in (folder / "objects").rglob("*.jpg")] == ["b.jpg"]
    assert len(list(folder.glob("run-*"))) == 1


def test_damage_is_found(old: System, new: System, run: Run, tmp_path: Path) -> None:
    """Of a table, of a picture, of the manifest; a damaged table is not restored, and nothing is changed."""
    folder = tmp_path / "backup"
    old.put("snapshots/gate-01/a.jpg", b"aaaa")
    assert run(old, "backup", folder)[0] == 0
    (folder / "objects/snapshots/gate-01/a.jpg").write_bytes(b"bbbb")
    status, out, _ = run(old, "verify", folder)
    assert (status, "FAULT object snapshots/gate-01/a.jpg" in out) == (1, True)
    [listed] = folder.glob("run-*/objects.jsonl.gz")
    content = listed.read_bytes()
    listed.write_bytes(content[:-12])
    status, _, err = run(new, "restore", folder)
    assert (status, "objects.jsonl.gz: its checksum is wrong" in err, new.images()) == (1, True, {})
    listed.write_bytes(content)
    [table] = folder.glob("run-*/users.copy.gz")
    table.write_bytes(table.read_bytes()[:-1])
    assert "users.copy.gz: its checksum is wrong" in run(old, "verify", folder)[1]
    status, _, err = run(new, "restore", folder)
    assert (status, "nothing was changed" in err) == (1, True)
    (folder / "manifest.json").write_text((folder / "manifest.json").read_text().replace('"rows": 16', '"rows": 17'))
    assert "its checksum is wrong" in run(old, "verify", folder)[2]


def test_an_unfinished_backup_is_recognised(old: System, run: Run, tmp_path: Path) -> None:
    """By verify and restore; the next backup replaces it. Other files in the folder are left alone."""
    folder = tmp_path / "backup"
    (folder / "run-0123").mkdir(parents=True)
    for command in ("verify", "restore"):
        status, _, err = run(old, command, folder)
        assert (status, "was not finished" in err) == (2, True)
    assert run(old, "backup", folder, "--objects", "none")[0] == 0
    assert not (folder / "run-0123").exists()
    status, _, err = run(old, "restore", tmp_path / "misspelt", "--no-objects")
    assert (status, "holds no backup" in err, (tmp_path / "misspelt").exists()) == (2, True, False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    assert "holds other files (letter.txt)" in run(old, "backup", tmp_path / "mine")[2]


def test_the_master_key_is_only_included_on_demand(old: System, new: System, run: Run, tmp_path: Path) -> None:
    """A restore adds it to the key file of the new system, which keeps its own; without it, that is said."""
    fill_two_groups(old.url)
    protect(old.url, tmp_path, "vault")
    seal_webhooks(old.url, tmp_path)
    other = tmp_path / "other.key"
    make_key_file(other)
    own = other.read_text()
    without, with_key = tmp_path / "without", tmp_path / "with"
    assert run(old, "backup", without, "--objects", "none")[0] == 0
    assert not list(without.rglob("*.key"))
    out = run(old, "backup", with_key, "--objects", "none", "--with-master-key")[1]
    assert "WITH the master key" in out
    assert (with_key / "master.key").stat().st_mode & 0o077 == 0
    out = run(new, "restore", without, PLATE_MASTER_KEY=f"file:{other}")[1]
    assert "MASTER KEY MISSING: 3 of 3" in out
    downgrade(new.url, "base")
    out = run(new, "restore", with_key, PLATE_MASTER_KEY=f"file:{other}")[1]
    assert "were added to" in out
    assert "MISSING" not in out
    assert other.read_text().startswith(own)


def _killed_at(variables: dict[str, str], arguments: list[str], place: str) -> None:
    """Run a command in this process, and kill the process when it comes to a function."""
    import importlib

    module, _, name = place.rpartition(".")

    def kill(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(importlib.import_module(module), name, kill)
    main(arguments, variables=variables)


@pytest.mark.parametrize(
    ("command", "place"),
    [
        ("backup", "infra.admin.backup.create._copy_master_key"),
        ("restore", "infra.admin.backup.load._compare"),
        ("restore", "infra.admin.backup.restore._unreadable_keys"),
    ],
)
def test_a_killed_command_is_run_again(
    old: System, new: System, run: Run, tmp_path: Path, command: str, place: str
) -> None:
    """kill -9 before the manifest is written, before the rows are committed, and after that: the next run completes."""
    folder = tmp_path / "backup"
    add_user(old.url, "ana")
    add_key(old.url, "events:read")
    old.put("snapshots/gate-01/a.jpg", b"a")
    before = rows_of(old.url)
    if command == "restore":
        assert run(old, "backup", folder)[0] == 0
    victim = multiprocessing.get_context("fork").Process(
        target=_killed_at, args=((old if command == "backup" else new).variables, [command, str(folder)], place)
    )
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    if command == "backup":
        assert "was not finished" in run(old, "verify", folder)[2]
        result = json.loads(run(old, "backup", folder, "--json")[1])
        assert (result["copied"], result["objects"]) == (0, 1)
    assert run(new, "restore", folder)[0] == 0
    assert rows_of(new.url) == before
    assert new.images() == {"snapshots/gate-01/a.jpg": b"a"}


def test_verify_finds_what_does_not_agree(old: System, run: Run) -> None:
    """Wrong counts, missing pictures and a missing partition; exit status 1, for cron."""
    objects = fill_two_groups(old.url)
    for key, image in objects.images.items():
        old.put(key, image)
    assert run(old, "verify", "--all", SNAPSHOT_RETENTION_DAYS="0")[0] == 0
    next_month = partition_of(partition_of(datetime.now(UTC)).end).name
    with psycopg.connect(old.url, autocommit=True) as connection:
        connection.execute("UPDATE event_counts SET events = events + 1")
        connection.execute(f"DROP TABLE {next_month}".encode())
    for key in objects.images:
        old.client.delete_object(Bucket=old.bucket, Key=key)
    for options in (("--all",), ("--days", "36000", "--pictures", "3")):
        status, out, _ = run(old, "verify", *options, SNAPSHOT_RETENTION_DAYS="0")
        assert status == 1
        assert "rows of event_counts differ" in out
        assert "rows of event_counts_daily differ" in out
        assert f"the partition {next_month} is missing" in out
        assert "is missing in the bucket" in out
