"""``vedette-ingest``: ingest as a service outside Lambda."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import shared
from cloud_functions.ingest.kafka.broker import read_properties
from cloud_functions.ingest.kafka.service import ConsumerOptions, run_consumer, stopped_by_signal
from shared.errors import ConfigurationError, VedetteError
from shared.log_lines import line_handler

log = logging.getLogger(__name__)

DEFAULT_GROUP: Final = "vedette-ingest"
_DONE, _FAILED, _MISUSED = 0, 1, 2


def build_parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = argparse.ArgumentParser(
        prog="vedette-ingest", description="Store device messages in PostgreSQL and publish events to SNS."
    )
    parser.add_argument("--version", action="version", version=f"vedette {shared.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    kafka = commands.add_parser(
        "kafka",
        help="consume Kafka topics until SIGTERM",
        description="Consume Kafka topics until SIGTERM. Reads the same environment variables as the ingest function.",
    )
    kafka.add_argument("--brokers", required=True, metavar="HOST:PORT", help="bootstrap brokers, comma-separated")
    kafka.add_argument("--topic", required=True, action="append", dest="topics", help="topic to consume; repeatable")
    kafka.add_argument("--group", default=DEFAULT_GROUP, help=f"consumer group (default {DEFAULT_GROUP})")
    kafka.add_argument("--batch", type=_count, default=1000, metavar="N", help="maximum batch size (default 1000)")
    kafka.add_argument(
        "--linger-ms",
        type=_milliseconds,
        default=100,
        metavar="MS",
        help="maximum wait for a full batch (default 100)",
    )
    kafka.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="librdkafka properties, one name=value per line",
    )
    kafka.add_argument(
        "--dead-letter-topic", metavar="TOPIC", help="topic for rejected messages, instead of DEAD_LETTER_QUEUE_URL"
    )
    kafka.add_argument(
        "--statistics-every",
        type=_count,
        default=100,
        metavar="N",
        help="log statistics every N messages (default 100)",
    )
    return parser


def _count(text: str) -> int:
    if not 1 <= (value := int(text)) <= 10_000:
        raise argparse.ArgumentTypeError("must be from 1 to 10000")
    return value


def _milliseconds(text: str) -> int:
    if not 0 <= (value := int(text)) <= 10_000:
        raise argparse.ArgumentTypeError("must be from 0 to 10000")
    return value


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = build_parser().parse_args(arguments)
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "INFO").upper(), handlers=[line_handler()])
    for name in ("boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        consume(options, variables=os.environ, stopped=stopped_by_signal())
    except ConfigurationError as error:
        sys.stderr.write(f"vedette-ingest: {error}\n")
        return _MISUSED
    except VedetteError as error:
        log.error("%s", error)  # noqa: TRY400 - an expected error; a traceback adds nothing
        return _FAILED
    return _DONE


def consume(options: argparse.Namespace, *, variables: Mapping[str, str], stopped: Callable[[], bool]) -> None:
    """Consume until ``stopped`` returns True."""
    consumer = ConsumerOptions(
        brokers=options.brokers,
        topics=options.topics,
        group=options.group,
        dead_letter_topic=options.dead_letter_topic,
        properties=read_properties(options.config) if options.config else {},
        batch=options.batch,
        linger_s=options.linger_ms / 1000,
        statistics_every=options.statistics_every,
    )
    run_consumer(consumer, variables=variables, stopped=stopped)


if __name__ == "__main__":
    sys.exit(main())
