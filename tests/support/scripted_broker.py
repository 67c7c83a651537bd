"""A broker that a test controls: it acknowledges, refuses, stops responding or disconnects.

It implements the parts of MQTT 3.1.1 and 5 that the agent uses.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14


@dataclass
class Connect:
    """The fields of a client's CONNECT packet."""

    client_id: str
    clean_session: bool
    keepalive_s: int
    will: tuple[str, bytes, bool] | None
    username: str | None
    password: str | None
    version: int = 4
    """Protocol level: 4 for MQTT 3.1.1, 5 for MQTT 5."""


@dataclass
class Published:
    topic: str
    payload: bytes
    qos: int
    retain: bool


@dataclass
class Script:
    """The broker's behaviour; may be changed while it runs."""

    ack: bool = True
    answer_connect: bool = True
    connect_code: int = 0
    close_on_payload: bytes | None = None
    read: bool = True
    close_before_connack: bool = False
    close_after_connack: bool = False
    """Accept the connection, acknowledge the first messages, then close it, as when another client uses the same id."""
    subscribe_code: int = 1
    receive_maximum: int | None = None
    """The receive maximum in CONNACK for MQTT 5 clients."""


@dataclass
class ScriptedBroker:
    """Listens on loopback from its creation until ``close``."""

    tls: ssl.SSLContext | None = None
    script: Script = field(default_factory=Script)
    connects: list[Connect] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    subscriptions: list[str] = field(default_factory=list)
    goodbyes: int = 0
    peer_certificates: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._clients: list[socket.socket] = []
        self._five: set[socket.socket] = set()
        """Connections of MQTT 5 clients."""
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        for thread in self._threads:
            thread.join(5)

    def drop_connections(self) -> None:
        """Close every connection without a DISCONNECT packet."""
        for client in list(self._clients):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def disconnect(self, reason: int) -> None:
        """End every connection with an MQTT 5 DISCONNECT packet and its reason code."""
        for client in list(self._clients):
            with suppress(OSError):
                client.sendall(bytes([DISCONNECT << 4, 2, reason, 0]))
                client.shutdown(socket.SHUT_RDWR)

    def send(self, topic: str, payload: bytes) -> None:
        """Send a message to every client with QoS 0."""
        name = topic.encode()
        body = struct.pack("!H", len(name)) + name + payload
        for client in list(self._clients):
            client.sendall(bytes([PUBLISH << 4]) + _length(len(body)) + body)

    def payloads(self, *, topic_part: str = "/") -> list[bytes]:
        return [each.payload for each in self.published if topic_part in each.topic]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=[client], daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError, IndexError, struct.error, UnicodeDecodeError):
            if self.tls is not None:
                try:
                    client = self.tls.wrap_socket(client, server_side=True)
                except OSError:
                    client.close()
                    return
                self.peer_certificates.append(client.getpeercert())
            self._clients.append(client)
            with client:
                while self._handle(client, *_read_packet(client)):
                    pass
        if client in self._clients:
            self._clients.remove(client)
        client.close()

    def _handle(self, client: socket.socket, kind: int, flags: int, body: bytes) -> bool:
        if kind == CONNECT:
            return self._greet(client, _parse_connect(body))
        if kind == SUBSCRIBE:
            five = client in self._five
            (length,) = struct.unpack_from("!H", body, 3 if five else 2)
            self.subscriptions.append(body[5 if five else 4 :][:length].decode())
            properties = b"\x00" if five else b""
            code = bytes([self.script.subscribe_code])
            client.sendall(bytes([SUBACK << 4, 3 + len(properties)]) + body[:2] + properties + code)
        elif kind == PUBLISH:
            return self._take(client, flags, body)
        elif kind == PINGREQ:
            client.sendall(bytes([PINGRESP << 4, 0]))
        elif kind == DISCONNECT:
            self.goodbyes += 1
            return False
        return True

    def _greet(self, client: socket.socket, connect: Connect) -> bool:
        self.connects.append(connect)
        if connect.version == 5:
            self._five.add(client)
        if self.script.close_before_connack:
            return False
        if not self.script.answer_connect:
            return True
        properties = b""
        if connect.version == 5:
            maximum = self.script.receive_maximum
            properties = b"\x00" if maximum is None else b"\x03\x21" + struct.pack("!H", maximum)
        answer = bytes([0, self.script.connect_code]) + properties
        client.sendall(bytes([CONNACK << 4, len(answer)]) + answer)
        return self.script.connect_code == 0

    def _take(self, client: socket.socket, flags: int, body: bytes) -> bool:
        (length,) = struct.unpack_from("!H", body)
        topic, qos = body[2 : 2 + length].decode(), flags >> 1 & 3
        after = 2 + length + (2 if qos else 0)
        payload = body[after + (1 if client in self._five else 0) :]
        if self.script.close_on_payload is not None and self.script.close_on_payload in payload:
            return False
        self.published.append(Published(topic, payload, qos, bool(flags & 1)))
        if qos and self.script.ack:
            client.sendall(bytes([PUBACK << 4, 2]) + body[2 + length : after])
        return not self.script.close_after_connack


def _parse_connect(body: bytes) -> Connect:
    (name_length,) = struct.unpack_from("!H", body)
    flags = body[2 + name_length + 1]
    (keepalive_s,) = struct.unpack_from("!H", body, 2 + name_length + 2)
    version = body[2 + name_length]
    rest = body[2 + name_length + 4 :]
    if version == 5:
        rest = rest[1 + rest[0] :]  # the length of the properties: one byte, because they are shorter than 128 bytes

    def text() -> bytes:
        nonlocal rest
        (length,) = struct.unpack_from("!H", rest)
        value, rest = rest[2 : 2 + length], rest[2 + length :]
        return value

    client_id = text().decode()
    will = None
    if flags & 0x04:
        if version == 5:
            rest = rest[1 + rest[0] :]
        will = (text().decode(), text(), bool(flags & 0x20))
    username = text().decode() if flags & 0x80 else None
    password = text().decode() if flags & 0x40 else None
    return Connect(client_id, bool(flags & 0x02), keepalive_s, will, username, password, version)


def _read_packet(client: socket.socket) -> tuple[int, int, bytes]:
    first = _read(client, 1)[0]
    length, shift = 0, 0
    while True:
        byte = _read(client, 1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    return first >> 4, first & 0x0F, _read(client, length)


def _read(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = client.recv(count - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data


def _length(count: int) -> bytes:
    out = b""
    while True:
        count, low = count >> 7, count & 0x7F
        out += bytes([low | (0x80 if count else 0)])
        if not count:
            return out
