"""An ASGI application under uvicorn, on a thread of the test."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, Literal

import uvicorn
from starlette.types import ASGIApp

from tests.support.waiting import eventually

_STOP_TIMEOUT_S: Final = 60.0
_GRACE_S: Final = 10
"""Time for the requests of pages that are still open when the server stops; they are cancelled then."""


class _Server(uvicorn.Server):
    """A server that leaves no connection open, so that no socket outlives its event loop.

    uvicorn asks connections to end. One that a browser opened meanwhile, or that has not sent all, would stay.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0.01)  # a transport closes its socket in the loop's next round


@contextmanager
def served_app(
    app: ASGIApp, *, lifespan: Literal["on", "off"] = "on", ws: Literal["none", "auto"] = "none"
) -> Generator[str]:
    """Yield the address of a server of the application, and stop it.

    ``ws="auto"`` accepts WebSockets too. The system then buffers little for a client that does not read.
    """
    config = uvicorn.Config(
        app, log_level="warning", lifespan=lifespan, ws=ws, ws_ping_interval=None, timeout_graceful_shutdown=_GRACE_S
    )
    server = _Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if ws == "auto":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        eventually(lambda: server.started or not thread.is_alive(), what="the server has started")
        assert server.started
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(_STOP_TIMEOUT_S)
    assert not thread.is_alive()
