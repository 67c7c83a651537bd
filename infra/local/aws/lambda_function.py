"""A Lambda handler in its own process under AWS's runtime client, and the Runtime API that it uses.

``awslambdaric``, the same as on AWS, requests the next event from this HTTP server and posts the response, so the
handler sees the same JSON, environment and life cycle (one cold start, then warm) as on AWS. There is one execution
environment: events are processed one after another. ``kill -9`` of the function does not affect the invoking process.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

from infra.local.aws.http_handler import ProgramHandler
from infra.local.processes.ports import LOOPBACK
from infra.local.processes.process import Process
from shared.errors import TransientError

log = logging.getLogger(__name__)

_API = "/2018-06-01/runtime"
_RESTART_PAUSE_S = 0.2
_LONGEST_RESTART_PAUSE_S = 2.0
_MEMORY_MB = "512"
_LARGEST_ANSWER_BYTES = 6 * 1024 * 1024
"""Lambda's limit on the response of a synchronous invocation."""


@dataclass(slots=True)
class _Invocation:
    event: bytes
    deadline_ms: int
    request_id: str = field(default_factory=lambda: str(uuid4()))
    answered: threading.Event = field(default_factory=threading.Event)
    answer: bytes = b""
    error: str | None = None


class _InvocationSlot:
    """Holds the one pending invocation until the runtime fetches it. If several request it, the newest receives it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: _Invocation | None = None
        self._running: dict[str, _Invocation] = {}
        self._generation = 0

    def offer(self, invocation: _Invocation) -> None:
        with self._changed:
            self._waiting = invocation
            self._changed.notify_all()

    def withdraw(self, invocation: _Invocation) -> None:
        with self._changed:
            if self._waiting is invocation:
                self._waiting = None
            self._running.pop(invocation.request_id, None)

    def release_waiting_runtime(self) -> None:
        """Release a waiting runtime that has ended although its connection is still open."""
        with self._changed:
            self._generation += 1
            self._changed.notify_all()

    def fetch(self) -> _Invocation | None:
        """Wait for an invocation; return None when a newer runtime has requested one meanwhile."""
        with self._changed:
            self._generation += 1
            mine = self._generation
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting is not None or self._generation != mine)
            if self._generation != mine or self._waiting is None:
                return None
            invocation, self._waiting = self._waiting, None
            self._running[invocation.request_id] = invocation
            return invocation

    def complete(self, request_id: str, *, answer: bytes = b"", error: str | None = None) -> None:
        with self._changed:
            invocation = self._running.pop(request_id, None)
        if invocation is not None:
            invocation.answer, invocation.error = answer, error
            invocation.answered.set()


class _RuntimeApi(ProgramHandler):
    slot: _InvocationSlot
    disable_nagle_algorithm = True

    def do_GET(self) -> None:  # noqa: N802  http.server's name
        invocation = self.slot.fetch() if self.path == f"{_API}/invocation/next" else None
        if invocation is None:
            self._reply(410)
            return
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:local:000000000000:function:local",
            "Content-Type": "application/json",
        }
        self._reply(200, invocation.event, headers)

    def do_POST(self) -> None:  # noqa: N802  http.server's name
        body = self.body(largest_bytes=_LARGEST_ANSWER_BYTES)
        *_, request_id, what = self.path.split("/")
        if body is None:
            self.slot.complete(request_id, error=f"the answer is larger than {_LARGEST_ANSWER_BYTES} bytes")
        elif what == "response":
            self.slot.complete(request_id, answer=body)
        else:
            self.slot.complete(request_id, error=_error_text(body))
        self._reply(202)

    def _reply(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        head = [f"HTTP/1.1 {status} -", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in (headers or {}).items()]
        try:
            self.wfile.write("\r\n".join([*head, "", ""]).encode() + body)
        except OSError:
            self.close_connection = True  # the runtime died; the invoking thread notices


def _error_text(body: bytes) -> str:
    try:
        error = json.loads(body)
        return f"{error.get('errorType')}: {error.get('errorMessage')}"
    except (ValueError, AttributeError):
        return body[:500].decode("utf-8", errors="replace")


class LambdaFunction:
    """A handler under the real runtime. Start and invoke it from the same thread."""

    def __init__(
        self, *, name: str, handler: str, environment: Mapping[str, str], folder: Path, timeout_s: float = 60.0
    ) -> None:
        self.name = name
        self._timeout_s = timeout_s
        self._slot = _InvocationSlot()
        api = type("RuntimeApi", (_RuntimeApi,), {"slot": self._slot})
        self._server = ThreadingHTTPServer((LOOPBACK, 0), api)
        self._server.daemon_threads = True
        self._pause_s = _RESTART_PAUSE_S
        self.process = Process(
            name=name,
            command=[sys.executable, "-m", "awslambdaric", handler],
            folder=folder,
            # As Lambda ends an environment. Between two invocations there is nothing to clean up, and the runtime,
            # which waits in C code for the next event, would handle SIGTERM only after that event.
            stop_signal=signal.SIGKILL,
            environment={
                **environment,
                "AWS_LAMBDA_RUNTIME_API": f"{LOOPBACK}:{self._server.server_address[1]}",
                "AWS_LAMBDA_FUNCTION_NAME": f"vedette-{name}",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": _MEMORY_MB,
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_EXECUTION_ENV": "vedette-local",
                "_HANDLER": handler,
            },
        )

    def start(self) -> None:
        """Start the Runtime API and the function without waiting for its cold start."""
        threading.Thread(target=self._server.serve_forever, name=f"runtime-api-{self.name}", daemon=True).start()
        self.process.begin()

    def stop(self) -> None:
        self.process.stop()
        self._server.shutdown()
        self._server.server_close()

    def invoke(self, event: bytes) -> bytes:
        """Invoke the function with one event and return its response.

        A function that has ended is started again first.

        Raises:
            TransientError: the handler raised, timed out or died.
        """
        self._restart_if_dead()
        invocation = _Invocation(event=event, deadline_ms=int((time.time() + self._timeout_s) * 1000))
        self._slot.offer(invocation)
        deadline = time.monotonic() + self._timeout_s
        while not invocation.answered.wait(0.1):
            if not self.process.alive:
                self._slot.withdraw(invocation)
                raise TransientError(f"the function {self.name} exited:\n{self.process.last_log_lines()}")
            if time.monotonic() > deadline:
                self._slot.withdraw(invocation)
                self.process.kill()
                raise TransientError(f"the function {self.name} did not answer within {self._timeout_s:g} s")
        if invocation.error is not None:
            raise TransientError(f"the function {self.name} failed: {invocation.error}")
        self._pause_s = _RESTART_PAUSE_S
        return invocation.answer

    def _restart_if_dead(self) -> None:
        if not self.process.alive:
            time.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, _LONGEST_RESTART_PAUSE_S)
            self._slot.release_waiting_runtime()
            self.process.begin()
