"""The entry point of ``edge-agent``: runs one command and reports its errors.

Exit status: 0 done; 1 something failed while running; 2 the command line or the configuration is wrong.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence

from edge_agent.cli.parser import build_parser
from shared.errors import ConfigurationError, VedetteError
from shared.log_lines import line_handler

Command = Callable[[argparse.Namespace], int]


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


def _log_to_stderr(*, verbose: bool) -> None:
    line_format = "%(asctime)s %(levelname)s %(name)s: %(message)s" if verbose else "edge-agent: %(message)s"
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, handlers=[line_handler(line_format)])
    if verbose:
        for library in ("boto3", "botocore", "urllib3", "s3transfer"):
            logging.getLogger(library).setLevel(logging.INFO)
