"""The text of API keys."""

from __future__ import annotations

import re
import zlib

from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.api.security.api_keys import hash_of, new_api_key, prefix_of


def test_a_new_key_has_the_documented_form() -> None:
    """Each key is another one, and names its prefix."""
    keys = [new_api_key() for _ in range(20)]
    assert len({key.text for key in keys}) == len({key.prefix for key in keys}) == 20
    for key in keys:
        assert re.fullmatch(r"vdk_[0-9A-Za-z]{8}_[0-9A-Za-z]{36}", key.text)
        assert prefix_of(key.text) == key.prefix
        assert key.key_hash == hash_of(key.text)
        assert len(key.key_hash) == 32


def test_the_checksum_is_the_crc_of_the_text_before_it() -> None:
    """In base62 with six digits: digits, then upper case, then lower case."""
    start = "vdk_AAAAAAAA_" + "0" * 30
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    crc = zlib.crc32(start.encode())
    checksum = "".join(alphabet[crc // 62**place % 62] for place in range(5, -1, -1))
    assert prefix_of(start + checksum) == "AAAAAAAA"


@given(st.integers(4, 48), st.characters(codec="ascii"))
def test_a_mistyped_key_is_no_key(position: int, character: str) -> None:
    """One changed character anywhere after the start is noticed without a query."""
    key = new_api_key().text
    changed = key[:position] + character + key[position + 1 :]
    assert (prefix_of(changed) is None) == (changed != key)


@given(st.text())
def test_no_other_text_is_a_key(text: str) -> None:
    """Nothing raises."""
    assert prefix_of(text) is None
    assert prefix_of("vdk_" + text) is None
