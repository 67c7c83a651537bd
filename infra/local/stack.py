"""The stack: all of its processes, their start and stop order, and their restarts.

Parts start in parallel and connect to each other when they are ready; a part that ends is restarted. Start the stack
from the main thread, because a part dies with the thread that started it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cloud_functions.fanout.targets import TARGETS
from cloud_functions.plates.master_keys import make_key_file
from infra.local.aws import resources
from infra.local.aws.metrics import StackMetrics
from infra.local.processes.first_admin import FirstAdmin
from infra.local.processes.objects_folder import choose_objects_folder
from infra.local.processes.ports import LOOPBACK, describe_listener, free_port, is_free
from infra.local.processes.process import Process, ProcessIdentity, wait_until
from infra.local.processes.stack_options import DEFAULT_REDIS_PORT, StackOptions, variable_digests
from infra.local.processes.state_folder import StateFolder
from infra.local.servers.aws import AwsServer, aws_environment
from infra.local.servers.first_admin import create_first_admin
from infra.local.servers.mqtt import MqttBroker
from infra.local.servers.postgres import DATABASE, PostgresBinaries, PostgresServer
from infra.local.servers.redis import RedisServer
from infra.local.servers.schema import migrate
from shared.errors import ConfigurationError, TransientError
from shared.metrics.address import ListenAddress
from shared.metrics.server import MetricsServer
from shared.redact import redact
from shared.retry import FaultLog

log = logging.getLogger(__name__)

API_APPLICATION = "cloud_functions.api.wiring:server_app_from_environment"
_MASTER_KEY_FILE = "master.key"
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
_STABLE_AFTER_S = 10.0
_PORT_FREE_TIMEOUT_S = 2.0
_START_ATTEMPTS = 3
_SNAPSHOT_RETENTION_DAYS = "90"
"""Days, the default of the template's bucket; 0 keeps snapshots forever."""
_PRIVATE_NETWORKS = "127.0.0.0/8, ::1/128, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7"
"""What webhooks reach besides public addresses: receivers on this machine and on its network."""


@dataclass(slots=True)
class Part:
    """One process of the stack and its restart state."""

    process: Process
    begin: Callable[[], None]
    since_s: float = 0.0
    pause_s: float = _FIRST_PAUSE_S
    due_s: float | None = None


class Stack:
    """All processes of a stack."""

    def __init__(self, *, state: StateFolder, options: StackOptions) -> None:
        self._state = state
        self._options = options
        self._external = dict(options.external or {})
        self.parts: list[Part] = []
        self._faults = FaultLog(log)
        self._postgres: PostgresServer | None = None
        self._ports: dict[str, int] = {}
        self._objects = state.objects
        self.urls: dict[str, str] = {}
        self.environment: dict[str, str] = {}
        self._metrics: MetricsServer | None = None
        self.first_admin: FirstAdmin | None = None
        """The admin that this start has created; None if the database had users."""
        self.first_start = not (state.path / "postgres" / "data").exists()

    def start(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Start all parts and wait until they are ready; stop the started ones on failure."""
        self._stop_leftovers()
        for attempts_left in reversed(range(_START_ATTEMPTS)):
            try:
                self._start_once(report)
                break
            except TransientError:
                taken = self._taken_ports()
                if not taken or not attempts_left:
                    raise
                log.warning("another process has taken port %s: starting again with other ports", taken)
        self._describe("ready")

    def _start_once(self, report: Callable[[str], None]) -> None:
        self._require_api_port()
        try:
            self._begin(report)
            self._wait_ready(report)
        except BaseException:
            self.stop()
            raise

    def _taken_ports(self) -> list[int]:
        """Return the stack's ports that another process listens on, while the stack is stopped."""
        return [port for port in (self._options.api_port, *self._ports.values()) if not is_free(port)]

    def stop(self) -> None:
        """Stop all parts in reverse order of their dependencies."""
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None
        if self.parts and self._state.run.is_dir():
            self._describe("stopping")
        for group in (self._named("api", "schedule"), self._named("iot_rule"), self._services()):
            for part in group:
                part.process.begin_stop()
            for part in group:
                part.process.stop()
        self.parts.clear()
        if self._state.run.is_dir():
            self._describe("stopped")

    def check(self) -> None:
        """Restart parts that have ended, with a backoff for those that end repeatedly. Call this periodically.

        Raises ConfigurationError if a part cannot be restarted because its data was removed.
        """
        now = time.monotonic()
        for part in self.parts:
            if part.process.alive:
                if now - part.since_s > _STABLE_AFTER_S:
                    part.pause_s = _FIRST_PAUSE_S
                continue
            if part.due_s is None:
                log.warning("%s has ended; restarting it in %g s", part.process.name, part.pause_s)
                part.due_s = now + part.pause_s
                part.pause_s = min(part.pause_s * 2, _LONGEST_PAUSE_S)
            elif now >= part.due_s:
                part.due_s, part.since_s = None, now
                self._begin_again(part)

    def _begin_again(self, part: Part) -> None:
        try:
            part.begin()
        except (OSError, TransientError) as error:  # for example a full disk: the other parts keep running
            log.warning("%s cannot be started: %s", part.process.name, error)
        except ConfigurationError:  # a restart needs the user
            raise
        except Exception as error:
            self._faults.log(error, f"starting {part.process.name} failed")

    def process(self, name: str) -> Process:
        """Return one part's process."""
        return next(part.process for part in self.parts if part.process.name == name)

    # Starting

    def _stop_leftovers(self) -> None:
        """Stop processes that a crashed supervisor left running, to free their ports."""
        for name, pid_file in self._state.leftovers():
            left = pid_file.read()
            if left is None or not left.alive:
                continue
            log.warning("%s is still running from an earlier start (pid %d): stopping it", name, left.pid)
            stop_process(name, left)

    def _require_api_port(self) -> None:
        port = self._options.api_port
        # A stack whose folder was just removed may still be stopping.
        if not wait_until(lambda: is_free(port), timeout_s=_PORT_FREE_TIMEOUT_S, poll_s=0.05):
            holder = describe_listener(port)
            state = f"held by {holder}" if holder else "in use"
            raise ConfigurationError(
                f"port {port} is {state}; stop that process, or choose another with --port (make demo: API_PORT=N)"
            )

    def _begin(self, report: Callable[[str], None]) -> None:
        for left in self._state.metrics.glob("*.json"):  # counts of an earlier start
            left.unlink()
        self._objects = choose_objects_folder(self._state, self._options.snapshots_dir, bucket=resources.BUCKET)
        self._ports = ports = self._choose_ports()
        self.urls["redis"] = self._external.get("REDIS_URL") or self._begin_redis(ports["redis"])
        self.urls["broker"] = self._external.get("MQTT_URL") or self._begin_broker(ports["broker"])
        self.urls["aws"] = f"http://{LOOPBACK}:{ports['aws']}"
        self.urls["api"] = f"http://{LOOPBACK}:{self._options.api_port}"
        self.urls["metrics"] = f"http://{LOOPBACK}:{ports['metrics']}/metrics"
        self.urls["database"] = self._external.get("DATABASE_URL") or self._begin_postgres(ports["postgres"], report)
        self.environment = self._function_environment(ports["data_plane"])
        self._describe("starting")
        self._begin_functions(ports["aws"], ports["data_plane"])

    def _choose_ports(self) -> dict[str, int]:
        chosen = self._options.redis_port
        wanted = {"redis": chosen, "metrics": self._options.metrics_port}
        return self._state.ports(
            ["postgres", "redis", "broker", "aws", "data_plane", "metrics"],
            wanted={name: port for name, port in wanted.items() if port},
            usual={"redis": DEFAULT_REDIS_PORT} if chosen is None else None,
        )

    def _begin_redis(self, port: int) -> str:
        server = RedisServer(folder=self._state.path, port=port)
        self._start_part(server.process)
        return server.url

    def _begin_broker(self, port: int) -> str:
        broker = MqttBroker(folder=self._state.path, port=port)
        self._start_part(broker.process)
        return broker.url

    def _begin_postgres(self, port: int, report: Callable[[str], None]) -> str:
        if self.first_start:
            report("creating a database cluster (first start only)")
        binaries = PostgresBinaries.choose(self._options.postgres)
        server = PostgresServer(folder=self._state.path, binaries=binaries, port=port)
        self._start_part(server.process, server.begin_again, first=server.begin)
        self._postgres = server
        return server.url_of(DATABASE)

    def _begin_functions(self, aws_port: int, data_plane_port: int) -> None:
        api_port = self._options.api_port
        python = [sys.executable, "-m"]
        self._start_part(self._process("api", [*python, *api_arguments(api_port, os.environ)], api_port))
        aws = AwsServer(
            folder=self._state.path,
            port=aws_port,
            persistent=True,
            environment=self.environment,
            objects=self._objects,
        )
        self._start_part(aws.process)
        iot_rule = [*python, "infra.local.aws.iot_rule", "--state", str(self._state.path)]
        iot_rule += ["--data-plane-port", str(data_plane_port)]
        self._start_part(self._process("iot_rule", iot_rule, data_plane_port))
        self._start_part(self._process("schedule", [*python, "infra.local.aws.scheduler"]))

    def _serve_metrics(self) -> None:
        """Serve the metrics of all parts from a thread of this process; a port that was taken is only a warning."""
        metrics = StackMetrics(
            files=self._state.metrics,
            queues=self._state.path / "queues.db",
            pid_files=lambda: dict(self._state.leftovers()),
            database_url=self.urls["database"],
        )
        address = ListenAddress(LOOPBACK, self._ports["metrics"])
        self._metrics = MetricsServer(address=address, collect=metrics.text)
        self._metrics.start()

    def _process(self, name: str, command: list[str], port: int | None = None) -> Process:
        return Process(name=name, command=command, folder=self._state.path, port=port, environment=self.environment)

    def _start_part(
        self, process: Process, begin: Callable[[], None] | None = None, *, first: Callable[[], None] | None = None
    ) -> None:
        """Start a part with ``first`` (or ``begin``), and register it to be restarted by ``begin`` when it ends."""
        part = Part(process=process, begin=begin or process.begin, since_s=time.monotonic())
        self.parts.append(part)
        (first or part.begin)()

    def _wait_ready(self, report: Callable[[str], None]) -> None:
        if self._postgres is not None:
            self._postgres.wait_ready()
            self._postgres.create_database(DATABASE)
        if migrate(self.urls["database"], remembered=self._state.path / "schema.json"):
            report("the database schema is up to date")
        for part in self.parts:
            if part.process.name != "postgres":
                part.process.wait_ready()
        if self.environment["API_AUTHENTICATION"] == "users":  # last: a start that fails leaves no unseen password
            self.first_admin = create_first_admin(self.urls["database"])
        self._serve_metrics()

    def _function_environment(self, data_plane_port: int) -> dict[str, str]:
        """Return the functions' environment, as in the template, with addresses on this machine."""
        environment = {
            **aws_environment(self.urls["aws"]),
            **_authentication(),
            "IOT_DATA_ENDPOINT": f"http://{LOOPBACK}:{data_plane_port}",
            "AWS_ENDPOINT_URL_IOT_DATA_PLANE": f"http://{LOOPBACK}:{data_plane_port}",
            "DATABASE_URL": self.urls["database"],
            "REDIS_URL": self.urls["redis"],
            "MQTT_URL": self.urls["broker"],
            "INGEST_QUEUE_URL": resources.queue_url(self.urls["aws"], resources.INGEST_QUEUE),
            "EVENTS_TOPIC_ARN": resources.HUB_TOPIC_ARN,
            "SNAPSHOT_BUCKET": resources.BUCKET,
            "SNAPSHOTS_DIR": "",  # the stack and the agent obey these two, so the functions need not warn of them
            "ENABLE_SNAPSHOTS": "",
            "SNAPSHOT_RETENTION_DAYS": os.environ.get("SNAPSHOT_RETENTION_DAYS", _SNAPSHOT_RETENTION_DAYS),
            "PLATE_MASTER_KEY": master_key_setting(self._state),
            "WEBHOOK_ALLOWED_NETWORKS": os.environ.get("WEBHOOK_ALLOWED_NETWORKS", _PRIVATE_NETWORKS),
            "WEBHOOKS_IN_BACKGROUND": "true",
            "WEBSOCKET_PORT": str(websocket_port := self._another_port()),
            "WEBSOCKET_ENDPOINT": f"http://{LOOPBACK}:{websocket_port}",
            "WEBSOCKET_QUEUE_URL": resources.queue_url(self.urls["aws"], resources.FANOUT_QUEUES["websocket"]),
            "DEAD_LETTER_QUEUE_URL": resources.queue_url(self.urls["aws"], resources.DEAD_LETTER_QUEUE),
            "METRICS_DIR": str(self._state.metrics),
            "POWERTOOLS_TRACE_DISABLED": "true",
            "POWERTOOLS_SERVICE_NAME": "vedette-local",
            "POWERTOOLS_METRICS_NAMESPACE": "Vedette",
            "LOG_LEVEL": os.environ.get("LOG_LEVEL", "INFO"),
        }
        queues = {
            target: resources.queue_url(self.urls["aws"], queue)
            for target, queue in resources.FANOUT_QUEUES.items()
            if environment.get(TARGETS[target].variable)
        }
        return environment | {"FANOUT_QUEUES": " ".join(f"{target}={url}" for target, url in queues.items())}

    def _another_port(self) -> int:
        """Return a free port that no part has chosen. It need not be the same at the next start."""
        while (port := free_port()) in self._ports.values():
            continue
        return port

    # Status

    def _describe(self, phase: str) -> None:
        self._state.describe(
            {
                "phase": phase,
                "supervisor": os.getpid(),
                "options": {
                    "port": self._options.api_port,
                    "postgres": self._options.postgres,
                    "external": bool(self._external),
                    "variables": variable_digests(os.environ),
                },
                "urls": {name: redact(url) for name, url in self.urls.items()},
                "bucket": resources.BUCKET,
                "objects": str(self._objects),
                "parts": [part.process.name for part in self.parts],
            }
        )

    def _named(self, *names: str) -> list[Part]:
        return [part for part in self.parts if part.process.name in names]

    def _services(self) -> list[Part]:
        return [part for part in self.parts if part.process.name in {"postgres", "redis", "broker", "aws"}]


def api_arguments(port: int, variables: Mapping[str, str]) -> list[str]:
    """Return the arguments of Python that serve the API.

    uvicorn trusts ``X-Forwarded-For`` and ``-Proto`` of every client on this machine: each could choose the address
    that its log-ins, its rate limit and the audit log count under. Only a proxy that ``FORWARDED_ALLOW_IPS`` names may.
    """
    arguments = ["uvicorn", API_APPLICATION, "--factory", "--host", LOOPBACK, "--port", str(port)]
    arguments += ["--log-level", "warning"]
    # Messages of a WebSocket's clients are small. Compressing what it sends would take memory for each connection.
    arguments += ["--ws-max-size", "131072", "--ws-per-message-deflate", "false"]
    return arguments if variables.get("FORWARDED_ALLOW_IPS") else [*arguments, "--no-proxy-headers"]


def _authentication() -> dict[str, str]:
    """Return who checks callers of the API: users, and a viewer without credentials, because all is on loopback."""
    authentication = os.environ.get("API_AUTHENTICATION") or "users"
    anonymous_role = os.environ.get("ANONYMOUS_ROLE", "viewer" if authentication == "users" else "")
    return {"API_AUTHENTICATION": authentication, "ANONYMOUS_ROLE": anonymous_role}


def master_key_setting(state: StateFolder) -> str:
    """Return PLATE_MASTER_KEY, or the key file in the state folder, which is created at the first start."""
    if setting := os.environ.get("PLATE_MASTER_KEY"):
        return setting
    path = state.path / _MASTER_KEY_FILE
    if not path.exists():
        make_key_file(path)
    return f"file:{path}"


def stop_process(name: str, left: ProcessIdentity) -> None:
    """Stop a process that is not our child; kill it if it does not end in time."""
    # On SIGTERM, PostgreSQL waits until every client has disconnected.
    left.signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
    if not left.wait_gone(3):
        left.signal(signal.SIGKILL)
        if not left.wait_gone(5):
            raise TransientError(f"the process {left.pid} does not exit")


def tail(path: Path, lines: int) -> str:
    """Return the last lines of a log, with secrets masked."""
    try:
        text = path.read_bytes()[-65_536:].decode("utf-8", errors="replace")
    except OSError:
        return ""
    return redact("\n".join(text.splitlines()[-lines:]))
