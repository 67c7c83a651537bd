"""``vedette-local demo``: runs the stack and an agent with one camera, and prints events as they are published."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import redis
from rich.console import Console
from rich.markup import escape

from edge_agent.config import keeps_pictures
from infra.local.demo.agent import DemoAgent
from infra.local.demo.camera import (
    CameraOptions,
    CameraPlan,
    ConfigurationRetry,
    StackDatabase,
    StoredCamera,
    file_path,
    pinned_camera,
    plan_camera,
    store_camera,
)
from infra.local.demo.device import CAMERA_ID, StackUrls, agent_process, forget_camera
from infra.local.demo.event_lines import event_line
from infra.local.processes.first_admin import FirstAdmin
from infra.local.processes.process import Process, ProcessIdentity
from infra.local.processes.stack_options import StackOptions
from infra.local.processes.state_folder import StateFolder
from infra.local.servers.postgres import DATABASE, cluster_url
from infra.local.stack import master_key_setting
from infra.local.status import banner_lines
from infra.local.supervisor import Supervisor, raise_on_signals, stop_on_signals
from shared.errors import ConfigurationError, TransientError
from shared.log_lines import line_handler
from shared.redact import redact
from shared.retry import Backoff, FaultLog

logger = logging.getLogger(__name__)

_POLL_INTERVAL_S = 0.05
_BARE_SCHEMES = ("synthetic", "usb", "gst")


def run_demo(*, state: StateFolder, options: StackOptions, camera: CameraOptions) -> int:
    """Run until Ctrl-C, then stop everything that this call started."""
    if camera.source is not None:
        check_source(camera.source)
    plan = plan_camera(camera)
    logging.basicConfig(level=logging.ERROR, handlers=[line_handler("%(levelname)s %(name)s %(message)s")])
    console = Console(highlight=False, soft_wrap=True)
    stopped = threading.Event()
    raise_on_signals()
    with _stack(state, options, console) as stack, state.lock_agent():
        stop_on_signals(stopped)
        stored = pinned_camera(plan) if plan.pinned_because else store_camera(plan, stack.database)
        if stored.is_new_source:
            forget_camera(state.path, CAMERA_ID)
        agent = DemoAgent(process=_agent(stack, state, plan), console=console)
        counter = EventPrinter(console=console, redis_url=stack.urls["redis"], api_url=stack.urls["api"])
        retry = ConfigurationRetry(stack.database.url, stored.version_to_prove)

        def check() -> None:
            agent.check()
            retry.check()

        try:
            agent.start()  # before the rest, because it takes longest until its first event
            _announce(console, state, stack, stored)
            if plan.pinned_because:
                console.print(f"  {CAMERA_ID} is in the agent's own file: {plan.pinned_because}\n", style="dim")
            counter.start(stopped)
            stack.run_until(stopped, check)
        finally:
            agent.stop()
            stopped.set()
        console.print(f"\n{counter.seen} events; stopping", style="dim")
    return 0


def _agent(stack: RunningStack, state: StateFolder, plan: CameraPlan) -> Process:
    urls = StackUrls(broker=stack.urls["broker"], aws=stack.urls["aws"])
    if plan.pinned_because is None:
        return agent_process(urls, folder=state.path, timezone=plan.timezone)
    return agent_process(urls, folder=state.path, source=plan.source, camera=plan.settings, timezone=plan.timezone)


@dataclass(frozen=True, slots=True)
class RunningStack:
    """The stack that the demo uses: its own, or one that was already running."""

    urls: dict[str, str]
    run_until: Callable[[threading.Event, Callable[[], None]], None]
    """Supervises the stack and calls the second argument periodically until the first is set."""
    ours: bool
    database: StackDatabase
    admin: FirstAdmin | None = None
    """The admin that this start has created."""


def check_source(source: str) -> None:
    """Raise ConfigurationError for a file that does not exist or is not a regular file; the agent checks the rest."""
    scheme = urlsplit(source).scheme
    if "://" in source or scheme in _BARE_SCHEMES or source.startswith("/dev/"):
        return
    path = file_path(source)
    if path.is_file():
        return
    if path.is_dir():
        raise ConfigurationError(f"{redact(source)} is a folder; name a video file in it")
    wrong = f"{redact(source)} is not a regular file" if path.exists() else f"there is no file {redact(source)}"
    raise ConfigurationError(f"{wrong}; a source is a video file, rtsp://…, usb:0, gst:PIPELINE or synthetic:gate")


@contextmanager
def _stack(state: StateFolder, options: StackOptions, console: Console) -> Generator[RunningStack]:
    """Start the stack, or use the one that is already running on this folder."""
    running = state.supervisor.read()
    if running is not None and running.alive and state.description().get("phase") == "ready":
        console.print("using the stack that is already running (vedette-local down stops it)", style="dim")
        urls: dict[str, str] = state.description()["urls"]
        database = StackDatabase(
            url=_running_database_url(state, options, urls["database"]), master_key=master_key_setting(state)
        )
        yield RunningStack(urls=urls, run_until=partial(_while_it_runs, running), ours=False, database=database)
        return
    began_s = time.monotonic()
    with Supervisor(state=state, options=options) as supervisor:
        console.print("starting database, broker, Redis, object store, functions and API …", style="dim")
        supervisor.stack.start(lambda text: console.print(f"  {text}", style="dim"))
        console.print(f"ready in {time.monotonic() - began_s:.1f} s", style="dim")
        stack = supervisor.stack
        yield RunningStack(
            urls=stack.urls,
            run_until=supervisor.run_until,
            ours=True,
            database=StackDatabase(url=stack.urls["database"], master_key=master_key_setting(state)),
            admin=stack.first_admin,
        )
    console.print("stopped; data is kept in " + str(state.path), style="dim")


def _running_database_url(state: StateFolder, options: StackOptions, shown_url: str) -> str:
    """Return the URL of the running stack's database; the stack describes it without its password."""
    if external := (options.external or {}).get("DATABASE_URL"):
        return external
    try:
        return cluster_url(state.path / "postgres", port=urlsplit(shown_url).port or 5432, database=DATABASE)
    except OSError:
        raise ConfigurationError(
            "the running stack uses a database of its own: name it in DATABASE_URL, and add --external"
        ) from None


def _while_it_runs(supervisor: ProcessIdentity, stopped: threading.Event, also: Callable[[], None]) -> None:
    """Call ``also`` until ``stopped`` is set; raise TransientError when the stack, which is not ours, has ended."""
    while not stopped.wait(_POLL_INTERVAL_S):
        if not supervisor.alive:
            raise TransientError("the stack that this demo used was stopped (vedette-local down), so the demo ends")
        also()


def _announce(console: Console, state: StateFolder, stack: RunningStack, camera: StoredCamera) -> None:
    api = stack.urls["api"]
    for label, text in (
        ("camera", camera.shown_source),
        *banner_lines(stack.urls, admin=stack.admin),
        ("events", f"curl '{api}/api/events?page_size=5'"),
        ("totals", f"curl '{api}/api/events/stats'"),
        *([("plates", f"curl '{api}/api/plates?limit=5'")] if camera.reads_plates else []),
        ("live", f"redis-cli -u {redact(stack.urls['redis'])} subscribe events"),
        *([] if keeps_pictures() else [("pictures", "none (ENABLE_SNAPSHOTS)")]),
        ("data", f"{state.path} ({sys.argv[0]} reset deletes it)"),
    ):
        console.print(f"  [bold]{label:<8}[/bold] {escape(text)}")
    stops = "everything" if stack.ours else "the camera; the stack keeps running"
    console.print(f"  Ctrl-C stops {stops}\n", style="dim")


class EventPrinter:
    """Prints each event that is published on Redis, once."""

    def __init__(self, *, console: Console, redis_url: str, api_url: str) -> None:
        self._console = console
        self._redis_url = redis_url
        self._api_url = api_url
        self.seen = 0

    def start(self, stopped: threading.Event) -> None:
        """Start printing in the background; return after subscribing, so that no event is missed."""
        subscribed = threading.Event()
        threading.Thread(target=self._run, args=(stopped, subscribed), name="events", daemon=True).start()
        if not subscribed.wait(10):
            raise TransientError("Redis does not answer, so events cannot be shown")

    def _run(self, stopped: threading.Event, subscribed: threading.Event) -> None:
        backoff, faults = Backoff(min_s=0.5, max_s=5.0), FaultLog(logger)
        while not stopped.is_set():
            try:
                with redis.Redis.from_url(self._redis_url, socket_timeout=None) as client:
                    self._listen(client, stopped, subscribed)
                backoff.succeeded()
            except (redis.RedisError, OSError):
                stopped.wait(0.5)
            except Exception as error:
                faults.log(error, "printing events failed")
                stopped.wait(backoff.failed())

    def _listen(self, client: Any, stopped: threading.Event, subscribed: threading.Event) -> None:
        with client.pubsub() as channel:
            channel.subscribe("events")
            while not stopped.is_set():
                message = channel.get_message(timeout=0.2)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    subscribed.set()
                elif message["type"] == "message":
                    self._show(message["data"])

    def _show(self, data: bytes) -> None:
        self.seen += 1
        try:
            self._console.print(event_line(json.loads(data), api_url=self._api_url))
        except (ValueError, KeyError, TypeError, AttributeError):
            self._console.print("an event that cannot be shown", style="yellow")
