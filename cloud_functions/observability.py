"""Logs and metrics as CloudWatch wants them, wired only where a function runs in Lambda.

Modules log through ``logging.getLogger(__name__)`` and count through a ``Metrics`` given to them; this decides what
becomes of it. Powertools is imported here and nowhere else, and its tracer (315 ms of import) not at all.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Final, Protocol

NAMESPACE: Final = "Vedette"
_IN_LAMBDA: Final = "AWS_LAMBDA_FUNCTION_NAME"


class Metrics(Protocol):
    """Counts things that operators set alarms on."""

    def count(self, name: str, value: int = 1) -> None:
        """Add ``value`` to the counter called ``name``; zero is not worth a line."""
        ...

    def flush(self) -> None:
        """Hand over what was counted since the last flush."""
        ...


class NoMetrics:
    """Counts nothing."""

    def count(self, name: str, value: int = 1) -> None:
        del name, value

    def flush(self) -> None:
        return None


class InMemoryMetrics:
    """Keeps the counts in memory: for tests and the one-machine stack."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def count(self, name: str, value: int = 1) -> None:
        if value:
            self.counts[name] = self.counts.get(name, 0) + value

    def flush(self) -> None:
        return None


class EmbeddedMetrics:
    """Writes CloudWatch's embedded metric format through Powertools, one line a flush."""

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
    """Return what counts: CloudWatch's format inside Lambda, nothing elsewhere."""
    return EmbeddedMetrics(service=service) if _IN_LAMBDA in variables else NoMetrics()


def configure_logging(*, service: str, variables: Mapping[str, str]) -> None:
    """Inside Lambda, send every logger's lines to stdout as JSON with the service's name; elsewhere leave logging be.

    ``LOG_LEVEL`` chooses the level (INFO). AWS's own loggers are held at WARNING: below that they tell secrets.
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
