"""The metrics of the one-machine stack: every row of the table is served, from real queues and a real database."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest

from cloud_functions.api.settings import ApiSettings
from cloud_functions.api.wiring import server_app
from cloud_functions.observability import build_metrics
from cloud_functions.settings import DatabaseSettings
from infra.local.aws.metrics import StackMetrics
from infra.local.aws.queue_file import QueueFile
from infra.local.processes.ports import is_free
from infra.local.processes.process import PidFile, ProcessIdentity
from shared.metrics.address import ListenAddress
from shared.metrics.functions import FUNCTION_METRICS
from shared.metrics.sample_file import read_sample_files
from shared.metrics.server import MetricsServer
from shared.metrics.table import STACK, by_name
from tests.integration.test_monitoring import blocks, run
from tests.support.ports import reserve_port
from tests.support.waiting import eventually


def count_in_functions(folder: Path) -> None:
    """Count something under each name, as the functions do."""
    for service in ("ingest", "fanout", "maintenance"):
        variables = {"METRICS_DIR": str(folder), "FANOUT_TARGET": "redis", "AWS_LAMBDA_FUNCTION_NAME": "local"}
        metrics = build_metrics(service=service, variables=variables)
        for base, metric in FUNCTION_METRICS.items():
            if metric.service == service:
                name = f"{base}_gaps" if metric.suffix_label else base
                metrics.count(name, 2) if metric.unit == "Count" else metrics.record(name, 0.5)
        metrics.flush()


async def call_api(database_url: str, folder: Path) -> None:
    """Send requests to the application that uvicorn runs on the stack."""
    settings = ApiSettings(database=DatabaseSettings(url=database_url), bucket="none", metrics_dir=str(folder))
    transport = httpx.ASGITransport(app=server_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for path in ("/api/events", "/api/events/77", "/ZZ999", "/metrics"):
            await client.get(path)


@pytest.fixture
def metrics(tmp_path: Path, database_url: str) -> StackMetrics:
    """The metrics of a stack with this process as its only running part."""
    here = ProcessIdentity.of(os.getpid())
    assert here is not None
    running, ended = PidFile(tmp_path / "api.pid"), PidFile(tmp_path / "aws.pid")
    running.write(here)
    ended.write(ProcessIdentity(pid=os.getpid(), started="another boot/1"))
    return StackMetrics(
        files=tmp_path,
        queues=tmp_path / "queues.db",
        pid_files=lambda: {"api": running, "aws": ended},
        database_url=database_url,
    )


def test_every_row_of_the_table_is_served(metrics: StackMetrics, tmp_path: Path, database_url: str) -> None:
    """Parts, functions, API, queues and database; plates in paths are not in labels, and the API has no /metrics."""
    queues = QueueFile(tmp_path / "queues.db")
    queues.put("vedette-fanout-redis-dead", [("a", "{}"), ("b", "{}")])
    row = ("gate", "hq", uuid4(), 300.0)
    columns = "device_id, site_id, canary_id, every_s, sent_at"
    insert = f"INSERT INTO canary_receipts ({columns}) VALUES (%s, %s, %s, %s, now())"
    with psycopg.connect(database_url) as connection:
        connection.execute(insert, row)
    count_in_functions(tmp_path)
    asyncio.run(call_api(database_url, tmp_path))
    table = by_name(STACK)
    eventually(lambda: len({sample.name for sample in read_sample_files(tmp_path, table)}) == len(FUNCTION_METRICS) + 1)
    text = metrics.text()
    queues.close()
    assert set(re.findall(r"# TYPE (\S+) ", text)) == set(table)
    lines = text.splitlines()
    for line in (
        'vedette_part_up{part="api"} 1',
        'vedette_part_up{part="aws"} 0',
        'vedette_queue_messages{queue="vedette-fanout-redis-dead"} 2',
        'vedette_queue_messages{queue="vedette-ingest"} 0',
        "vedette_events_stored_total 2",
        'vedette_events_delivered_total{target="redis"} 2',
        'vedette_maintenance_changes_total{task="gaps"} 2',
        'vedette_ingest_batch_seconds_bucket{le="0.5"} 1',
        "vedette_database_up 1",
        "vedette_canaries_late_seconds 0.5",
        'vedette_devices{state="online"} 0',
        'vedette_cameras{status="live"} 0',
        'vedette_api_request_seconds_count{method="GET",route="unknown path",status="4xx"} 2',
    ):
        assert line in lines
    routes = set(re.findall(r'route="([^"]*)"', text))
    assert len(routes) == 3
    assert not any("77" in route or "ZZ999" in route for route in routes)


def test_a_scrape_without_database_and_queues_serves_the_rest(tmp_path: Path, metrics: StackMetrics) -> None:
    """What is down is visible as such, rather than as a scrape that fails."""
    text = StackMetrics(
        files=tmp_path,
        queues=tmp_path / "none.db",
        pid_files=metrics.pid_files,
        database_url="postgresql://nobody@127.0.0.1:1/none",
    ).text()
    assert "\nvedette_database_up 0\n" in text
    assert 'vedette_part_up{part="api"} 1' in text
    assert "vedette_devices" not in text
    assert not (tmp_path / "none.db").exists()


def test_the_command_of_the_guide(metrics: StackMetrics, tmp_path: Path) -> None:
    """It prints the series that the guide shows; only the numbers differ."""
    QueueFile(tmp_path / "queues.db").close()
    (script,), (expected,) = blocks("The one-machine stack", "sh"), blocks("The one-machine stack", "text")
    address = ListenAddress("127.0.0.1", reserve_port())
    server = MetricsServer(address=address, collect=metrics.text)
    server.start()
    eventually(lambda: not is_free(address.port))
    found = run(script.replace("9465", str(address.port)), tmp_path)
    server.close()
    assert [line.split()[0] for line in found.splitlines()] == [line.split()[0] for line in expected.splitlines()]
