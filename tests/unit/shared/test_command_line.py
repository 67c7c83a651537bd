"""Errors of a command: one line on stderr and an exit status, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from shared.command_line import run_command
from shared.errors import ConfigurationError, PermanentError, TransientError

PRINTING = """
import sys
from shared.command_line import run_command

def command():
    for number in range(100_000):
        print(number)

sys.exit(run_command("program", command))
"""


def _raises(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("command", "status", "line"),
    [
        (lambda: None, 0, ""),
        (lambda: 3, 3, ""),
        (_raises(ConfigurationError("no such key")), 2, "program: no such key\n"),
        (_raises(TransientError("try again")), 1, "program: try again\n"),
        (_raises(PermanentError("broken")), 1, "program: broken\n"),
        (_raises(KeyboardInterrupt()), 130, "program: stopped\n"),
    ],
)
def test_exit_status(
    command: Callable[[], int | None], status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("program", command) == status
    assert capsys.readouterr().err == line


def test_a_fault_of_the_program_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command("program", lambda: 1 // 0)


def test_a_reader_that_has_gone_ends_the_command_without_a_message() -> None:
    """As in ``program | head``."""
    process = subprocess.Popen([sys.executable, "-c", PRINTING], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"0\n"
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as errors:
        assert (errors.read(), process.wait()) == (b"", 1)
