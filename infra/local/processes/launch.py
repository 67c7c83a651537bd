"""Becomes a service: drops root, requests a signal at its parent's death, executes the command. Standard library only.

Run by path in a bare interpreter (``python -I -S launch.py …``, 15 ms), because doing this between fork and exec
inside a supervisor that has threads is not safe::

    launch.py PARENT_PID SIGNAL IDENTITY COMMAND …

``IDENTITY`` is ``same``, ``setuid:UID`` or ``userns:UID`` (a user namespace with one user, for folders that only root
may enter).
"""

import ctypes
import os
import sys

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1


def _fail(what: str) -> "None":
    number = ctypes.get_errno()
    sys.stderr.write(f"launch: {what}: {os.strerror(number)}\n")
    sys.exit(126)


def _enter_user_namespace(libc: ctypes.CDLL, uid: int) -> None:
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWUSER) != 0:
        _fail("this system does not allow a user namespace")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {outside_uid} 1"),
        ("gid_map", f"{uid} {outside_gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123  pathlib costs 10 ms here
            file.write(text)


def _become(libc: ctypes.CDLL, identity: str) -> None:
    kind, _, number = identity.partition(":")
    if kind == "setuid":
        os.setgroups([])
        os.setgid(int(number))
        os.setuid(int(number))
    elif kind == "userns":
        _enter_user_namespace(libc, int(number))


def main() -> None:
    parent_pid, death_signal, identity, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    _become(libc, identity)
    if sys.platform == "linux" and libc.prctl(_PR_SET_PDEATHSIG, int(death_signal)) != 0:
        _fail("cannot request a signal at the parent's death")
    if os.getppid() != int(parent_pid):
        sys.exit(0)  # the parent died before the request
    try:
        os.execvp(command[0], command)  # noqa: S606  the purpose of this program
    except OSError as error:
        sys.stderr.write(f"launch: {command[0]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main()
