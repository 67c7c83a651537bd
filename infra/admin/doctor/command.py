"""The command ``vedette-admin doctor``: its options, and the run of all checks."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from infra.admin.doctor.context import DatabaseUnusableError, DoctorContext, open_context
from shared.diagnosis import Check, Finding, exit_status, report_json, report_lines, run_checks
from shared.errors import ConfigurationError

DEFAULT_TIMEOUT_S: Final = 15.0
_MAX_TIMEOUT_S: Final = 300.0


def add_doctor(commands: Any) -> None:
    """Add the command to the parser."""
    text = "say what is wrong with the deployment, and what to do"
    parser = commands.add_parser(
        "doctor",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. Examines the services that the environment of the functions names"
        " (DATABASE_URL, REDIS_URL, SNAPSHOT_BUCKET, INGEST_QUEUE_URL, …), or with --state a one-machine stack.",
        epilog="Exit status: 0 all in order; 1 warnings; 2 faults, or a wrong command line.",
    )
    parser.add_argument("--state", type=Path, metavar="DIR", help="state folder of a one-machine stack")
    parser.add_argument("--api", metavar="URL", help="address of the API, to check its health and certificate")
    parser.add_argument(
        "--certificate",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="PEM file with certificates to check, such as those of devices; may be given several times",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=DEFAULT_TIMEOUT_S,
        metavar="SECONDS",
        help="longest time of the whole command (default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run, needs_database=False)


def diagnose(context: DoctorContext, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> list[Finding]:
    """Run all checks; return their findings."""
    from infra.admin.doctor.checks import CHECKS

    checks = [Check(name, partial(_unless_unusable, name, check, context)) for name, check in CHECKS.items()]
    return run_checks(checks, timeout_s=timeout_s)


def _unless_unusable(
    name: str, check: Callable[[DoctorContext], Iterator[Finding]], context: DoctorContext
) -> Iterator[Finding]:
    """Skip a check that needs the database without it, so that the cause is reported once."""
    try:
        yield from check(context)
    except DatabaseUnusableError as error:
        yield Finding(name, "skipped", f"not checked: {error}")


def _run(options: argparse.Namespace, _: str) -> int:
    if not 1 <= options.timeout <= _MAX_TIMEOUT_S:
        raise ConfigurationError(f"--timeout must be from 1 to {_MAX_TIMEOUT_S:g} seconds")
    variables = os.environ if options.variables is None else options.variables
    context = open_context(variables, state=options.state, api_url=options.api, certificate_files=options.certificate)
    findings = diagnose(context, timeout_s=options.timeout)
    if options.json:
        sys.stdout.write(json.dumps(report_json(findings), indent=2) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in report_lines(findings))
    return exit_status(findings)
