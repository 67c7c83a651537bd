"""The source of the connection string, and the translation of database and AWS errors."""

from __future__ import annotations

import json
import traceback
from typing import Any

import psycopg
import pytest
from psycopg import errors

from cloud_functions.aws import AwsClients, aws_error
from cloud_functions.db.connect import Database, connector, database_error
from cloud_functions.settings import DatabaseSettings
from shared.errors import ConfigurationError, PermanentError, TransientError


class FakeAwsClients(AwsClients):
    """Replaces Secrets Manager and RDS."""

    def __init__(self, secret: str | Exception = "") -> None:
        super().__init__()
        self._secret = secret
        self.requests: list[dict[str, Any]] = []

    def client(self, service: str, *, endpoint_url: str | None = None) -> Any:
        assert service in {"secretsmanager", "rds"}
        return self

    def get_secret_value(self, **parameters: Any) -> dict[str, str]:
        self.requests.append(parameters)
        if isinstance(self._secret, Exception):
            raise self._secret
        return {"SecretString": self._secret}

    def generate_db_auth_token(self, **parameters: Any) -> str:
        self.requests.append(parameters)
        if isinstance(self._secret, Exception):
            raise self._secret
        return "token"


SECRET = json.dumps({"username": "vedette", "password": "sesame", "host": "127.0.0.1", "port": 1, "dbname": "events"})


def test_the_secret_is_fetched_for_each_connection() -> None:
    """A rotated secret therefore takes effect; errors do not reveal it."""
    aws = FakeAwsClients(SECRET)
    connect = connector(DatabaseSettings(secret_arn="arn:secret", connect_timeout_s=1), aws=aws)
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError, match="port 1 failed") as raised:
            connect()
        assert "sesame" not in str(raised.value)
    assert aws.requests == [{"SecretId": "arn:secret"}] * 2


def test_iam_authentication_requests_a_token_for_the_host_and_user() -> None:
    """The password is a token that is valid for a few minutes."""
    aws = FakeAwsClients()
    settings = DatabaseSettings(
        iam_auth=True, host="127.0.0.1", port=1, name="events", user="vedette", connect_timeout_s=1
    )
    with pytest.raises(psycopg.OperationalError, match="port 1 failed"):
        connector(settings, aws=aws)()
    assert aws.requests == [{"DBHostname": "127.0.0.1", "Port": 1, "DBUsername": "vedette"}]


@pytest.mark.parametrize("secret", ["not json", "{}", "[]", '{"username": "u", "password": "p"}'])
def test_a_secret_of_the_wrong_shape_is_a_configuration_error(secret: str) -> None:
    """The message does not contain the text of the secret."""
    with pytest.raises(ConfigurationError, match="DATABASE_SECRET_ARN") as raised:
        connector(DatabaseSettings(secret_arn="arn"), aws=FakeAwsClients(secret))()
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    "settings", [DatabaseSettings(secret_arn="arn"), DatabaseSettings(iam_auth=True, host="h", name="n", user="u")]
)
def test_an_unavailable_aws_service_is_a_transient_error(settings: DatabaseSettings) -> None:
    """The next invocation can succeed."""
    with pytest.raises(TransientError):
        connector(settings, aws=FakeAwsClients(ConnectionError("no")))()


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://u@127.0.0.1/d?sesame=x", ConfigurationError),
        ("host=127.0.0.1 password='sesame", ConfigurationError),
        ("postgresql://u:sesame@127.0.0.1:1/d", TransientError),
        ("postgresql://u:se/sesame@127.0.0.1:1/d", TransientError),
        ("postgresql://u:x@sesame@127.0.0.1:1/d", TransientError),
        ("postgresql://127.0.0.1:1/d?user=u&password=sesame", TransientError),
    ],
)
def test_no_error_reveals_a_password(url: str, kind: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    """The message, the traceback and the log do not contain it, even if libpq parses the string differently."""
    caplog.set_level("DEBUG", logger="cloud_functions")
    database = Database.from_settings(DatabaseSettings(url=url, connect_timeout_s=1))
    with pytest.raises(kind) as raised, database.transaction():
        pass
    assert "sesame" not in "".join(traceback.format_exception(raised.value))
    assert "sesame" not in caplog.text


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.NumericValueOutOfRange(), PermanentError),
        (errors.UntranslatableCharacter(), PermanentError),
        (errors.CheckViolation(), PermanentError),
        (errors.ProgramLimitExceeded(), PermanentError),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), PermanentError),
        (errors.UndefinedTable(), ConfigurationError),
        (errors.InsufficientPrivilege(), ConfigurationError),
        (errors.InvalidPassword(), ConfigurationError),
        (errors.DeadlockDetected(), TransientError),
        (errors.SerializationFailure(), TransientError),
        (errors.AdminShutdown(), TransientError),
        (errors.QueryCanceled(), TransientError),
        (errors.TooManyConnections(), TransientError),
        (errors.DiskFull(), TransientError),
        (psycopg.OperationalError("server closed the connection"), TransientError),
        (psycopg.InterfaceError(), TransientError),
    ],
)
def test_database_errors_are_translated_by_how_to_react(error: psycopg.Error, kind: type[Exception]) -> None:
    """Only errors about values are permanent, so that only those lead to a dead letter."""
    assert type(database_error(error)) is kind


def test_aws_errors_are_translated_by_how_to_react() -> None:
    """Throttling and server errors are transient; denied requests are permanent."""
    from botocore.exceptions import ClientError

    def client_error(code: str, status: int) -> ClientError:
        return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Publish")  # type: ignore[typeddict-item]

    assert isinstance(aws_error(client_error("Throttling", 400), doing="x"), TransientError)
    assert isinstance(aws_error(client_error("Strange", 503), doing="x"), TransientError)
    assert isinstance(aws_error(client_error("AccessDenied", 403), doing="x"), PermanentError)
    assert "while testing" in str(aws_error(OSError(), doing="testing"))
