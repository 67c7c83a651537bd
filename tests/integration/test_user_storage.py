"""Users, tokens, keys and log-in attempts in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from cloud_functions.db.connect import connect_to
from cloud_functions.db.types import Connection
from cloud_functions.db.users.accounts import (
    NewUser,
    UserTakenError,
    change_own_password,
    create_user,
    find_login,
    find_user,
    list_users,
    record_login,
    set_active,
    set_password,
)
from cloud_functions.db.users.api_keys import (
    ApiKeyRow,
    KeyNameTakenError,
    create_api_key,
    find_api_key,
    record_key_use,
    revoke_api_key,
)
from cloud_functions.db.users.login_attempts import (
    count_attempt,
    delete_expired_attempts,
    forget_attempts,
    take_back_attempt,
)
from cloud_functions.db.users.refresh_tokens import (
    add_refresh_token,
    delete_expired_tokens,
    find_token_user,
    revoke_token,
    revoke_user_tokens,
    use_refresh_token,
)
from cloud_functions.db.users.signing_keys import (
    StoredSigningKey,
    current_signing_key,
    replace_signing_key,
    verification_keys,
)
from tests.support.waiting import eventually

DAY = timedelta(days=1)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect_to(database_url) as opened:
        yield opened


def _user(connection: Connection, username: str = "ana", email: str | None = None) -> UUID:
    user_id = uuid4()
    user = NewUser(id=user_id, username=username, email=email, password_hash="a hash", role="viewer")
    create_user(connection, user)
    return user_id


def _key(connection: Connection, prefix: str, name: str, *, lifetime: timedelta | None = None) -> None:
    scopes = ["events:read"]
    key = ApiKeyRow(id=uuid4(), prefix=prefix, key_hash=b"x" * 32, name=name, scopes=scopes, lifetime=lifetime)
    create_api_key(connection, key)


def _token(connection: Connection, number: int, *, family: UUID, user_id: UUID, lifetime: timedelta = DAY) -> bytes:
    token_hash = bytes([number]) * 32
    add_refresh_token(connection, token_hash, family=family, user_id=user_id, lifetime=lifetime)
    return token_hash


def test_a_user_is_found_by_name_and_by_email_in_any_case(connection: Connection) -> None:
    """Both are unique regardless of case, and an inactive user is found too."""
    user_id = _user(connection, "Ana.B", "Ana@Example.org")
    for login in ("ana.b", "ANA.B", "ana@example.ORG"):
        found = find_login(connection, login)
        assert found is not None
        assert found.id == user_id
    for username, email in (("ANA.B", None), ("other", "ana@example.org")):
        with pytest.raises(UserTakenError):
            _user(connection, username, email)
    set_active(connection, user_id, is_active=False)
    assert [user.is_active for user in list_users(connection)[0]] == [False]
    assert find_user(connection, uuid4()) is None
    assert find_login(connection, "nobody") is None


def test_a_username_cannot_be_an_email(connection: Connection) -> None:
    """Otherwise one user's name could be another user's email."""
    with pytest.raises(psycopg.errors.CheckViolation):
        _user(connection, "ana@example.org")


def test_the_hash_of_a_password_is_in_no_text(connection: Connection) -> None:
    """A user that is logged by mistake shows its name and role only."""
    _user(connection)
    assert "a hash" not in f"{find_login(connection, 'ana')!r}"


def test_a_refresh_token_is_used_once(connection: Connection) -> None:
    """The second use revokes every token of the log-in, and no token of another one."""
    user_id, family, other = _user(connection), uuid4(), uuid4()
    first = _token(connection, 1, family=family, user_id=user_id)
    elsewhere = _token(connection, 3, family=other, user_id=user_id)
    assert use_refresh_token(connection, first) == (family, user_id)
    second = _token(connection, 2, family=family, user_id=user_id)
    assert use_refresh_token(connection, first) is None
    assert use_refresh_token(connection, second) is None
    assert use_refresh_token(connection, elsewhere) == (other, user_id)


def test_an_expired_unknown_or_revoked_refresh_token_is_void(connection: Connection) -> None:
    """Revoking acts on the whole family, or on all tokens of a user."""
    user_id = _user(connection)
    expired = _token(connection, 1, family=uuid4(), user_id=user_id, lifetime=-DAY)
    revoked = _token(connection, 2, family=uuid4(), user_id=user_id)
    revoke_token(connection, revoked)
    of_user = _token(connection, 3, family=uuid4(), user_id=user_id)
    revoke_user_tokens(connection, user_id)
    for token_hash in (expired, revoked, of_user, b"?" * 32):
        assert use_refresh_token(connection, token_hash) is None
    delete_expired_tokens(connection, limit=10)
    assert connection.execute("SELECT count(*) FROM refresh_tokens").fetchone() == (2,)


def test_the_end_of_all_sessions_waits_for_a_token_that_is_being_exchanged(
    connection: Connection, database_url: str
) -> None:
    """Else the new token of the exchange would outlive the change of the password."""
    user_id, family = _user(connection), uuid4()
    first = _token(connection, 1, family=family, user_id=user_id)
    with connect_to(database_url, autocommit=False) as exchange, ThreadPoolExecutor(1) as pool:
        assert use_refresh_token(exchange, first) == (family, user_id)
        second = _token(exchange, 2, family=family, user_id=user_id)
        ending = pool.submit(_end_sessions, database_url, user_id)
        waits = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        eventually(lambda: connection.execute(waits).fetchone() is not None, what="the change of the password waits")
        exchange.commit()
        ending.result(timeout=30)
    assert use_refresh_token(connection, second) is None
    assert find_token_user(connection, user_id, family=family) is None


def _end_sessions(url: str, user_id: UUID) -> None:
    with connect_to(url, autocommit=False) as connection:
        set_password(connection, user_id, "another hash")
        revoke_user_tokens(connection, user_id)


def test_a_password_that_was_checked_counts_while_it_is_the_users(connection: Connection) -> None:
    """A log-in or a change of the password ends if the password was reset, or the user disabled, since the check."""
    user_id = _user(connection)
    checked = find_user(connection, user_id)
    assert checked is not None
    assert record_login(connection, checked)
    set_active(connection, user_id, is_active=False)
    assert not record_login(connection, checked)
    assert not change_own_password(connection, checked, "chosen by the disabled user")
    set_active(connection, user_id, is_active=True)
    set_password(connection, user_id, "reset by an admin")
    assert not record_login(connection, checked)
    assert not change_own_password(connection, checked, "chosen by a thief")
    current = find_user(connection, user_id)
    assert current is not None
    assert current.password_hash == "reset by an admin"
    assert change_own_password(connection, current, "chosen by the user")


def test_an_api_key_ends_when_it_expires_or_is_revoked(connection: Connection) -> None:
    """Names are unique regardless of case, also those of revoked keys."""
    for prefix, name, lifetime in (("aaaaaaaa", "Robot", None), ("bbbbbbbb", "short", -DAY), ("cccccccc", "long", DAY)):
        _key(connection, prefix, name, lifetime=lifetime)
    found = find_api_key(connection, "aaaaaaaa")
    assert found is not None
    assert (found.name, found.scopes, found.groups, found.expires_at) == ("Robot", ["events:read"], None, None)
    assert find_api_key(connection, "bbbbbbbb") is None
    assert find_api_key(connection, "cccccccc") is not None
    record_key_use(connection, found.id)
    assert connection.execute("SELECT count(*) FROM api_keys WHERE last_used IS NOT NULL").fetchone() == (1,)
    assert revoke_api_key(connection, "ROBOT")
    assert not revoke_api_key(connection, "nobody")
    assert find_api_key(connection, "aaaaaaaa") is None
    with pytest.raises(KeyNameTakenError):
        _key(connection, "dddddddd", "robot")


def test_a_retired_signing_key_verifies_for_a_while(connection: Connection) -> None:
    """Only one key signs; a key that was retired longer ago than ``keep`` neither verifies nor stays."""
    assert current_signing_key(connection) is None
    for kid in ("one", "two"):
        key = StoredSigningKey(kid, "EdDSA", kid.encode(), b"private", None)
        replace_signing_key(connection, key, keep=DAY)
    current = current_signing_key(connection)
    assert current is not None
    assert current.kid == "two"
    assert verification_keys(connection, keep=DAY) == {"one": b"one", "two": b"two"}
    connection.execute("UPDATE signing_keys SET retired_at = now() - interval '2 days' WHERE kid = 'one'")
    assert verification_keys(connection, keep=DAY) == {"two": b"two"}
    replace_signing_key(connection, StoredSigningKey("three", "EdDSA", b"3", b"private", None), keep=DAY)
    assert verification_keys(connection, keep=10 * DAY).keys() == {"two", "three"}


def test_attempts_are_counted_in_windows(connection: Connection) -> None:
    """A window that has ended starts again at one; attempts do not make a window longer."""
    counts = [count_attempt(connection, "account:a", window=DAY) for _ in range(3)]
    assert [count.attempts for count in counts] == [1, 2, 3]
    assert all(86_000 < count.window_ends_in_s <= 86_400 for count in counts)
    assert counts == sorted(counts, key=lambda count: -count.window_ends_in_s)
    take_back_attempt(connection, "account:a")
    assert count_attempt(connection, "account:a", window=DAY).attempts == 3
    connection.execute("UPDATE login_attempts SET window_ends = now()")
    assert count_attempt(connection, "account:a", window=DAY).attempts == 1
    forget_attempts(connection, "account:a")
    assert count_attempt(connection, "account:a", window=-DAY).attempts == 1
    delete_expired_attempts(connection, limit=10)
    assert connection.execute("SELECT count(*) FROM login_attempts").fetchone() == (0,)
