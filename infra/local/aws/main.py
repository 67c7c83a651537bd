"""The process behind ``AwsServer``: S3 on a folder, SNS and SQS on a file, fan-out functions, and moto for the rest.

Without ``--state`` it serves moto only, for tests. With it, moto is imported on the first request for another service,
which does not occur on a running stack; this saves half a second at every start.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cloud_functions.fanout.targets import REPEAT_EVENT, TARGETS
from infra.local.aws.earlier_reasons import EarlierReasons
from infra.local.aws.fanout_event_source import FanoutEventSourceMapping
from infra.local.aws.ingest_queue import run_ingest_queue
from infra.local.aws.lambda_function import LambdaFunction
from infra.local.aws.messaging import Messaging
from infra.local.aws.object_store import ObjectFolder, ObjectStore
from infra.local.aws.queue_file import QueueFile
from infra.local.aws.resources import BUCKET, FANOUT_QUEUES, dead_letter_queue
from infra.local.aws.wsgi import Application, Environ, OriginGuard, StartResponse
from infra.local.processes.ports import LOOPBACK
from infra.packaging.functions import FUNCTIONS
from shared.log_lines import line_handler


class Moto:
    """moto's server application, imported on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._application: Application | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            if self._application is None:
                from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

                application: Any = DomainDispatcherApplication(create_backend_app)
                self._application = application
            serve = self._application
        assert serve is not None  # noqa: S101  set just now
        return serve(environ, start_response)


def make_server(port: int, application: Application) -> Any:
    """Return a threaded HTTP server on loopback with keep-alive, which halves the cost of a boto3 call."""
    from werkzeug.serving import WSGIRequestHandler
    from werkzeug.serving import make_server as make_werkzeug_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

    server: Any = make_werkzeug_server(LOOPBACK, port, OriginGuard(application), threaded=True, request_handler=Handler)
    server.daemon_threads = True
    return server


def main() -> None:
    """Serve until SIGTERM; the environment is that of the fan-out functions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, help="the stack's state folder; without it, moto alone")
    parser.add_argument("--objects", type=Path, help="the folder of the objects (default: objects in the state folder)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, handlers=[line_handler()])
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.environ["MOTO_PORT"] = str(options.port)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    if options.state is None:
        _serve(make_server(options.port, Moto()))
        stopped.wait()
    else:
        _serve_stack(options.port, options.state, options.objects or options.state / "objects", stopped)
    logging.shutdown()
    sys.stdout.flush()


def _serve_stack(port: int, state: Path, objects: Path, stopped: threading.Event) -> None:
    folder = ObjectFolder(objects)
    folder.make_bucket(BUCKET)
    queues = QueueFile(state / "queues.db")
    targets = [name for name, entry in TARGETS.items() if os.environ.get(entry.variable)]
    reasons = EarlierReasons()
    messaging = Messaging(
        queues=queues, subscribers=[FANOUT_QUEUES[name] for name in targets], fallback=Moto(), reasons=reasons
    )
    deliveries = [
        threading.Thread(target=_deliver, args=(name, queues, state, stopped), name=f"fanout-{name}")
        for name in targets
    ]
    deliveries.append(threading.Thread(target=run_ingest_queue, args=(queues, stopped, reasons), name="ingest-queue"))
    for delivery in deliveries:
        delivery.start()
    _serve(make_server(port, ObjectStore(folder=folder, fallback=messaging)))
    stopped.wait()
    for delivery in deliveries:
        delivery.join()


def _deliver(target: str, queues: QueueFile, state: Path, stopped: threading.Event) -> None:
    """Run the fan-out function of one target until ``stopped`` is set; set it if that fails.

    The function is started here, because a process ends with the thread that started it.
    """
    try:
        _run_fanout(target, queues, state, stopped)
    finally:
        stopped.set()  # after an error the supervisor restarts this process


def _run_fanout(target: str, queues: QueueFile, state: Path, stopped: threading.Event) -> None:
    entry = TARGETS[target]
    function = LambdaFunction(
        name=f"fanout-{target}",
        handler=FUNCTIONS[entry.function].entry_point,
        environment={"FANOUT_TARGET": target},
        folder=state,
    )
    function.start()
    queue = FANOUT_QUEUES[target]
    mapping = FanoutEventSourceMapping(
        queues=queues,
        queue=queue,
        dead_queue=dead_letter_queue(queue),
        invoke=function.invoke,
        repeat_event=REPEAT_EVENT if entry.repeats else None,
    )
    mapping.run(stopped)
    function.stop()


def _serve(server: Any) -> None:
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()


if __name__ == "__main__":
    main()
