"""``KafkaStorageConsumer``: stores the plate reads of a Kafka topic, as ``vedette-ingest kafka`` does."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Literal

from psycopg.conninfo import make_conninfo

from cloud_functions.ingest.kafka.service import ConsumerOptions, run_consumer, stopped_by_signal


class KafkaStorageConsumer:
    """One member of a consumer group that stores plate reads.

    An offset is committed only after the database has committed. Rejected reads go to ``dead_letter_topic``, each with
    the reason.
    """

    def __init__(  # noqa: PLR0917 - clients pass these in the documented order
        self,
        kafka_bootstrap_servers: str = "localhost:9092",
        kafka_topic: str = "alpr.plates.detected",
        kafka_group_id: str = "alpr-storage-consumer",
        db_host: str = "localhost",
        db_port: int = 5432,
        db_name: str = "alpr_db",
        db_user: str = "alpr",
        db_password: str | None = None,
        auto_offset_reset: Literal["latest", "earliest"] = "latest",
        *,
        dead_letter_topic: str | None = None,
        kafka_properties: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Connect to nothing yet.

        ``auto_offset_reset``: where a group without committed offsets begins. ``dead_letter_topic`` defaults to the
        topic with ``.rejected`` appended. ``kafka_properties``: further properties of librdkafka, such as those for
        TLS. ``variables``: the environment variables of the ingest function; by default those of the process.
        """
        self._options = ConsumerOptions(
            brokers=kafka_bootstrap_servers,
            topics=[kafka_topic],
            group=kafka_group_id,
            dead_letter_topic=dead_letter_topic or f"{kafka_topic}.rejected",
            properties={**(kafka_properties or {}), "auto.offset.reset": auto_offset_reset},
        )
        self._conninfo = make_conninfo(
            "", host=db_host, port=db_port, dbname=db_name, user=db_user, password=db_password
        )
        self._variables = variables
        self._stop_requested = threading.Event()

    def start(self) -> None:
        """Consume until SIGTERM, SIGINT or ``stop``; log statistics every 100 messages.

        The batch in progress is finished and committed. Signals are handled in the main thread only. Broker and
        database may be unavailable at the start and later; both are tried again.

        Raises:
            ConfigurationError: librdkafka rejects a property, or a variable is invalid.
            PermanentError: the broker has fenced this member; start a new one.
        """
        variables = {**(os.environ if self._variables is None else self._variables), "DATABASE_URL": self._conninfo}
        with _signals_handled() as signalled:
            run_consumer(
                self._options, variables=variables, stopped=lambda: self._stop_requested.is_set() or signalled()
            )

    def stop(self) -> None:
        """Make ``start`` return, from any thread."""
        self._stop_requested.set()


@contextmanager
def _signals_handled() -> Generator[Callable[[], bool]]:
    """Yield a function that says whether SIGTERM or SIGINT was received; restore the handlers afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopped_by_signal()
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
