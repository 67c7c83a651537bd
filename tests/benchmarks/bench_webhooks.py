"""Deliveries to webhooks from one process: to a fast receiver alone, and beside a slow one that takes 50 ms a request.

Each delivery is a signed HTTP request on an open connection and a transaction that records its outcome. The slow
receiver must not slow the fast one down: the baseline is the fast one alone, in the same run.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from cloud_functions.db.migrate import upgrade
from cloud_functions.privacy.webhook_secrets import WebhookSecrets
from infra.local.servers.postgres import PostgresServer
from tests.benchmarks.figures import Figure
from tests.benchmarks.filled_database import database_server
from tests.support.api_calls import ApiCalls, lambda_api
from tests.support.protected_sites import keys
from tests.support.webhook_receiver import Received, ReceivingServer, Reply, WebhookFanout, receiving

EVENTS = 200
SLOW_S = 0.05
REPEAT_EVERY_S = 2.0
TIMEOUT_S = 120.0
TARGET_RATIO = 0.7


def run() -> list[Figure]:
    with database_server() as server, tempfile.TemporaryDirectory(prefix="bench-webhooks-") as folder:
        alone, _ = _measure(server, Path(folder), "alone", slow=False)
        beside, slow = _measure(server, Path(folder), "beside", slow=True)
    note = f"{EVENTS} events"
    return [
        Figure("fast receiver alone", alone, "deliveries/s", better="higher", note=note),
        Figure("fast receiver beside a slow one", beside, "deliveries/s", better="higher", note=note),
        Figure("… of the fast receiver alone", beside / alone, "ratio", TARGET_RATIO, "higher"),
        Figure(
            "slow receiver meanwhile", slow, "deliveries/s", better="higher", note=f"{SLOW_S * 1000:.0f} ms a request"
        ),
    ]


def _measure(server: PostgresServer, folder: Path, name: str, *, slow: bool) -> tuple[float, float]:
    """Return the deliveries in a second to the fast receiver, and to the slow one meanwhile."""
    server.create_database(name)
    url = server.url_of(name)
    upgrade(url)

    def answer_late(_: Received) -> Reply:
        time.sleep(SLOW_S)
        return Reply()

    fanout = WebhookFanout(url, folder, in_background=True)
    try:
        with receiving() as fast, receiving(answer_late) as other:
            _register(url, folder, fast, *([other] if slow else []))
            batch = [fanout.delivery(fanout.stored()) for _ in range(EVENTS)]
            start_s = time.perf_counter()
            repeat_s = start_s + REPEAT_EVERY_S
            assert fanout.target.deliver(batch) == set()
            while len(fast.received) < EVENTS:
                if time.perf_counter() - start_s > TIMEOUT_S:
                    raise TimeoutError(f"{len(fast.received)} of {EVENTS} deliveries in {TIMEOUT_S:.0f} s")
                if time.perf_counter() >= repeat_s:  # as the schedule does
                    fanout.target.deliver([])
                    repeat_s += REPEAT_EVERY_S
                time.sleep(0.005)
            elapsed_s = time.perf_counter() - start_s
            figures = EVENTS / elapsed_s, len(other.received) / elapsed_s
            fanout.execute("UPDATE webhook_deliveries SET status = 'failed' WHERE status = 'pending'")
            time.sleep(1.0)  # the thread of the slow receiver ends with its batch
            return figures
    finally:
        fanout.close()


def _register(url: str, folder: Path, *receivers: ReceivingServer) -> None:
    handler, dependencies = lambda_api(url, webhook_secrets=WebhookSecrets(master_keys=keys(folder)))
    for number, receiver in enumerate(receivers):
        answer = ApiCalls(handler).post("/api/v1/webhooks", {"name": str(number), "url": receiver.url})
        assert answer.status == 201, json.dumps(answer.json())
    handler.close()
    dependencies.close()
