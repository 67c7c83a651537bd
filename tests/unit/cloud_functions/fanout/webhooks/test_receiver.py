"""What a receiver of webhooks may answer: hostile responses are bounded."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from cloud_functions.fanout.webhooks.addresses import AddressPolicy
from cloud_functions.fanout.webhooks.receiver import Receiver

_SENT_MIB = 40


@contextmanager
def answering(head: bytes) -> Generator[tuple[str, list[int]]]:
    """Serve one request with ``head`` and then megabytes, as long as they are taken; yield the URL and their number."""
    taken: list[int] = []

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65_536)
            try:
                connection.sendall(head)
                for number in range(_SENT_MIB):
                    connection.sendall(b"x" * 1_048_576)
                    taken.append(number)
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/", taken
        thread.join()


@pytest.mark.parametrize("size", ["-1", "-50000", "fffffffffffffff", "5"])
def test_the_size_of_a_chunk_bounds_no_less_than_our_limit(size: str) -> None:
    """``http.client`` reads until the end of the connection, into memory, for a chunk of -1 bytes."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n" % size.encode()
    with answering(head) as (url, taken), Receiver(url, policy=AddressPolicy.parse("127.0.0.0/8")) as receiver:
        assert receiver.post(b"{}", {}).error is None
    assert len(taken) < _SENT_MIB / 2  # the rest of what was sent is in the buffers of the sockets
