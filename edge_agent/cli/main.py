"""The ``edge-agent`` command: run, replay, read-plates, probe, check, models.

Exit status: 0 done; 1 something failed while running; 2 the command line or the configuration is wrong.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from shared import __version__
from shared.errors import ConfigurationError, VedetteError
from shared.ids import require_segment

if TYPE_CHECKING:
    from edge_agent.config import CameraSettings, ModelPlaces

Command = Callable[[argparse.Namespace], int]


class Subparsers(Protocol):
    """The part of the return type of ``add_subparsers`` that is used here; the type itself is private."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser: ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. Expected errors are reported in one line on stderr."""
    options = build_parser().parse_args(arguments)
    _log_to_stderr(verbose=options.verbose)
    try:
        command: Command = options.command
        return command(options)
    except ConfigurationError as error:
        sys.stderr.write(f"edge-agent: {error}\n")
        return 2
    except VedetteError as error:
        sys.stderr.write(f"edge-agent: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("edge-agent: stopped\n")
        return 130
    except BrokenPipeError:
        # The reader of stdout has gone (`… | head`). Without this, Python reports the error again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="edge-agent", description="Vedette's edge agent: video analytics on the device."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more to stderr")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_replay(commands)
    _add_read_plates(commands)
    _add_probe(commands)
    _add_check(commands)
    _add_models(commands)
    return parser


def _add_run(commands: Subparsers) -> None:
    parser = commands.add_parser("run", help="run the device service: all cameras, until stopped")
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="configuration file of the agent (TOML)"
    )
    parser.set_defaults(command=_run)


def _add_replay(commands: Subparsers) -> None:
    parser = commands.add_parser(
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
        type=_moment,
        metavar="ISO",
        help="capture time of the first frame (default: the time in the file)",
    )
    parser.add_argument(
        "--detect-every", type=_positive, metavar="N", help="run the detector on every N-th frame (default: 1)"
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
    parser.set_defaults(command=_replay)


def _add_read_plates(commands: Subparsers) -> None:
    parser = commands.add_parser(
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
    parser.add_argument("--threads", type=_positive, default=1, metavar="N", help="threads per model (default: 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per picture on stdout, one per line")
    parser.set_defaults(command=_read_plates)


def _add_probe(commands: Subparsers) -> None:
    parser = commands.add_parser("probe", help="open a video source and report its resolution, codec and frame rate")
    parser.add_argument("source", metavar="SOURCE", help="rtsp://…, a file, usb:0, gst:PIPELINE, synthetic:gate")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    parser.set_defaults(command=_probe)


def _add_check(commands: Subparsers) -> None:
    parser = commands.add_parser("check", help="validate a configuration and report each problem and its place")
    input_group = parser.add_mutually_exclusive_group(required=True)
    input_group.add_argument("--config", type=Path, metavar="FILE", help="configuration file of the agent (TOML)")
    input_group.add_argument("--example", action="store_true", help="print an example configuration")
    parser.set_defaults(command=_check)


def _add_models(commands: Subparsers) -> None:
    parser = commands.add_parser("models", help="list and download detection models")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list models with their licences, and which are on this machine")
    listing.add_argument("--json", action="store_true", help="print a JSON array on stdout")
    listing.set_defaults(command=_models_list)
    pull = actions.add_parser("pull", help="download models into this user's cache and verify their hashes")
    pull.add_argument("names", nargs="+", metavar="NAME", help="name of a model in the catalogue")
    pull.set_defaults(command=_models_pull)


def _run(options: argparse.Namespace) -> int:
    from edge_agent.agent import run_agent

    return run_agent(options.config)


def _replay(options: argparse.Namespace) -> int:
    from edge_agent.cli import console
    from edge_agent.cli.replay import replay

    camera, site_id, device_id = _replay_camera(options)
    with console.replay_bar() as progress:
        summary = replay(
            options.source,
            out=options.out,
            camera=camera,
            site_id=site_id,
            device_id=device_id,
            places=_places(),
            start_time=options.start_time,
            progress=progress,
            video=options.video,
        )
    if options.json:
        print(json.dumps(summary.as_json()))
    else:
        console.show_replay(summary, options.out, video=options.video)
    return 1 if summary.warning else 0  # the recording is incomplete


def _read_plates(options: argparse.Namespace) -> int:
    from edge_agent.anpr.detection.plate_score import MIN_PLATE_SCORE
    from edge_agent.anpr.picture_reader import PictureReader, picture_files
    from edge_agent.cli import console

    files = picture_files(options.images)
    reader = PictureReader.open(
        options.engine,
        threads=options.threads,
        crops=options.crops,
        min_plate_score=0.0 if options.all else MIN_PLATE_SCORE,
    )
    failed = False
    with console.pictures_bar(len(files)) as advance:
        for name in files:
            try:
                picture = reader.read_file(name)
            except ConfigurationError as error:
                console.print_error(f"edge-agent: {error}")
                failed = True
            else:
                if options.json:
                    print(json.dumps(picture.as_json()), flush=True)
                else:
                    console.show_plates(picture)
            advance(name)
    return 1 if failed else 0


def _replay_camera(options: argparse.Namespace) -> tuple[CameraSettings, str, str]:
    from edge_agent.anpr.engines import models_available
    from edge_agent.config import CameraSettings, load_config

    site_id, device_id = "local", "replay"
    camera: CameraSettings | None = None
    if options.config is not None:
        config = load_config(options.config)
        site_id, device_id = config.site_id, config.device_id
        camera = next((camera for camera in config.cameras if camera.id == options.camera_id), None)
        if camera is None:
            known = ", ".join(camera.id for camera in config.cameras)
            raise ConfigurationError(
                f"{options.config} has no camera {options.camera_id}; it has {known} (--camera-id)"
            )
    require_segment(options.camera_id, name="--camera-id")
    if options.rules is not None:
        from edge_agent.cli.rules_file import load_rules_file

        camera = load_rules_file(options.rules, camera_id=options.camera_id, source=options.source)
    camera = camera or CameraSettings(id=options.camera_id, source=options.source)
    gate = camera.gate.model_copy(
        update={
            "detect_every": options.detect_every or camera.gate.detect_every,
            "motion_gate": camera.gate.motion_gate and not options.no_motion_gate,
        }
    )
    given = {"name": options.model, "labels": options.labels}
    model = camera.model.model_copy(update={name: value for name, value in given.items() if value is not None})
    plates: bool | None = options.plates
    if plates is None:
        set_in_file = options.config is not None or (options.rules is not None and "anpr" in camera.model_fields_set)
        plates = camera.anpr.enabled if set_in_file else models_available() and camera.mode == "tracking"
    if options.plates and camera.mode != "tracking":
        raise ConfigurationError(f'--plates needs mode = "tracking"; camera {camera.id} has "{camera.mode}"')
    anpr = camera.anpr.model_copy(update={"enabled": plates})
    return camera.model_copy(update={"gate": gate, "model": model, "anpr": anpr}), site_id, device_id


def _probe(options: argparse.Namespace) -> int:
    from edge_agent.camera.probe import probe
    from edge_agent.camera.settings import SourceSettings
    from edge_agent.cli import console

    if not options.verbose:  # the result contains the error
        logging.getLogger("edge_agent.camera.live").setLevel(logging.ERROR)
    result = probe(options.source, settings=SourceSettings())
    if options.json:
        print(json.dumps(asdict(result), default=str))
    else:
        console.show_probe(result)
    return 0 if result.error is None else 1


def _check(options: argparse.Namespace) -> int:
    from edge_agent.cli import console
    from edge_agent.cli.check import EXAMPLE, check_config

    if options.example:
        print(EXAMPLE, end="")
        return 0
    results = check_config(options.config, places=_places())
    console.show_check(options.config, results)
    return 0 if all(result.ok for result in results) else 2


def _models_list(options: argparse.Namespace) -> int:
    from edge_agent.cli import console
    from edge_agent.detect.models.catalogue import list_models

    places = _places()
    models = list_models(models_location=places.location, cache_dir=places.cache_dir)
    if options.json:
        print(json.dumps([asdict(model) for model in models], default=str))
    else:
        console.show_models(models)
    return 0


def _models_pull(options: argparse.Namespace) -> int:
    from edge_agent.cli import console
    from edge_agent.detect.models.catalogue import pull

    places = _places()
    for name in options.names:
        with console.download_bar(name) as progress:
            model = pull(name, models_location=places.location, cache_dir=places.cache_dir, progress=progress)
        print(f"{model.name}  {model.path}")
    return 0


def _places() -> ModelPlaces:
    from edge_agent.config import model_places

    return model_places()


def _log_to_stderr(*, verbose: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s" if verbose else "edge-agent: %(message)s",
        stream=sys.stderr,
    )
    if verbose:
        for library in ("boto3", "botocore", "urllib3", "s3transfer"):
            logging.getLogger(library).setLevel(logging.INFO)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; use a format like 2026-11-20T10:30:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000")
    return value
