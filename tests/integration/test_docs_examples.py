"""The programs in ``docs/examples``, run as their readers run them."""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from cloud_functions.event_messages import compressed
from infra.local.processes.process import wait_until
from tests.support.ingest_harness import RECOUNT, rows
from tests.support.kafka_cluster import KafkaCluster
from tests.support.plate_dicts import plate_dict

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"


def _environment(database_url: str, **more: str) -> dict[str, str]:
    """Return the environment of an example: the database under the variables of libpq."""
    to = conninfo_to_dict(database_url)
    names = {"PGHOST": "host", "PGPORT": "port", "PGDATABASE": "dbname", "PGUSER": "user", "PGPASSWORD": "password"}
    database = {variable: str(to[name]) for variable, name in names.items() if to.get(name) is not None}
    return {**os.environ, **database, **more}


def test_the_guide_names_every_example() -> None:
    """A page of the guide links to each program, and a test runs it."""
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "guide").glob("*.md"))
    names = ("test_docs_examples.py", "test_documented_clients.py", "test_webhooks.py", "test_websocket.py")
    modules = [Path(__file__).with_name(name) for name in names]
    tests = "".join(module.read_text(encoding="utf-8") for module in modules)
    programs = [program.name for program in EXAMPLES.glob("*.py")]
    assert programs
    assert [name for name in programs if f"](../examples/{name})" not in pages or f'"{name}"' not in tests] == []


def test_storage(database_url: str) -> None:
    """Reads are stored, and found by id, plate, camera and time."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "alpr_storage.py")],
        env=_environment(database_url),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "stored: True",
        "stored again: True",
        "stored in a batch: 9",
        "by id: ABC 123 US-FL https://images.example/plate.jpg",
        "by plate: 10",
        "second page: 4",
        "by camera and time: 6",
        "newest: True",
        "statistics: True 10 1 1",
    ]


def test_consumer(database_url: str, kafka: KafkaCluster, tmp_path: Path) -> None:
    """Every read of the topic is stored once, an invalid one goes to the dead letters with its reason, statistics are
    logged every hundred messages, and SIGTERM ends the program."""
    topic = "alpr.plates.example"
    for name in (topic, f"{topic}.rejected"):
        kafka.create_topic(name, partitions=1)
    reads = [plate_dict(f"EX {number}") for number in range(250)]
    kafka.produce_events(topic, [*reads, reads[0], plate_dict(captured_at="soon")])
    log = tmp_path / "consumer.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / "alpr_consumer.py")],
            env=_environment(database_url, KAFKA_BROKERS=kafka.brokers, KAFKA_TOPIC=topic),
            stderr=stream,
        )
    try:
        count = "SELECT count(*) FROM plate_events"
        assert wait_until(lambda: rows(database_url, count) == [(250,)], timeout_s=60), log.read_text(encoding="utf-8")
        [letter] = kafka.read(f"{topic}.rejected", 1)
        headers = dict(letter.headers())
        assert headers["reason"] == b"invalid"
        assert headers["detail"].startswith(b"not a plate read: captured_at: ")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    text = log.read_text(encoding="utf-8")
    assert re.search(r"INFO \d+ messages: \d+ stored, .* messages/s", text)
    assert re.search(r"INFO 252 messages: 250 stored, \d repeated, 0 matched, 1 rejected; ", text)
    ids = {event_id for (event_id,) in rows(database_url, "SELECT event_id::text FROM plate_events")}
    assert ids == {read["event_id"] for read in reads}
    assert rows(database_url, RECOUNT) == []


def test_the_example_of_a_queue_reads_every_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plain, compressed, and wrapped without raw message delivery; a repeated event is printed once."""
    document = json.dumps({"event_id": "e", "timestamp": "t", "camera_id": "c", "event_type": "motion"})
    marked = {"content_encoding": {"StringValue": "gzip+base64"}}
    wrapped = {"content_encoding": {"Type": "String", "Value": "gzip+base64"}}
    notification = {"Type": "Notification", "Message": compressed(document), "MessageAttributes": wrapped}
    messages = [
        {"Body": document, "ReceiptHandle": "1"},
        {"Body": compressed(document), "MessageAttributes": marked, "ReceiptHandle": "2"},
        {"Body": json.dumps(notification), "ReceiptHandle": "3"},
    ]
    deleted: list[str] = []

    class Sqs:
        def receive_message(self, **request: Any) -> dict[str, Any]:
            assert request["MessageAttributeNames"] == ["content_encoding"]
            if deleted:
                raise KeyboardInterrupt
            return {"Messages": messages}

        def delete_message(self, **request: str) -> None:
            deleted.append(request["ReceiptHandle"])

    program = runpy.run_path(str(EXAMPLES / "sqs_consumer.py"))
    monkeypatch.setattr("boto3.client", lambda _: Sqs())
    monkeypatch.setattr(sys, "argv", ["sqs_consumer.py", "https://queue"])
    with pytest.raises(KeyboardInterrupt):
        program["main"]()
    assert capsys.readouterr().out == "t c motion\n"
    assert deleted == ["1", "2", "3"]
    with pytest.raises(ValueError, match="brotli"):
        program["event_of"]({"Body": "", "MessageAttributes": {"content_encoding": {"StringValue": "brotli"}}})
