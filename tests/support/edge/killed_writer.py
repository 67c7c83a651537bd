"""Kills processes that replace a configuration, one at each line of the code that writes the file.

``python -m tests.support.edge.killed_writer FOLDER`` prints the version that each of them leaves, in the order of the
lines; the last process is not killed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from edge_agent.device import private_file
from edge_agent.device.configuration_store import ConfigurationStore, StoredConfiguration
from shared.cameras import DeviceCamera


def configuration(version: int) -> StoredConfiguration:
    """Return a version whose cameras all have its number."""
    cameras = [DeviceCamera(camera_id=f"c{number}", source=f"usb:{version}") for number in range(300)]
    return StoredConfiguration(version=version, cameras=cameras)


def _replace(folder: Path, *, lines: int) -> None:
    """Replace the configuration; be killed before the line of this number."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename != private_file.__file__:
            return None
        count += event == "line"
        if count == lines:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    prepared = ConfigurationStore(folder).prepare(configuration(2))
    try:
        prepared.commit()
    finally:
        prepared.discard()
    sys.settrace(None)


def _main(folder: Path) -> None:
    store, lines, was_killed = ConfigurationStore(folder), 0, True
    while was_killed:
        lines += 1
        store.prepare(configuration(1)).commit()
        process = os.fork()
        if process == 0:
            _replace(folder, lines=lines)
            os._exit(0)
        was_killed = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
        left = store.load()
        is_whole = left is not None and left == configuration(left.version)
        print(left.version if left is not None and is_whole else "damaged")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
