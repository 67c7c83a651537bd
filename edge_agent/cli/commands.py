"""The commands of ``edge-agent``. Each takes the parsed options and returns the exit status.

A command imports what it runs only when it is called, so that ``--help`` does not load the models' libraries.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from edge_agent.config import ModelPlaces


def run(options: argparse.Namespace) -> int:
    """Run the device service until it is stopped."""
    from edge_agent.agent import run_agent

    return run_agent(options.config)


def replay_recording(options: argparse.Namespace) -> int:
    """Replay a recording; the exit status is 1 for an incomplete one."""
    from edge_agent.cli import console
    from edge_agent.cli.replay import replay
    from edge_agent.cli.replay_options import replay_job

    job = replay_job(options)
    with console.replay_bar() as progress:
        summary = replay(job, places=_places(), progress=progress)
    if options.json:
        print(json.dumps(summary.as_json()))
    else:
        console.show_replay(summary, options.out, video=options.video)
    return 1 if summary.warning else 0  # the recording is incomplete


def read_plates(options: argparse.Namespace) -> int:
    """Read the plates in pictures; the exit status is 1 where one of them cannot be opened."""
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


def probe_source(options: argparse.Namespace) -> int:
    """Open a source and print its properties; the exit status is 1 where that fails."""
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


def check(options: argparse.Namespace) -> int:
    """Check a configuration, or print an example; the exit status is 2 for a problem."""
    from edge_agent.cli import console
    from edge_agent.cli.check import EXAMPLE, check_config

    if options.example:
        print(EXAMPLE, end="")
        return 0
    results = check_config(options.config, places=_places())
    console.show_check(options.config, results)
    return 0 if all(result.ok for result in results) else 2


def doctor(options: argparse.Namespace) -> int:
    """Print what is wrong on this device; the exit status is 1 for warnings and 2 for faults."""
    from edge_agent.cli.doctor.checks import device_checks
    from edge_agent.cli.doctor.device import Device
    from edge_agent.config import load_config
    from shared.clock import SystemClock
    from shared.diagnosis import exit_status, report_json, report_lines, run_checks

    logger = logging.getLogger("edge_agent")
    level = logger.level
    if not options.verbose:  # the findings contain the errors
        logger.setLevel(logging.CRITICAL)
    try:
        device = Device(
            config=load_config(options.config), config_path=options.config, places=_places(), clock=SystemClock()
        )
        checks = device_checks(device, probe_timeout_s=0.8 * options.timeout)
        findings = run_checks(checks, timeout_s=options.timeout)
    finally:
        logger.setLevel(level)
    if options.json:
        print(json.dumps(report_json(findings), indent=2))
    else:
        print("\n".join(report_lines(findings)))
    return exit_status(findings)


def list_models(options: argparse.Namespace) -> int:
    """Print the models of the catalogue."""
    from edge_agent.cli import console
    from edge_agent.detect.models import catalogue

    places = _places()
    models = catalogue.list_models(models_location=places.location, cache_dir=places.cache_dir)
    if options.json:
        print(json.dumps([asdict(model) for model in models], default=str))
    else:
        console.show_models(models)
    return 0


def pull_models(options: argparse.Namespace) -> int:
    """Download models into the cache of this user."""
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
