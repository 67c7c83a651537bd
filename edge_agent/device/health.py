"""The heartbeat: pending and dropped data, the broker connection, and the health of the cameras."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from edge_agent.outbox import Outbox
from edge_agent.transport.problem_log import ProblemLog
from edge_agent.transport.publisher import MessagePublisher
from shared import __version__
from shared.clock import Clock, SystemClock
from shared.errors import PermanentError
from shared.heartbeat import CameraHealth, Canary, ConfigurationHealth, ConnectionHealth, Heartbeat
from shared.retry import FaultLog
from shared.topics import DeviceTopics

logger = logging.getLogger(__name__)


class HeartbeatLoop:
    """Publishes a heartbeat on every connect and every ``interval_s`` seconds.

    Unsent heartbeats are not stored; the next one replaces them.
    """

    def __init__(
        self,
        *,
        topics: DeviceTopics,
        publisher: MessagePublisher,
        outbox: Outbox,
        cameras: Callable[[], Sequence[CameraHealth]],
        connection: Callable[[], ConnectionHealth] | None = None,
        configuration: Callable[[], ConfigurationHealth] | None = None,
        canary: Callable[[], Canary] | None = None,
        public_key: str | None = None,
        interval_s: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        self._topics = topics
        self._publisher = publisher
        self._outbox = outbox
        self._cameras = cameras
        self._connection = connection
        self._configuration = configuration
        self._canary = canary
        self._public_key = public_key
        self._problems = ProblemLog(logger, subject=f"device {topics.device_id}")
        self._interval_s = interval_s
        self._clock = clock or SystemClock()
        self._faults = FaultLog(logger)
        self._started_s = self._clock.monotonic()
        self._due = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        publisher.add_listener(self._due.set)

    def start(self) -> None:
        self._thread.start()

    def build(self) -> Heartbeat:
        """Return the current heartbeat."""
        return Heartbeat(
            site_id=self._topics.site_id,
            device_id=self._topics.device_id,
            timestamp=self._clock.now(),
            agent_version=__version__,
            uptime_seconds=max(0.0, self._clock.monotonic() - self._started_s),
            outbox=self._outbox.health(),
            connection=None if self._connection is None else self._connection(),
            cameras=self._camera_health(),
            configuration=None if self._configuration is None else self._configuration(),
            canary=None if self._canary is None else self._canary(),
            public_key=self._public_key,
        )

    def request(self) -> None:
        """Publish a heartbeat soon, on the heartbeat's own thread. Returns at once."""
        self._due.set()

    def beat(self) -> None:
        """Publish a heartbeat now, if connected."""
        if self._publisher.connected:
            future = self._publisher.publish(self._topics.heartbeat, self.build().model_dump_json().encode())
            future.add_done_callback(self._log_refusal)

    def _log_refusal(self, future: Future[None]) -> None:
        """Log a permanent refusal. The publisher itself logs lost connections."""
        error = future.exception()
        if isinstance(error, PermanentError):
            self._problems.report(str(error), f"cannot publish a heartbeat: {error}")
        elif error is None:
            self._problems.recovered("heartbeats are published again")

    def close(self, timeout_s: float = 5.0) -> None:
        self._closing.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _camera_health(self) -> list[CameraHealth]:
        try:
            return list(self._cameras())
        except Exception as error:
            # The heartbeat is useful without camera health: the device is alive and reports its outbox.
            self._faults.log(error, "reading the cameras' health failed")
            return []

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self.beat()
            except Exception as error:
                self._faults.log(error, "sending a heartbeat failed")
            self._due.wait(self._interval_s)
            self._due.clear()
