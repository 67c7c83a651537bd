"""``vedette-ingest`` that dies as by ``kill -9`` between the database's commit and the offsets'."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from typing import NoReturn

from cloud_functions.ingest.kafka import cli
from cloud_functions.ingest.kafka.broker import KafkaSource


class DyingSource(KafkaSource):
    """A source that never lives to commit."""

    def commit(self, positions: Mapping[tuple[str, int], int]) -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


if __name__ == "__main__":
    cli.KafkaSource = DyingSource
    sys.exit(cli.main())
