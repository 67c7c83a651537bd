"""The subscribers of a run: a reader of the Redis stream, and webhook receivers that the API has registered."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from infra.local.processes.ports import LOOPBACK
from infra.local.processes.process import Process
from tests.benchmarks.delivery.stack import STREAM, BenchStack
from tests.support.ports import reserve_port

GOOD: Final = "webhook"
"""The name of the webhook whose receiver always works."""
STREAM_SOURCE: Final = "redis"


class Subscribers:
    """The processes that receive events. Start from a thread that lives as long as they do."""

    def __init__(self, *, stack: BenchStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._logs = [folder / name for name in ("redis.log", "webhook.log", "websocket.log")]
        port = reserve_port()
        self._receiver_url = f"http://{LOOPBACK}:{port}"
        self._webhooks: dict[str, str] = {}
        self._stall = folder / "websocket.stall"
        self._websocket: Process | None = None
        command = [sys.executable, "-m", "tests.benchmarks.delivery.subscriber"]
        stream = [*command, "redis", "--log", str(self._logs[0]), "--url", stack.url("redis"), "--stream", STREAM]
        receiver = [*command, "webhook", "--log", str(self._logs[1]), "--port", str(port)]
        self._processes = [
            Process(name="stream-reader", command=stream, folder=folder),
            Process(name="webhook-receiver", command=receiver, folder=folder, port=port),
        ]
        for process in self._processes:
            process.start()
        self.add_webhook(GOOD)

    def add_webhook(self, name: str) -> None:
        """Register a webhook through the API, as an administrator."""
        with self._api() as api:
            body = {"name": name, "url": f"{self._receiver_url}/{name}"}
            answer = checked(api.post("/api/v1/webhooks", json=body)).json()["data"]
        self._webhooks[name] = answer["id"]
        self._put(name, answer["secret"])

    def start_websocket(self) -> None:
        """Start a reader of the API's WebSocket, without credentials: a viewer on this stack."""
        url = f"ws{self._stack.url('api').removeprefix('http')}/api/v1/websocket"
        command = [sys.executable, "-m", "tests.benchmarks.delivery.subscriber", "websocket", "--url", url]
        command += ["--log", str(self._logs[2]), "--stall", str(self._stall)]
        self._websocket = Process(name="websocket-reader", command=command, folder=self._folder)
        self._websocket.start()

    def stop_websocket(self) -> None:
        if self._websocket is not None:
            self._websocket.stop()

    def stall_websocket(self, on: bool) -> None:
        """Make the reader of the WebSocket read nothing, or read again."""
        if on:
            self._stall.touch()
        else:
            self._stall.unlink(missing_ok=True)

    def remove_webhook(self, name: str) -> None:
        with self._api() as api:
            checked(api.delete(f"/api/v1/webhooks/{self._webhooks.pop(name)}"))

    def behave(self, name: str, behaviour: str) -> None:
        """Make the receiver of a webhook answer ``ok``, ``500`` or ``redirect``, or ``hang``."""
        self._put(name, behaviour)

    def failures(self, name: str) -> dict[str, int]:
        """Return how many of a webhook's deliveries have failed so far by ``error``, from the API's log."""
        counts: Counter[str] = Counter()
        path = f"/api/v1/webhooks/{self._webhooks[name]}/deliveries"
        number = 1
        with self._api() as api:
            while True:  # all pages: the newest deliveries have not been tried while the webhook pauses
                page = checked(api.get(path, params={"page": number, "page_size": 100})).json()["data"]
                counts.update(delivery["error"] for delivery in page if delivery.get("error"))
                if len(page) < 100:
                    return counts
                number += 1

    def received(self) -> dict[str, dict[str, list[float]]]:
        """Return by source (``redis``, names of webhooks) and event id the Unix times of each receipt."""
        return read_receipts(self._logs)

    def stop(self) -> None:
        for process in self._processes:
            process.stop()
        self.stop_websocket()

    def _put(self, name: str, text: str) -> None:
        checked(httpx.put(f"{self._receiver_url}/{name}", content=text))

    def _api(self) -> AbstractContextManager[httpx.Client]:
        return logged_in(self._stack)


@contextmanager
def logged_in(stack: BenchStack) -> Generator[httpx.Client]:
    """Yield a client of the API with an access token of the first administrator."""
    parts = urlsplit(stack.url("api"))
    with httpx.Client(base_url=f"http://{parts.netloc}", timeout=60) as client:
        login = {"username": stack.admin.username, "password": stack.admin.password}
        token = checked(client.post("/api/auth/login-json", json=login)).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def checked(answer: httpx.Response) -> httpx.Response:
    """Return the response; raise RuntimeError with its body if it is an error."""
    if answer.is_error:
        raise RuntimeError(
            f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:500]}"
        )
    return answer


def read_receipts(logs: Iterable[Path]) -> dict[str, dict[str, list[float]]]:
    """Return the receipts in logs of ``subscriber.py``: by source and event id, the Unix times."""
    found: dict[str, dict[str, list[float]]] = {}
    for log in logs:
        for line in log.read_text(encoding="ascii").split("\n")[:-1] if log.is_file() else ():
            source, event_id, at_s = line.split(" ")
            found.setdefault(source, {}).setdefault(event_id, []).append(float(at_s))
    return found
