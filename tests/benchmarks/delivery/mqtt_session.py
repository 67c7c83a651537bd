"""A small MQTT 3.1.1 client for asyncio: one connection with QoS 1, for load tests with hundreds of devices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_CONNECT: Final = 0x10
_PUBLISH: Final = 0x30
_QOS_1: Final = 0x02
_RETAIN: Final = 0x01
_SUBSCRIBE: Final = 0x82
_PING: Final = 0xC0
_DISCONNECT: Final = 0xE0
_TIMEOUT_S: Final = 60.0

OnMessage = Callable[[str, bytes], None]


class MqttError(Exception):
    """The connection was refused or lost."""


class MqttSession:
    """One connection. ``publish`` returns when the broker has acknowledged the message."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_message: OnMessage) -> None:
        self._reader = reader
        self._writer = writer
        self._on_message = on_message
        self._packet_id = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls, port: int, *, client_id: str, will_topic: str, will: bytes, keepalive_s: int, on_message: OnMessage
    ) -> MqttSession:
        """Connect with a persistent session and a retained last will; raise MqttError if the broker refuses."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        session = cls(reader, writer, on_message)
        flags = 0x04 | 0x08 | 0x20  # a will, with QoS 1, retained; not a clean session
        head = _text("MQTT") + bytes([4, flags]) + keepalive_s.to_bytes(2, "big")
        writer.write(_packet(_CONNECT, head + _text(client_id) + _text(will_topic) + _blob(will)))
        async with asyncio.timeout(_TIMEOUT_S):
            kind, body = await session._read_packet()
        if kind & 0xF0 != 0x20 or body[1] != 0:
            raise MqttError(f"the broker refused the connection: {body!r}")
        session._reading = asyncio.create_task(session._read())
        return session

    @property
    def lost(self) -> bool:
        return self._reading is None or self._reading.done()

    @property
    def unacknowledged(self) -> int:
        return len(self._waiting)

    async def subscribe(self, topic_filter: str) -> None:
        packet_id, acknowledged = self._expect()
        self._writer.write(_packet(_SUBSCRIBE, packet_id.to_bytes(2, "big") + _text(topic_filter) + b"\x01"))
        async with asyncio.timeout(_TIMEOUT_S):
            await acknowledged

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait for PUBACK; raise MqttError if the connection is lost first."""
        if self.lost:
            raise MqttError("not connected")
        packet_id, acknowledged = self._expect()
        head = _PUBLISH | _QOS_1 | (_RETAIN if retain else 0)
        self._writer.write(_packet(head, _text(topic) + packet_id.to_bytes(2, "big") + payload))
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await acknowledged
        except TimeoutError:
            self._waiting.pop(packet_id, None)
            raise MqttError(f"no PUBACK within {_TIMEOUT_S:g} s") from None

    def ping(self) -> None:
        self._writer.write(bytes([_PING, 0]))

    async def close(self) -> None:
        """Disconnect cleanly, so that the broker does not publish the last will."""
        with suppress(OSError):
            self._writer.write(bytes([_DISCONNECT, 0]))
            await self._writer.drain()
        if self._reading is not None:
            self._reading.cancel()
        self._writer.close()

    def _expect(self) -> tuple[int, asyncio.Future[None]]:
        self._packet_id = self._packet_id % 65_535 + 1
        while self._packet_id in self._waiting:
            self._packet_id = self._packet_id % 65_535 + 1
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[self._packet_id] = acknowledged
        return self._packet_id, acknowledged

    async def _read(self) -> None:
        try:
            while True:
                kind, body = await self._read_packet()
                if kind & 0xF0 in {0x40, 0x90}:  # PUBACK, SUBACK
                    acknowledged = self._waiting.pop(int.from_bytes(body[:2], "big"), None)
                    if acknowledged is not None and not acknowledged.done():
                        acknowledged.set_result(None)
                elif kind & 0xF0 == _PUBLISH:
                    self._receive(kind, body)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            for acknowledged in self._waiting.values():
                if not acknowledged.done():
                    acknowledged.set_exception(MqttError("the connection was lost"))
            self._waiting.clear()

    def _receive(self, kind: int, body: bytes) -> None:
        length = int.from_bytes(body[:2], "big")
        topic, rest = body[2 : 2 + length].decode(), body[2 + length :]
        if kind & 0x06:
            self._writer.write(bytes([0x40, 2]) + rest[:2])
            rest = rest[2:]
        self._on_message(topic, rest)

    async def _read_packet(self) -> tuple[int, bytes]:
        kind = (await self._reader.readexactly(1))[0]
        length, shift = 0, 0
        while True:
            byte = (await self._reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return kind, await self._reader.readexactly(length)
            shift += 7


def _packet(kind: int, body: bytes) -> bytes:
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (0x80 if length else 0))
        if not length:
            return bytes([kind]) + bytes(digits) + body


def _blob(content: bytes) -> bytes:
    return len(content).to_bytes(2, "big") + content


def _text(content: str) -> bytes:
    return _blob(content.encode())
