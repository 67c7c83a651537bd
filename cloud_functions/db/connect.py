"""One connection per execution environment: opened when first needed, opened again when broken.

Safe behind RDS Proxy and pgbouncer in transaction mode: nothing is prepared on the server, no session setting is
relied on (the statement timeout is set inside each transaction), and outside ``Database.transaction`` every statement
commits by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, LiteralString, cast

import psycopg
from psycopg.conninfo import make_conninfo

from shared.errors import ConfigurationError, PermanentError, TransientError, VedetteError
from shared.redact import redact

if TYPE_CHECKING:
    from cloud_functions.aws import AwsClients
    from cloud_functions.settings import DatabaseSettings

_BAD_DATA: Final = ("21", "22", "23", "54")
"""SQLSTATE classes that blame the values: cardinality, data, integrity, a limit exceeded."""
_BAD_SETUP: Final = ("28", "3D", "3F", "42")
"""SQLSTATE classes that blame the installation: log-in, database, schema, missing table or right."""

Connect = Callable[[], psycopg.Connection[Any]]


class Database:
    """The execution environment's one connection. Not for use by two threads at a time."""

    def __init__(self, *, connect: Connect, statement_timeout_ms: int = 0) -> None:
        """``connect`` opens an autocommit connection; a timeout of 0 leaves the server's own."""
        self._connect = connect
        self._begin: LiteralString = "BEGIN"
        if statement_timeout_ms:
            timeout = cast("LiteralString", str(int(statement_timeout_ms)))
            self._begin = f"BEGIN; SET LOCAL statement_timeout = {timeout}"
        self._connection: psycopg.Connection[Any] | None = None

    @classmethod
    def from_settings(cls, settings: DatabaseSettings, *, aws: AwsClients | None = None) -> Database:
        """Wire a database from settings; opens nothing yet."""
        return cls(connect=connector(settings, aws=aws), statement_timeout_ms=settings.statement_timeout_ms)

    @contextmanager
    def transaction(self) -> Generator[psycopg.Connection[Any]]:
        """Run the block in one transaction: committed at its end, rolled back when it raises.

        Raises:
            TransientError: the server is away, busy or shutting down; the same block may work later.
            PermanentError: the values can never be stored.
            ConfigurationError: the schema or a right is missing, or the connection string is wrong.
        """
        try:
            connection = self._start()
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                self._roll_back(connection)
                raise
        except psycopg.Error as error:
            if self._connection is not None and self._connection.closed:
                self.close()
            raise database_error(error) from error

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        return self._connection

    def _start(self) -> psycopg.Connection[Any]:
        connection = self._open()
        try:
            connection.execute(self._begin)
        except psycopg.OperationalError:
            if not connection.closed:
                raise
            # The server hung up while this environment slept; nothing was asked of it yet, so ask another connection.
            connection = self._open()
            connection.execute(self._begin)
        return connection

    def _roll_back(self, connection: psycopg.Connection[Any]) -> None:
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:
            self.close()


def connector(settings: DatabaseSettings, *, aws: AwsClients | None = None) -> Connect:
    """Return what opens a connection as the settings say, asking for a secret or token only then, and each time.

    Asking each time survives the rotation of a secret: connections are few and long.
    """
    if settings.url is not None:
        url = settings.url
        return lambda: _connect(url, settings)
    from cloud_functions.aws import AwsClients

    clients = aws or AwsClients()
    if settings.secret_arn is not None:
        return lambda: _connect(_from_secret(settings, clients), settings)
    return lambda: _connect(_with_token(settings, clients), settings)


def _connect(conninfo: str, settings: DatabaseSettings) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(
            conninfo,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=settings.connect_timeout_s,
            application_name="vedette",
        )
    except psycopg.ProgrammingError:
        # libpq quotes the string that it could not read, password and all.
        raise ConfigurationError("DATABASE_URL is not a PostgreSQL connection string") from None
    except psycopg.OperationalError as error:
        # An unescaped @, / or : in a password makes libpq take parts of it for a host or a port, and say so.
        if any(piece in str(error) for piece in _secret_pieces(conninfo)):
            message = (
                "the database cannot be reached, and why would tell part of its password: escape what is special in it"
            )
            raise TransientError(message) from None
        raise


def _secret_pieces(conninfo: str) -> list[str]:
    userinfo = conninfo.partition("://")[2].rpartition("@")[0]
    pieces = re.split(r"[:@/?#]", userinfo)[1:]
    return [piece for piece in pieces if len(piece) > 2]


def _from_secret(settings: DatabaseSettings, aws: AwsClients) -> str:
    import json

    from cloud_functions.aws import aws_error

    try:
        answer = aws.client("secretsmanager").get_secret_value(SecretId=settings.secret_arn)
    except Exception as error:
        raise aws_error(error, doing="reading DATABASE_SECRET_ARN") from error
    try:
        secret: dict[str, Any] = json.loads(answer["SecretString"])
        return make_conninfo(
            "",
            host=settings.host or secret["host"],
            port=secret.get("port", settings.port),
            dbname=settings.name or secret.get("dbname") or secret.get("database") or "postgres",
            user=secret["username"],
            password=secret["password"],
            sslmode=settings.ssl_mode,
        )
    except (KeyError, TypeError, ValueError):
        raise ConfigurationError(
            "the secret in DATABASE_SECRET_ARN must be JSON with username and password,"
            " and with host unless DATABASE_HOST is set"
        ) from None


def _with_token(settings: DatabaseSettings, aws: AwsClients) -> str:
    from cloud_functions.aws import aws_error

    try:
        token = aws.client("rds").generate_db_auth_token(
            DBHostname=settings.host, Port=settings.port, DBUsername=settings.user
        )
    except Exception as error:
        raise aws_error(error, doing="making a database log-in token") from error
    return make_conninfo(
        "",
        host=settings.host,
        port=settings.port,
        dbname=settings.name,
        user=settings.user,
        password=token,
        sslmode=settings.ssl_mode,
    )


def database_error(error: psycopg.Error) -> VedetteError:
    """Sort what psycopg raised by what the caller does about it; quotes no values and no credentials."""
    state = error.sqlstate or ""
    said = redact((error.diag.message_primary or str(error) or type(error).__name__).splitlines()[0])
    if state.startswith(_BAD_DATA):
        return PermanentError(f"the database cannot hold this ({state}): {type(error).__name__}")
    if state.startswith(_BAD_SETUP):
        return ConfigurationError(f"the database is not as this code needs it ({state}): {said}; is it migrated?")
    return TransientError(f"the database is away or busy ({state or type(error).__name__}): {said}")
