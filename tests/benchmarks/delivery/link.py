"""A TCP proxy on loopback whose network can be slow, silent or gone."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from infra.local.processes.ports import LOOPBACK

_CHUNK_BYTES = 65_536


class _Connection:
    """The two sockets of one connection through the link."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near = near
        self.far = far
        self.is_half_open = False

    def cut(self) -> None:
        for writer in (self.near, self.far):
            _reset(writer)

    def lose_far_side(self) -> None:
        self.is_half_open = True
        _reset(self.far)

    def close(self) -> None:
        for writer in (self.near, self.far):
            writer.close()


class Link:
    """Forwards connections to ``target``. Its faults act on present and new connections.

    ``delay_s`` is added in each direction. ``silent`` forwards nothing while connections stay open. ``refusing`` ends
    connections at once.
    """

    def __init__(self, *, target: int, port: int = 0) -> None:
        self._target = target
        self.delay_s = 0.0
        self._refusing = False
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._passing = asyncio.Event()
        self._passing.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link", daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, LOOPBACK, port))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def silent(self, on: bool) -> None:
        """Forward nothing from now on, or forward again what was held back."""
        self._call(self._passing.clear if on else self._passing.set)

    def refuse(self, on: bool) -> None:
        """Cut all connections and end new ones at once, or accept connections again."""
        self._refusing = on
        if on:
            self.cut()

    def cut(self) -> None:
        """Reset all present connections on both sides."""
        self._call(lambda: [connection.cut() for connection in list(self._connections)])

    def half_open(self) -> None:
        """Reset the far side of all present connections; the near side is not notified, and gets no more answers."""
        self._call(lambda: [connection.lose_far_side() for connection in list(self._connections)])

    def heal(self) -> None:
        """End all faults."""
        self.delay_s = 0.0
        self.refuse(False)
        self.silent(False)

    def close(self) -> None:
        """Stop listening and end all connections."""
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _call(self, action: Callable[[], object]) -> None:
        async def act() -> None:
            action()

        self._run(act())

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._forward(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        if self._refusing:
            _reset(near)
            return
        try:
            far_reader, far = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:
            _reset(near)
            return
        connection = _Connection(near, far)
        self._connections.add(connection)
        requests = self._loop.create_task(self._pump(reader, far))
        answers = self._loop.create_task(self._pump(far_reader, near))
        try:
            await asyncio.wait({requests, answers}, return_when=asyncio.FIRST_COMPLETED)
            if connection.is_half_open:
                await requests
        finally:
            self._connections.discard(connection)
            requests.cancel()
            answers.cancel()
            connection.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Forward one direction until it ends. What is sent into a side that is lost is dropped."""
        with suppress(OSError):
            while data := await source.read(_CHUNK_BYTES):
                await self._passing.wait()
                if self.delay_s:
                    self._loop.call_later(self.delay_s, _write, sink, data)
                else:
                    _write(sink, data)
        await self._passing.wait()


def _write(sink: asyncio.StreamWriter, data: bytes) -> None:
    if not sink.is_closing():
        sink.write(data)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST instead of FIN."""
    if not writer.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
