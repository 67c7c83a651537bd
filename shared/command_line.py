"""Runs the command of a command-line program and turns expected errors into one line and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final

from shared.errors import ConfigurationError, VedetteError

FAILED: Final = 1
"""Exit status: something failed while running."""
MISUSED: Final = 2
"""Exit status: the command line or the configuration is wrong; that of argparse too."""
INTERRUPTED: Final = 130
"""Exit status after Ctrl-C, as shells have it: 128 + SIGINT."""


def run_command(program: str, command: Callable[[], int | None]) -> int:
    """Run ``command`` and return the exit status: what it returns, or that of its error, which is written to stderr.

    A reader of stdout that has gone (``… | head``) ends the command without a message.
    """
    try:
        status = command()
        sys.stdout.flush()
    except ConfigurationError as error:
        sys.stderr.write(f"{program}: {error}\n")
        return MISUSED
    except VedetteError as error:
        sys.stderr.write(f"{program}: {error}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write(f"{program}: stopped\n")
        return INTERRUPTED
    except BrokenPipeError:
        discard_output()
        return FAILED
    return status or 0


def discard_output() -> None:
    """Discard what is written to stdout from now on, so that Python does not report its error again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
