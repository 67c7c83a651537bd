"""The local AWS endpoint, running in a thread of the test, and boto3 clients for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.local.aws.main import make_server
from infra.local.aws.messaging import Messaging
from infra.local.aws.object_store import ObjectFolder, ObjectStore
from infra.local.aws.queue_file import QueueFile
from infra.local.aws.resources import BUCKET, FANOUT_QUEUES
from infra.local.aws.wsgi import Environ, StartResponse
from infra.local.processes.ports import LOOPBACK
from infra.local.servers.aws import REGION
from tests.support.ports import reserve_port


def fallback_service(_: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer in place of moto."""
    start_response("418 I'm a teapot", [("Content-Length", "9")])
    return [b"elsewhere"]


class Endpoint:
    """The running endpoint, with its queues and objects."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queues = QueueFile(folder / "queues.db")
        self.objects = ObjectFolder(folder / "objects")
        self.objects.make_bucket(BUCKET)
        port = reserve_port()
        self.url = f"http://{LOOPBACK}:{port}"
        subscribers = [FANOUT_QUEUES["redis"]]
        messaging = Messaging(queues=self.queues, subscribers=subscribers, fallback=fallback_service)
        self._server = make_server(port, ObjectStore(folder=self.objects, fallback=messaging))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self._clients: list[Any] = []

    def client(self, service: str) -> Any:
        client = boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.queues.close()


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    running = Endpoint(tmp_path)
    yield running
    running.close()


@pytest.fixture
def written_module(tmp_path: Path) -> Callable[[str, str], str]:
    """Return a function that writes a module and returns the folder for ``PYTHONPATH``."""

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return str(tmp_path)

    return write
