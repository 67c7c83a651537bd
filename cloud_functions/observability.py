"""Logs and metrics in the formats of CloudWatch, configured only inside Lambda.

Modules log through ``logging.getLogger(__name__)`` and count through a ``Metrics`` argument. No other module imports
Powertools. Its tracer is not used, because importing it takes 315 ms.
"""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from shared.errors import ConfigurationError
from shared.log_lines import line_handler
from shared.metrics.exposition import Counter, Histogram, Sample
from shared.metrics.functions import find_function_metric
from shared.metrics.sample_file import SampleWriter
from shared.metrics.table import FUNCTIONS, by_name

NAMESPACE: Final = "Vedette"
_TEXT_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s (request %(request_id)s)"
_IN_LAMBDA: Final = "AWS_LAMBDA_FUNCTION_NAME"


class Metrics(Protocol):
    """Counters that operators set alarms on. Their names are those of ``shared/metrics/functions.py``."""

    def count(self, name: str, value: int = 1) -> None:
        """Add ``value`` to the counter ``name``; zero is ignored."""
        ...

    def record(self, name: str, value: float) -> None:
        """Record one value of ``name``: a duration, an age or a time in seconds."""
        ...

    def flush(self) -> None:
        """Emit the counts since the previous flush."""
        ...


class NoMetrics:
    """Counts nothing."""

    def count(self, name: str, value: int = 1) -> None:
        del name, value

    def record(self, name: str, value: float) -> None:
        del name, value

    def flush(self) -> None:
        return None


class InMemoryMetrics:
    """Keeps the counts in memory, for tests and the Kafka consumer."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.values: dict[str, list[float]] = {}

    def count(self, name: str, value: int = 1) -> None:
        find_function_metric(name)
        if value:
            self.counts[name] = self.counts.get(name, 0) + value

    def record(self, name: str, value: float) -> None:
        find_function_metric(name)
        self.values[name] = [*self.values.get(name, ())[-99:], value]

    def flush(self) -> None:
        return None


class EmbeddedMetrics:
    """Writes the CloudWatch embedded metric format through Powertools, one line for each flush."""

    def __init__(self, *, service: str) -> None:
        from aws_lambda_powertools.metrics import EphemeralMetrics

        self._metrics = EphemeralMetrics(namespace=NAMESPACE, service=service)
        self._pending = False

    def count(self, name: str, value: int = 1) -> None:
        if value:
            self._metrics.add_metric(name=name, unit="Count", value=value)
            self._pending = True

    def record(self, name: str, value: float) -> None:
        metric, _ = find_function_metric(name)
        if metric.on_aws:
            self._metrics.add_metric(name=name, unit=metric.unit, value=value)
            self._pending = True

    def flush(self) -> None:
        if self._pending:
            self._metrics.flush_metrics()
            self._pending = False


class FileMetrics:
    """Keeps the values in a file of the one-machine stack, which serves those of all functions to Prometheus."""

    def __init__(self, path: Path, *, labels: Mapping[str, str] | None = None) -> None:
        """``labels``: of all metrics of this process, such as the target of a fan-out function."""
        self._labels = dict(labels or {})
        self._table = by_name(FUNCTIONS)
        self._values: dict[str, Counter | Histogram | float] = {}
        self._writer = SampleWriter(path, collect=self.samples)

    def count(self, name: str, value: int = 1) -> None:
        counter = self._values.setdefault(name, Counter())
        if isinstance(counter, Counter):
            counter.add(value)

    def record(self, name: str, value: float) -> None:
        definition = self._table[find_function_metric(name)[0].metric]
        if definition.kind != "histogram":
            self._values[name] = value
            return
        histogram = self._values.setdefault(name, Histogram(definition.buckets))
        if isinstance(histogram, Histogram):
            histogram.observe(value)

    def flush(self) -> None:
        """Write the file within a second."""
        self._writer.request()

    def samples(self) -> list[Sample]:
        """Return the present values."""
        found: list[Sample] = []
        for name, value in list(self._values.items()):
            metric, labels = find_function_metric(name)
            number = value.value if isinstance(value, Counter) else value
            state = number.state() if isinstance(number, Histogram) else number
            found.append(Sample(metric.metric, state, labels | self._labels))
        return found


def build_metrics(*, service: str, variables: Mapping[str, str]) -> Metrics:
    """Return FileMetrics on the one-machine stack (``METRICS_DIR``), EmbeddedMetrics in Lambda, else NoMetrics."""
    if folder := variables.get("METRICS_DIR"):
        target = variables.get("FANOUT_TARGET")
        labels = {"target": target} if service == "fanout" and target else {}
        return FileMetrics(Path(folder) / f"{'-'.join((service, *labels.values()))}.json", labels=labels)
    return EmbeddedMetrics(service=service) if _IN_LAMBDA in variables else NoMetrics()


def configure_logging(*, service: str, variables: Mapping[str, str], filters: Sequence[logging.Filter] = ()) -> None:
    """Inside Lambda, log to stdout as JSON with the name of the service; elsewhere do nothing.

    Each line has the id of the invocation (``function_request_id``). ``filters`` may add more fields to records, such
    as the id of the API's request.

    ``LOG_LEVEL`` sets the level (default INFO). The loggers of the AWS libraries stay at WARNING, because at lower
    levels they log secrets.
    """
    if _IN_LAMBDA not in variables:
        return
    from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LambdaPowertoolsFormatter(service=service))
    root = logging.getLogger()
    root.handlers[:] = []
    _install(handler, [invocation_ids(), *filters], level=variables.get("LOG_LEVEL", "INFO"))


def configure_server_logging(*, log_format: str, level: str, filters: Sequence[logging.Filter] = ()) -> None:
    """On a server, log to stderr: one line for each record, as ``text`` or ``json``.

    Nothing changes if the process has configured logging already. Raises ConfigurationError for another format (the
    variable LOG_FORMAT) or an unknown level (LOG_LEVEL).
    """
    if log_format not in {"text", "json"}:
        raise ConfigurationError("LOG_FORMAT must be text or json")
    if level.upper() not in logging.getLevelNamesMapping():
        raise ConfigurationError(f"LOG_LEVEL must be one of {', '.join(logging.getLevelNamesMapping())}")
    if logging.getLogger().handlers:
        return
    handler = line_handler(_TEXT_FORMAT, defaults={"request_id": "-"})
    if log_format == "json":
        handler.setFormatter(JsonFormatter())
    _install(handler, filters, level=level)


class InvocationIdFilter(logging.Filter):
    """Adds ``function_request_id`` to log records: Lambda's id of the invocation, as in its own START and REPORT lines.

    An execution environment handles one invocation at a time, so threads of an invocation log the same id.
    """

    def __init__(self) -> None:
        super().__init__()
        self._invocation_id = "-"

    def begin(self, context: object) -> None:
        """Take the id of the invocation that begins from Lambda's context."""
        self._invocation_id = str(getattr(context, "aws_request_id", None) or "-")

    def filter(self, record: logging.LogRecord) -> bool:
        record.function_request_id = self._invocation_id
        return True


@functools.cache
def invocation_ids() -> InvocationIdFilter:
    """Return the filter of this process. Each handler calls its ``begin`` with the context of the invocation."""
    return InvocationIdFilter()


class JsonFormatter(logging.Formatter):
    """One JSON object for each record: time, level, logger, message, request id, and the traceback of an error."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, str] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (request_id := getattr(record, "request_id", None)) is not None:
            fields["request_id"] = request_id
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def _install(handler: logging.Handler, filters: Sequence[logging.Filter], *, level: str) -> None:
    for one in filters:
        handler.addFilter(one)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in ("boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
