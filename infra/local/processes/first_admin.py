"""The admin of a new stack, on its way from the process that creates it to the command that shows its password."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """The user that was created. No repr of the password, so that it is in no log."""

    username: str
    password: str = field(repr=False)


def write_admin(admin: FirstAdmin | None, descriptor: int) -> None:
    """Write the admin to a pipe and close it: the way from the supervisor to the command that shows the password."""
    content = {} if admin is None else {"username": admin.username, "password": admin.password}
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as pipe:
            json.dump(content, pipe)
    except BrokenPipeError:
        if admin is not None:
            log.warning("nobody read the password of %s: set another with vedette-admin user reset", admin.username)


def read_admin(descriptor: int) -> FirstAdmin | None:
    """Read what ``write_admin`` wrote, and close the pipe; None if there was no admin or the writer ended before."""
    with os.fdopen(descriptor, encoding="utf-8") as pipe:
        text = pipe.read()
    content = json.loads(text) if text else {}
    return FirstAdmin(**content) if content else None
