"""The ``vedette-local`` command: up, down, status, reset, demo, logs.

Exit status: 0 success; 1 failure; 2 wrong command line or configuration; 3 (``status`` only) a part is not running.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from infra.local.processes.first_admin import read_admin
from infra.local.processes.objects_folder import objects_folder
from infra.local.processes.process import ProcessIdentity, wait_until
from infra.local.processes.stack_options import (
    DEFAULT_API_PORT,
    StackOptions,
    external_services,
    metrics_port,
    options_to_json,
    redis_port,
    snapshots_dir,
    variable_digests,
)
from infra.local.processes.state_folder import DEFAULT_STATE, StateFolder
from infra.local.status import read_status, show_status
from shared.command_line import run_command
from shared.errors import ConfigurationError, TransientError

_UP_TIMEOUT_S = 90.0
_DOWN_TIMEOUT_S = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; expected errors are printed as one line on stderr."""
    options = build_parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    return run_command("vedette-local", lambda: command(options))


def build_parser() -> argparse.ArgumentParser:
    """Return the argument parser with all commands."""
    parser = argparse.ArgumentParser(
        prog="vedette-local",
        description="Run all of Vedette on this machine: database, broker, Redis, S3/SNS/SQS, functions and API, on "
        "loopback only, without root, Docker or an AWS account. All data is in one folder.",
        epilog=f"Example: `vedette-local up`, then open http://127.0.0.1:{DEFAULT_API_PORT}/docs; "
        "`vedette-local down` stops it.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add(commands, "up", _up, "start the stack in the background and wait until it is ready", starts=True)
    _add(commands, "down", _down, "stop the stack; data is kept")
    status = _add(
        commands, "status", _status, "show the parts with their addresses; exit status 3 if one is not running"
    )
    status.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    reset = _add(commands, "reset", _reset, "stop the stack and delete the state folder with all events and snapshots")
    reset.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    demo = _add(
        commands,
        "demo",
        _demo,
        "run the stack and an agent with one camera, and print events, until Ctrl-C",
        starts=True,
    )
    demo.add_argument(
        "--source",
        metavar="SOURCE",
        help="rtsp://…, a video file, usb:0, gst:PIPELINE (default at the first start: synthetic:gate, a generated "
        "scene; later: the camera as it is in the API)",
    )
    demo.add_argument(
        "--model",
        metavar="NAME|FILE|none",
        help="detection model (see `edge-agent models list`); default: none for the generated scene, otherwise the "
        "catalogue's default model",
    )
    demo.add_argument(
        "--rules",
        type=Path,
        metavar="FILE",
        help="read zones, lines and other camera settings from this TOML file, as `edge-agent replay --rules` does",
    )
    demo.add_argument("--no-plates", action="store_true", help="do not read number plates")
    logs = _add(commands, "logs", _logs, "print the logs of the parts")
    logs.add_argument("part", nargs="?", help="name of one part (default: all parts)")
    logs.add_argument("-n", "--lines", type=int, default=20, metavar="N", help="last N lines of each log (default: 20)")
    logs.add_argument("-f", "--follow", action="store_true", help="keep printing new lines")
    return parser


def _add(
    commands: Any,
    name: str,
    command: Callable[[argparse.Namespace], int],
    text: str,
    *,
    starts: bool = False,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument(
        "--state",
        type=Path,
        default=DEFAULT_STATE,
        metavar="DIR",
        help="state folder (default: %(default)s)",
    )
    if starts:
        parser.add_argument(
            "--port",
            type=int,
            metavar="N",
            help=f"port of the API on 127.0.0.1 (default: {DEFAULT_API_PORT})",
        )
        parser.add_argument(
            "--postgres",
            choices=["embedded", "system"],
            help="PostgreSQL to run: the one from the package index (default), or the system's (15 or newer)",
        )
        parser.add_argument(
            "--external",
            action="store_true",
            help="use the services in DATABASE_URL, REDIS_URL and MQTT_URL, if set, instead of starting them",
        )
    parser.set_defaults(command=command)
    return parser


def _up(options: argparse.Namespace) -> int:
    state = StateFolder(options.state)
    admin = None
    if _running(state) is None:
        supervisor, admin_pipe = _start_supervisor(state, options)
        # Not until its pid file is removed: the reason of a failure is logged after that.
        _wait_until_ready(state, ended=lambda: supervisor.poll() is not None)
        supervisor.returncode = supervisor.poll() or 0  # it outlives this command; avoids the ResourceWarning
        admin = read_admin(admin_pipe)
    else:
        _require_same_options(state, options)
        _wait_until_ready(state, ended=lambda: _running(state) is None)
    show_status(read_status(state), admin=admin)
    return 0


def _require_same_options(state: StateFolder, options: argparse.Namespace) -> None:
    """Raise ConfigurationError if the running stack was started with other options."""
    running: dict[str, Any] = state.description().get("options", {})
    differing = [
        f"--{name} {running[name]}"
        for name, requested in (("port", options.port), ("postgres", options.postgres))
        if requested is not None and name in running and running[name] != requested
    ]
    if options.external and not running.get("external", True):
        differing.append("its own services, not --external ones")
    if (wanted := snapshots_dir(os.environ)) not in {None, state.description().get("objects", wanted)}:
        differing.append("another SNAPSHOTS_DIR")
    variables: dict[str, str] = running.get("variables", variable_digests(os.environ))
    differing += [
        f"another {name}" for name, digest in variable_digests(os.environ).items() if variables.get(name) != digest
    ]
    if differing:
        raise ConfigurationError(
            f"the stack is already running with {' and '.join(differing)}: stop it first (vedette-local down)"
        )


def _start_supervisor(state: StateFolder, options: argparse.Namespace) -> tuple[subprocess.Popen[bytes], int]:
    """Start the supervisor; return it, and the pipe from which ``read_admin`` reads."""
    state.prepare()
    state.describe({"phase": "starting"})
    log_path = state.logs / "supervisor.log"
    command = [sys.executable, "-m", "infra.local.supervisor", "--state", str(state.path)]
    command += ["--options", options_to_json(_stack_options(options))]
    log_path.write_bytes(b"")
    admin_pipe, write_end = os.pipe()
    try:
        with log_path.open("ab") as log_file:  # append mode: log_rotation may truncate the file
            supervisor = subprocess.Popen(  # noqa: S603
                [*command, "--admin-pipe", str(write_end)],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[write_end],
            )
    finally:
        os.close(write_end)
    return supervisor, admin_pipe


def _wait_until_ready(state: StateFolder, *, ended: Callable[[], bool]) -> None:
    from infra.local.stack import tail

    def is_ready() -> bool:
        return state.description().get("phase") == "ready"

    if not wait_until(lambda: is_ready() or ended(), timeout_s=_UP_TIMEOUT_S) or not is_ready():
        log_text = tail(state.logs / "supervisor.log", 20)
        last = log_text.rpartition("vedette-local: ")[2] if "vedette-local: " in log_text else log_text
        if any(words in last for words in ("port", "state folder", "SNAPSHOTS_DIR")):
            raise ConfigurationError(last.strip())
        raise TransientError(f"the stack did not start:\n{last}")


def _down(options: argparse.Namespace) -> int:
    from infra.local.stack import stop_process

    state = StateFolder(options.state)
    supervisor = _running(state)
    if supervisor is not None:
        supervisor.signal(signal.SIGTERM)
        if not supervisor.wait_gone(_DOWN_TIMEOUT_S):
            supervisor.signal(signal.SIGKILL)
            supervisor.wait_gone(5)
    stopped_leftover = False
    for name, pid_file in state.leftovers() if state.exists else ():
        left = pid_file.read()
        if left is not None and left.alive:
            stop_process(name, left)
            stopped_leftover = True
        pid_file.remove()
    print("stopped" if supervisor is not None or stopped_leftover else "nothing was running")
    return 0


def _status(options: argparse.Namespace) -> int:
    status = read_status(StateFolder(options.state))
    if options.json:
        print(json.dumps(status.as_json()))
    else:
        show_status(status)
    return 0 if status.ready else 3


def _reset(options: argparse.Namespace) -> int:
    state = StateFolder(options.state)
    if not state.path.exists():
        print("there is nothing to reset")
        return 0
    if not options.yes:
        answer = input(f"Delete every event and snapshot in {state.path}? [y/N] ")
        if answer.strip().lower() not in {"y", "yes"}:
            print("nothing was deleted")
            return 1
    _down(options)
    objects = objects_folder(state)
    state.remove()
    print(f"deleted {state.path}")
    if objects.is_dir():
        print(f"the snapshots in {objects} are kept: delete that folder yourself")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from infra.local.demo.camera import CameraOptions
    from infra.local.demo.demo import run_demo

    state = StateFolder(options.state)
    if _running(state) is not None:
        _require_same_options(state, options)
    return run_demo(
        state=state,
        options=_stack_options(options),
        camera=CameraOptions(
            source=options.source, model=options.model, plates=not options.no_plates, rules=options.rules
        ),
    )


def _logs(options: argparse.Namespace) -> int:
    from infra.local.stack import tail

    state = StateFolder(options.state)
    paths = sorted(state.logs.glob(f"{options.part or '*'}.log"))
    if not paths:
        known = ", ".join(path.stem for path in sorted(state.logs.glob("*.log")))
        raise ConfigurationError(
            f"no log of {options.part or 'anything'} in {state.logs}; there are: {known or 'none'}"
        )
    positions = {path: path.stat().st_size for path in paths}
    for path in paths:
        print(f"== {path.stem} ==\n{tail(path, options.lines)}")
    while options.follow:
        time.sleep(0.2)
        for path in paths:
            positions[path] = _print_added(path, positions[path])
    return 0


def _print_added(path: Path, position: int) -> int:
    from shared.redact import redact

    size = path.stat().st_size
    if size < position:  # rotated
        position = 0
    if size > position:
        with path.open("rb") as log_file:
            log_file.seek(position)
            for line in log_file.read(size - position).decode("utf-8", errors="replace").splitlines():
                print(f"{path.stem}: {redact(line)}", flush=True)
    return size


def _running(state: StateFolder) -> ProcessIdentity | None:
    supervisor = state.supervisor.read()
    return supervisor if supervisor is not None and supervisor.alive else None


def _stack_options(options: argparse.Namespace) -> StackOptions:
    port = DEFAULT_API_PORT if options.port is None else options.port
    if not 1 <= port <= 65_535:
        raise ConfigurationError(f"--port must be from 1 to 65535, not {port}")
    return StackOptions(
        api_port=port,
        postgres=options.postgres or "embedded",
        external=external_services(os.environ) if options.external else None,
        redis_port=redis_port(os.environ),
        metrics_port=metrics_port(os.environ),
        snapshots_dir=snapshots_dir(os.environ),
    )


if __name__ == "__main__":
    sys.exit(main())
