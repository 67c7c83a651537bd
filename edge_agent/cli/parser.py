"""The command line of ``edge-agent``: its commands, options and their help."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from edge_agent.cli import commands
from edge_agent.cli.clip import add_clip
from shared import __version__


class Subparsers(Protocol):
    """The part of the return type of ``add_subparsers`` that is used here; the type itself is private."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser: ...


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="edge-agent", description="Vedette's edge agent: video analytics on the device."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more to stderr")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(subparsers)
    _add_replay(subparsers)
    _add_read_plates(subparsers)
    add_clip(subparsers)
    _add_probe(subparsers)
    _add_check(subparsers)
    _add_doctor(subparsers)
    _add_models(subparsers)
    return parser


def _add_run(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("run", help="run the device service: all cameras, until stopped")
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="configuration file of the agent (TOML)"
    )
    parser.set_defaults(command=commands.run)


def _add_replay(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "replay",
        help="run a recording through the pipeline, without network",
        description="Run a recording (or synthetic:gate) through the complete pipeline as fast as possible, and write "
        "DIR/events.jsonl and DIR/snapshots/. The same recording always gives the same events, except for their ids.",
    )
    parser.add_argument("source", metavar="SOURCE", help="a video file, or synthetic:gate")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder for events and snapshots")
    parser.add_argument(
        "--model",
        metavar="NAME|FILE|none",
        help="detection model (see `models list`), a .tflite file, or none for blob detection",
    )
    parser.add_argument("--labels", metavar="FILE", help="class names, one per line, for a model without its own")
    parser.add_argument(
        "--camera-id", default="camera-1", metavar="ID", help="id of the camera in the events (default: %(default)s)"
    )
    parser.add_argument(
        "--start-time",
        type=_datetime,
        metavar="ISO",
        help="capture time of the first frame (default: the time in the file)",
    )
    parser.add_argument(
        "--detect-every", type=_count, metavar="N", help="run the detector on every N-th frame (default: 1)"
    )
    parser.add_argument("--no-motion-gate", action="store_true", help="run the detector on frames without motion too")
    settings = parser.add_mutually_exclusive_group()
    settings.add_argument(
        "--config", type=Path, metavar="FILE", help="use the settings of --camera-id in an agent's configuration file"
    )
    settings.add_argument(
        "--rules",
        type=Path,
        metavar="FILE",
        help="use zones, lines and other camera settings from a TOML file that needs no [mqtt] section",
    )
    parser.add_argument(
        "--video",
        type=Path,
        metavar="OUT.mp4",
        help="write the recording with boxes, zones, lines and counts drawn on it",
    )
    parser.add_argument(
        "--plates",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="read number plates (default: as set in --config; without --config, if the models are installed)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout instead of tables")
    parser.set_defaults(command=commands.replay_recording)


def _add_read_plates(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "read-plates",
        help="read number plates in pictures",
        description="Find and read the number plates in each picture, best plate first. A picture that cannot be "
        "opened is reported on stderr, the others are processed, and the exit status is 1. A picture without a plate "
        "gives an empty list and is not an error.",
    )
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="a picture file (JPEG, PNG, WebP, …) or a folder of pictures"
    )
    parser.add_argument("--crops", action="store_true", help="treat each picture as one plate, without plate detection")
    parser.add_argument("--all", action="store_true", help="include low-confidence plates")
    parser.add_argument(
        "--engine",
        choices=("vedette", "rapidocr", "fast-plate-ocr"),
        default="vedette",
        help="plate reader (default: %(default)s)",
    )
    parser.add_argument("--threads", type=_count, default=1, metavar="N", help="threads per model (default: 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per picture on stdout, one per line")
    parser.set_defaults(command=commands.read_plates)


def _add_probe(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("probe", help="open a video source and report its resolution, codec and frame rate")
    parser.add_argument("source", metavar="SOURCE", help="rtsp://…, a file, usb:0, gst:PIPELINE, synthetic:gate")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    parser.set_defaults(command=commands.probe_source)


def _add_check(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("check", help="validate a configuration and report each problem and its place")
    input_group = parser.add_mutually_exclusive_group(required=True)
    input_group.add_argument("--config", type=Path, metavar="FILE", help="configuration file of the agent (TOML)")
    input_group.add_argument("--example", action="store_true", help="print an example configuration")
    parser.set_defaults(command=commands.check)


def _add_doctor(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "doctor",
        help="say what is wrong on this device, and what to do",
        description="Check the configuration, clock, disk, outbox, broker, image store, certificates and cameras of"
        " this device, and say what is wrong and what to do. Unlike `check` it connects to all of them; it does not log"
        " in at the broker, so it may run beside the agent. A model that is not on this machine is downloaded.",
        epilog="Exit status: 0 all in order; 1 warnings; 2 faults, or a wrong command line or configuration.",
    )
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="configuration file of the agent (TOML)"
    )
    parser.add_argument(
        "--timeout",
        type=_count,
        default=30,
        metavar="SECONDS",
        help="longest time of the whole command (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    parser.set_defaults(command=commands.doctor)


def _add_models(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("models", help="list and download detection models")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list models with their licences, and which are on this machine")
    listing.add_argument("--json", action="store_true", help="print a JSON array on stdout")
    listing.set_defaults(command=commands.list_models)
    pull = actions.add_parser("pull", help="download models into this user's cache and verify their hashes")
    pull.add_argument("names", nargs="+", metavar="NAME", help="name of a model in the catalogue")
    pull.set_defaults(command=commands.pull_models)


def _datetime(text: str) -> datetime:
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; use a format like 2026-11-20T10:30:00Z") from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000")
    return value
