"""The entry point of ``edge-agent``: runs one command and reports its errors.

Exit status: 0 done; 1 something failed while running; 2 the command line or the configuration is wrong.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence

from edge_agent.cli.parser import build_parser
from shared.command_line import run_command
from shared.log_lines import line_handler

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. Expected errors are reported in one line on stderr."""
    options = build_parser().parse_args(arguments)
    _log_to_stderr(verbose=options.verbose)
    command: Command = options.command
    return run_command("edge-agent", lambda: command(options))


def _log_to_stderr(*, verbose: bool) -> None:
    line_format = "%(asctime)s %(levelname)s %(name)s: %(message)s" if verbose else "edge-agent: %(message)s"
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, handlers=[line_handler(line_format)])
    if verbose:
        for library in ("boto3", "botocore", "urllib3", "s3transfer"):
            logging.getLogger(library).setLevel(logging.INFO)
