"""Hashes of passwords."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cloud_functions.api.security import passwords
from cloud_functions.api.security.passwords import check_password, hash_password


def test_the_hash_has_the_documented_parameters() -> None:
    """Argon2id with 19 MiB and two passes, and another salt for each hash."""
    one, other = hash_password("correct horse"), hash_password("correct horse")
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert one != other
    assert "correct" not in one


@pytest.mark.parametrize("password", ["correct horse", "grüße 🚗", "\x00", "\ud800", "x" * 1000])
def test_only_the_password_itself_is_accepted(password: str) -> None:
    """Any text is a password, and none raises."""
    password_hash = hash_password(password)
    assert check_password(password, password_hash)
    assert not check_password(password + " ", password_hash)
    assert not check_password("", password_hash)


def test_composed_and_decomposed_accents_are_the_same_password() -> None:
    """macOS and Windows compose them differently."""
    assert check_password("u\u0308ber-lange", hash_password("\u00fcber-lange"))


def test_a_user_who_does_not_exist_costs_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash with the same parameters is verified, so that the time reveals nothing; the result is False."""
    verified: list[str] = []
    make = passwords._hasher

    class Recorder:
        def verify(self, password_hash: str, password: bytes) -> bool:
            verified.append(password_hash)
            return make().verify(password_hash, password)

    monkeypatch.setattr(passwords, "_hasher", Recorder)
    assert not check_password("anything", None)
    assert [text.rpartition("$")[0].rpartition("$")[0] for text in verified] == ["$argon2id$v=19$m=19456,t=2,p=1"]


@pytest.mark.parametrize("password_hash", ["", "x", "$argon2id$v=19$m=19456,t=2,p=1$AAAA"])
def test_a_damaged_hash_accepts_nothing(password_hash: str) -> None:
    """It is a wrong password, not an internal error."""
    assert not check_password("anything", password_hash)


def test_importing_the_api_imports_neither_argon2_nor_jwt() -> None:
    """A cold start without a log-in does not pay for them."""
    code = "import sys, cloud_functions.api.wiring; print([n for n in ('argon2', 'jwt') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
