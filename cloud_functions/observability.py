"""Logs and metrics in the formats of CloudWatch, configured only inside Lambda.

Modules log through ``logging.getLogger(__name__)`` and count through a ``Metrics`` argument. No other module imports
Powertools. Its tracer is not used, because importing it takes 315 ms.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Final, Protocol

NAMESPACE: Final = "Vedette"
_IN_LAMBDA: Final = "AWS_LAMBDA_FUNCTION_NAME"


class Metrics(Protocol):
    """Counters that operators set alarms on."""

    def count(self, name: str, value: int = 1) -> None:
        """Add ``value`` to the counter ``name``; zero is ignored."""
        ...

    def flush(self) -> None:
        """Emit the counts since the previous flush."""
        ...


class NoMetrics:
    """Counts nothing."""

    def count(self, name: str, value: int = 1) -> None:
        del name, value

    def flush(self) -> None:
        return None


class InMemoryMetrics:
    """Keeps the counts in memory, for tests and the Kafka consumer."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def count(self, name: str, value: int = 1) -> None:
        if value:
            self.counts[name] = self.counts.get(name, 0) + value

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

    def flush(self) -> None:
        if self._pending:
            self._metrics.flush_metrics()
            self._pending = False


def build_metrics(*, service: str, variables: Mapping[str, str]) -> Metrics:
    """Return EmbeddedMetrics inside Lambda and NoMetrics elsewhere."""
    return EmbeddedMetrics(service=service) if _IN_LAMBDA in variables else NoMetrics()


def configure_logging(*, service: str, variables: Mapping[str, str]) -> None:
    """Inside Lambda, log to stdout as JSON with the name of the service; elsewhere do nothing.

    ``LOG_LEVEL`` sets the level (default INFO). The loggers of the AWS libraries stay at WARNING, because at lower
    levels they log secrets.
    """
    if _IN_LAMBDA not in variables:
        return
    from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LambdaPowertoolsFormatter(service=service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(variables.get("LOG_LEVEL", "INFO").upper())
    for name in ("boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
