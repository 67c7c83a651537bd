"""One database connection per execution environment: opened on first use, replaced when it fails or becomes too old.

Works behind RDS Proxy and pgbouncer in transaction mode: no prepared statements, no session settings (each transaction
sets its own timeouts). Outside ``Database.transaction``, every statement commits by itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, LiteralString, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from shared.errors import ConfigurationError, PermanentError, TransientError, VedetteError
from shared.redact import redact

if TYPE_CHECKING:
    from cloud_functions.aws import AwsClients
    from cloud_functions.settings import DatabaseSettings

_BAD_DATA: Final = ("21", "22", "23", "54")
"""SQLSTATE classes for invalid values: cardinality, data, integrity, a limit exceeded."""
_BAD_SETUP: Final = ("28", "3D", "3F", "42")
"""SQLSTATE classes for a wrong installation: login, database, schema, missing table or privilege."""
_CONNECTION_IS_FINE: Final = ("21", "22", "23", "40", "42", "54", "55P03", "57014", "P0", "VD")
"""SQLSTATEs after which the connection is kept: the cause is a value, the statement, a lock or a time limit.

After any other error (read-only after a failover, shutdown, protocol or internal errors, no SQLSTATE) it is closed.
"""
_CONNECT_TIMEOUT_S: Final = 5
_KEEPALIVE_IDLE_S: Final = 30
_TCP_USER_TIMEOUT_MS: Final = 30_000
_KEEPALIVES_INTERVAL_S: Final = 10
_KEEPALIVES_COUNT: Final = 3

Connect = Callable[[], psycopg.Connection[Any]]


class ConnectionLostError(TransientError):
    """The connection was closed, or none could be opened; the same block may succeed at once on a new connection."""


class LockedError(TransientError):
    """Another session held a lock for longer than the lock timeout; nothing was changed."""


class Database:
    """The execution environment's connection. Not thread-safe."""

    def __init__(
        self,
        *,
        connect: Connect,
        statement_timeout_ms: int = 0,
        idle_in_transaction_timeout_ms: int = 0,
        max_age_s: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``connect`` opens an autocommit connection; with a timeout of 0, the server's default applies.

        A connection older than ``max_age_s`` is replaced before the next transaction; 0 disables this.
        """
        self._connect = connect
        self._begin: LiteralString = begin_statement(
            statement_timeout_ms=statement_timeout_ms, idle_in_transaction_timeout_ms=idle_in_transaction_timeout_ms
        )
        self._max_age_s = max_age_s
        self._monotonic = monotonic
        self._opened_s = 0.0
        self._connection: psycopg.Connection[Any] | None = None

    @classmethod
    def from_settings(cls, settings: DatabaseSettings, *, aws: AwsClients | None = None) -> Database:
        """Create a database from settings; does not connect yet."""
        return cls(
            connect=connector(settings, aws=aws),
            statement_timeout_ms=settings.statement_timeout_ms,
            idle_in_transaction_timeout_ms=settings.idle_in_transaction_timeout_ms,
            max_age_s=settings.connection_max_age_s,
        )

    @contextmanager
    def transaction(self) -> Generator[psycopg.Connection[Any]]:
        """Run the block in one transaction: committed at its end, rolled back when it raises.

        A connection that may have caused an error is closed; the next transaction opens a new one.

        Raises:
            TransientError: the server is unreachable, busy, read-only or shutting down; a retry may succeed.
            PermanentError: the values can never be stored.
            ConfigurationError: the schema or a privilege is missing, or the connection string is invalid.
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
            if not leaves_connection_usable(error):
                self.close()
            raise transaction_error(error) from error

    @contextmanager
    def session(self) -> Generator[psycopg.Connection[Any]]:
        """Open a connection of its own for statements that cannot run in a transaction; it is closed at the end.

        Every statement commits by itself, without the time limits of transactions. Raises as ``transaction`` does.
        """
        try:
            connection = self._connect()
            try:
                yield connection
            finally:
                connection.close()
        except psycopg.Error as error:
            raise transaction_error(error) from error

    def close(self) -> None:
        """Close the connection; the next use opens a new one."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _open(self) -> psycopg.Connection[Any]:
        if self._max_age_s and self._monotonic() - self._opened_s > self._max_age_s:
            self.close()
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            self._opened_s = self._monotonic()
        return self._connection

    def _start(self) -> psycopg.Connection[Any]:
        fresh = self._connection is None
        connection = self._open()
        try:
            connection.execute(self._begin)
        except psycopg.OperationalError:
            # The server or the pooler closed the connection while this environment was idle. Nothing has been sent on
            # it, so retry on a new connection. The error of a new connection is raised.
            if fresh:
                raise
            self.close()
            connection = self._open()
            connection.execute(self._begin)
        return connection

    def _roll_back(self, connection: psycopg.Connection[Any]) -> None:
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:
            self.close()
        else:
            if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                self.close()  # interrupted in the middle of a statement


def begin_statement(*, statement_timeout_ms: int, idle_in_transaction_timeout_ms: int) -> LiteralString:
    """Return the statements that begin a transaction and set its time limits; the limits end with the transaction."""
    begin: LiteralString = "BEGIN"
    for name, timeout_ms in _timeouts(statement_timeout_ms, idle_in_transaction_timeout_ms):
        begin = f"{begin}; SET LOCAL {name} = {cast('LiteralString', str(int(timeout_ms)))}"
    return begin


def _timeouts(statement_ms: int, idle_ms: int) -> list[tuple[LiteralString, int]]:
    chosen: list[tuple[LiteralString, int]] = [
        ("statement_timeout", statement_ms),
        ("idle_in_transaction_session_timeout", idle_ms),
    ]
    return [(name, timeout_ms) for name, timeout_ms in chosen if timeout_ms]


def leaves_connection_usable(error: psycopg.Error) -> bool:
    """Return whether a connection can still do its work after this error; an open socket is not enough."""
    return error.sqlstate is not None and error.sqlstate.startswith(_CONNECTION_IS_FINE)


def transaction_error(error: psycopg.Error) -> VedetteError:
    """Translate an error as ``database_error`` does; ConnectionLostError if a new connection may be enough."""
    translated = database_error(error)
    if isinstance(translated, TransientError) and not leaves_connection_usable(error):
        return ConnectionLostError(str(translated))
    return translated


def connector(settings: DatabaseSettings, *, aws: AwsClients | None = None) -> Connect:
    """Return a function that opens a connection by the settings and fetches the secret or token on each call.

    Fetching it on each call supports the rotation of secrets; connections are few and long-lived.
    """
    if settings.url is None and aws is None:
        from cloud_functions.aws import AwsClients

        aws = AwsClients()  # one, whose clients serve every call
    return lambda: _connect(connection_string(settings, aws=aws), settings)


def connection_string(settings: DatabaseSettings, *, aws: AwsClients | None = None) -> str:
    """Return the connection string, with the secret or token of the moment.

    Raises:
        TransientError, PermanentError: the secret cannot be read, or no token be made.
        ConfigurationError: the secret has another form.
    """
    if settings.url is not None:
        return settings.url
    from cloud_functions.aws import AwsClients

    clients = aws or AwsClients()
    return _from_secret(settings, clients) if settings.secret_arn is not None else _with_token(settings, clients)


def _connect(conninfo: str, settings: DatabaseSettings) -> psycopg.Connection[Any]:
    connection = connect_to(
        conninfo,
        connect_timeout_s=settings.connect_timeout_s,
        keepalive_idle_s=settings.keepalive_idle_s,
        tcp_user_timeout_ms=settings.tcp_user_timeout_ms,
    )
    if settings.idle_session_timeout_s:  # the server's limit: a frozen process closes nothing
        connection.execute(
            "SELECT set_config('idle_session_timeout', %s, false)", [f"{settings.idle_session_timeout_s}s"]
        )
    return connection


def connect_to(
    conninfo: str,
    *,
    connect_timeout_s: int = _CONNECT_TIMEOUT_S,
    keepalive_idle_s: int = _KEEPALIVE_IDLE_S,
    tcp_user_timeout_ms: int = _TCP_USER_TIMEOUT_MS,
    application_name: str = "vedette",
    autocommit: bool = True,
) -> psycopg.Connection[Any]:
    """Open a connection. Parameters in the connection string take precedence over the arguments.

    With several hosts, it connects to the one that accepts writes (``target_session_attrs=read-write``).

    Raises:
        ConfigurationError: the text is not a connection string.
        TransientError: the server cannot be reached, and the reason would reveal parts of the password.
        psycopg.OperationalError: the server cannot be reached or rejects the connection.
    """
    try:
        given = conninfo_to_dict(conninfo)
        defaults = connection_defaults(
            connect_timeout_s=connect_timeout_s,
            keepalive_idle_s=keepalive_idle_s,
            tcp_user_timeout_ms=tcp_user_timeout_ms,
            application_name=application_name,
        )
        if "," in str(given.get("host") or given.get("hostaddr") or ""):
            defaults["target_session_attrs"] = "read-write"
        return psycopg.connect(
            make_conninfo("", **{**defaults, **{name: value for name, value in given.items() if value is not None}}),
            autocommit=autocommit,
            prepare_threshold=None,
        )
    except psycopg.ProgrammingError:
        # libpq's message quotes the string with its password.
        raise ConfigurationError("DATABASE_URL is not a PostgreSQL connection string") from None
    except psycopg.OperationalError as error:
        # With an unescaped @, / or : in a password, libpq takes parts of it for a host or a port and quotes them.
        if any(piece in str(error) for piece in _secret_pieces(conninfo)):
            message = (
                "the database cannot be reached; the reason is hidden because it contains part of the password."
                " Percent-encode special characters in the password"
            )
            raise TransientError(message) from None
        raise


def connection_defaults(
    *,
    connect_timeout_s: int = _CONNECT_TIMEOUT_S,
    keepalive_idle_s: int = _KEEPALIVE_IDLE_S,
    tcp_user_timeout_ms: int = _TCP_USER_TIMEOUT_MS,
    application_name: str,
) -> dict[str, Any]:
    """Return the parameters of libpq with which connections are opened unless their connection string has others."""
    return {
        "connect_timeout": connect_timeout_s,
        "application_name": application_name,
        "keepalives": int(keepalive_idle_s > 0),
        "keepalives_idle": keepalive_idle_s,
        "keepalives_interval": _KEEPALIVES_INTERVAL_S,
        "keepalives_count": _KEEPALIVES_COUNT,
        "tcp_user_timeout": tcp_user_timeout_ms,
    }


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
            sslrootcert=settings.ssl_root_cert,
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
        raise aws_error(error, doing="creating a database login token") from error
    return make_conninfo(
        "",
        host=settings.host,
        port=settings.port,
        dbname=settings.name,
        user=settings.user,
        password=token,
        sslmode=settings.ssl_mode,
        sslrootcert=settings.ssl_root_cert,
    )


def database_error(error: psycopg.Error) -> VedetteError:
    """Translate a psycopg error to the error class by which the caller reacts; quotes no values and no credentials."""
    state = error.sqlstate or ""
    text = redact((error.diag.message_primary or str(error) or type(error).__name__).splitlines()[0])
    is_unsendable = not state and isinstance(error, psycopg.DataError)  # such as a NUL in a text
    if state.startswith(_BAD_DATA) or is_unsendable:
        return PermanentError(f"the database rejects these values ({state or 'not sent'}): {type(error).__name__}")
    if state == "42501":
        return ConfigurationError(f"the database user lacks a privilege ({state}): {text}")
    if state.startswith(_BAD_SETUP):
        return ConfigurationError(f"the database does not have the expected schema ({state}): {text}; is it migrated?")
    if state == "55P03":
        return LockedError(f"another session holds a lock ({state}): {text}")
    return TransientError(f"the database is unreachable or busy ({state or type(error).__name__}): {text}")
