"""A TCP relay between a client and a server, whose connections a test can cut."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

_LOOPBACK = "127.0.0.1"


class Relay:
    """Listens on a loopback port and forwards all bytes to ``target``; ``port`` 0 picks a free one."""

    def __init__(self, *, target: int, port: int = 0) -> None:
        self._server = socket.create_server((_LOOPBACK, port))
        self.port = int(self._server.getsockname()[1])
        self._target = target
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close all current connections; new ones are accepted."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for each in sockets:
            # Closing alone would not wake the thread that reads from the socket.
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        """Close all connections and stop listening."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection((_LOOPBACK, self._target))
                with self._lock:
                    self._sockets += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=[source, sink], daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                sink.sendall(data)
        # When one direction ends, the connection is closed, as when a process ends.
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
