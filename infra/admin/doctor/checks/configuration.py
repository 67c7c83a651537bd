"""The variables of the functions, the files with keys, and the master key of what is sealed in the database."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from cloud_functions.aws import AwsClients
from cloud_functions.plates.master_keys import master_keys
from cloud_functions.privacy.wrapped_keys import list_wrapped_keys
from cloud_functions.settings import (
    OBSOLETE_VARIABLES,
    DatabaseSettings,
    Environment,
    FanoutSettings,
    GapSettings,
    IngestSettings,
    MaintenanceSettings,
    PlateSettings,
)
from infra.admin.doctor.context import DoctorContext
from shared.diagnosis import Finding
from shared.errors import ConfigurationError, VedetteError

_SETTINGS: Final[tuple[Callable[[Environment], Any], ...]] = (
    DatabaseSettings.from_environment,
    FanoutSettings.from_environment,
    GapSettings.from_environment,
    IngestSettings.from_environment,
    MaintenanceSettings.from_environment,
    PlateSettings.from_environment,
)


def variables(context: DoctorContext) -> Iterator[Finding]:
    """Variables with values that are not accepted, and variables without effect."""
    environment = Environment(context.variables)
    problems: list[str] = []
    for read in _SETTINGS:
        try:
            read(environment)
        except ConfigurationError as error:
            problems.append(str(error))
    for problem in dict.fromkeys(problems):
        yield Finding("variables", "fault", problem)
    obsolete = [f"{name} ({instead})" for name, instead in OBSOLETE_VARIABLES.items() if environment.optional(name)]
    if obsolete:
        yield Finding("variables", "warning", f"without effect: {'; '.join(obsolete)}", "remove them")
    if not problems and not obsolete:
        yield Finding("variables", "ok", "all values are accepted, none is obsolete")


def key_files(context: DoctorContext) -> Iterator[Finding]:
    """Files with keys and passwords that are missing, or that other users of this machine can read."""
    files: dict[str, Path] = {}
    kind, _, name = (context.variable("PLATE_MASTER_KEY") or "").partition(":")
    if kind == "file":
        files["the master key"] = Path(name)
    if context.state is not None and (password := context.state.path / "postgres" / "password").exists():
        files["the database's password"] = password
    if not files:
        yield Finding("key-files", "skipped", "no file with a key is used here")
    is_private = True
    for what, path in files.items():
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError as error:
            is_private = False
            text = f"{path} with {what} cannot be read: {error.strerror}"
            yield Finding("key-files", "fault", text, "restore it from your copy; without it, sealed data is lost")
            continue
        if mode & 0o077:
            is_private = False
            text = f"{path} with {what} can be read by other users (mode {mode:o})"
            yield Finding("key-files", "fault", text, f"chmod 600 {path}")
    if files and is_private:
        yield Finding("key-files", "ok", f"only their owner can read the {len(files)} files with keys")


def sealed_rows(context: DoctorContext) -> Iterator[Finding]:
    """Whether the master key is set and opens the keys of what is sealed in the database."""
    with context.connection() as connection:
        keys = list_wrapped_keys(connection)
    sealed = list(dict.fromkeys(one.seals for one in keys))
    setting = context.variable("PLATE_MASTER_KEY")
    if not sealed:
        yield Finding("master-key", "ok", "nothing is sealed in the database")
    elif setting is None:
        text = f"PLATE_MASTER_KEY is not set, but the database contains sealed {', '.join(sealed)}"
        yield Finding("master-key", "fault", text, "set it to the key with which they were sealed")
    else:
        master = master_keys(setting, aws=AwsClients(region=context.variable("AWS_REGION")))
        closed: dict[str, None] = {}  # each once, in order
        for one in keys:
            try:
                master.unwrap(one.key, one.context)
            except VedetteError as error:
                closed[f"{one.seals} ({error})"] = None
        if closed:
            remedy = "correct PLATE_MASTER_KEY, or restore the key file from your copy"
            yield Finding("master-key", "fault", f"the master key does not open {'; '.join(closed)}", remedy)
        else:
            yield Finding("master-key", "ok", f"it opens all {len(keys)} keys of {', '.join(sealed)}")
