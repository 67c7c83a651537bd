"""``vedette-ingest`` that kills itself with SIGKILL after the database commit and before the offset commit."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from typing import NoReturn

from cloud_functions.ingest.kafka import cli, service
from cloud_functions.ingest.kafka.broker import KafkaSource


class DyingSource(KafkaSource):
    """A Kafka source that kills its process instead of committing offsets."""

    def commit(self, positions: Mapping[tuple[str, int], int]) -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


if __name__ == "__main__":
    service.KafkaSource = DyingSource
    sys.exit(cli.main())
