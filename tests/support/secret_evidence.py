"""Everything in which a secret of a running stack could be found: traffic, answers, tables, files, command lines."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion
from psycopg import sql

_TABLES = """
SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2
"""


class MqttRecorder:
    """Records all messages of a broker, with their topics."""

    def __init__(self, broker: str) -> None:
        self._messages: list[bytes] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _client, _data, message: self._messages.extend(
            (message.topic.encode(), bytes(message.payload))
        )
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        parts = urlsplit(broker)
        self._client.connect(parts.hostname or "", parts.port or 1883)
        self._client.subscribe("#", qos=1)
        self._client.loop_start()
        assert subscribed.wait(20)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def content(self) -> bytes:
        return b"\n".join(self._messages)


class RedisRecorder:
    """Records all commands that any client sends to a Redis server: what is published, stored and counted there."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 6379))
        self._chunks: list[bytes] = []
        self._socket.sendall(b"MONITOR\r\n")
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()

    @property
    def content(self) -> bytes:
        return b"".join(self._chunks)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while chunk := self._socket.recv(65_536):
                self._chunks.append(chunk)


def table_texts(url: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and rows of each table, as a text dump contains them."""
    with psycopg.connect(url) as connection:
        for schema, table in connection.execute(_TABLES).fetchall():
            statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(schema, table))
            with connection.cursor().copy(statement) as copy:
                yield f"table {table}", b"".join(map(bytes, copy))


def files_below(folder: Path, *, without: Collection[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each file below a folder, but not of those that are in ``without`` or below it."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(one == path or one in path.parents for one in without):
            with contextlib.suppress(FileNotFoundError):  # a queue's file that was read and removed meanwhile
                yield f"file {path.relative_to(folder)}", str(path).encode() + b"\n" + path.read_bytes()


def command_lines() -> bytes:
    """Return the command lines of all processes on this machine."""
    lines: list[bytes] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(path.read_bytes())
    return b"\n".join(lines)


def get_answers(client: httpx.Client, values: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yield the answer of each GET route, with the placeholders in its path replaced by ``values``."""
    document: dict[str, Any] = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        if "get" in operations:
            filled = path.format_map({name: quote(value, safe="") for name, value in values.items()})
            yield f"GET {path}", full_answer(client.get(filled))


def full_answer(answer: httpx.Response) -> bytes:
    """Return status, headers and body of an answer."""
    headers = b"\n".join(name + b": " + value for name, value in answer.headers.raw)
    return b"\n".join([str(answer.status_code).encode(), headers, answer.content])
