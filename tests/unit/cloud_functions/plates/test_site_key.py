"""Site keys: encryption bound to a row, and tokens."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.plates.site_key import SiteKey, is_token, sealed_under
from shared.errors import PermanentError

EVENT = "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"
OTHER_EVENT = "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f12"
PLATES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=16)
DATA_KEYS = st.binary(min_size=32, max_size=32)


def site_key(*, key_id: int = 7, site_id: str = "hq", data_key: bytes = b"k" * 32) -> SiteKey:
    return SiteKey(key_id=key_id, site_id=site_id, data_key=data_key)


@given(st.text().map(json.dumps), DATA_KEYS, st.integers(1, 2**63 - 1))
def test_sealed_text_can_be_opened(text: str, data_key: bytes, key_id: int) -> None:
    """For any JSON text and any key; the id of the key can be read without the key."""
    key = site_key(key_id=key_id, data_key=data_key)
    sealed = key.seal(text, event_id=EVENT, token="~t")
    assert key.open(sealed, event_id=EVENT, token="~t") == text
    assert sealed_under(sealed) == key_id


@given(PLATES)
def test_the_same_text_is_sealed_differently_each_time(plate: str) -> None:
    """Each seal uses a new nonce: equal texts cannot be distinguished from unequal ones of similar length."""
    key = site_key()
    first, second = (key.seal(json.dumps(plate), event_id=EVENT, token="~t") for _ in range(2))
    assert first != second
    assert plate.encode() not in first or len(plate) < 3
    assert len(first) == len(key.seal('"A"', event_id=EVENT, token="~t"))


@given(st.data())
def test_a_changed_byte_is_detected(data: st.DataObject) -> None:
    """In the header, the nonce, the text or the tag."""
    key = site_key()
    sealed = bytearray(key.seal('{"a":1}', event_id=EVENT, token="~t"))
    index = data.draw(st.integers(0, len(sealed) - 1))
    sealed[index] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PermanentError):
        key.open(bytes(sealed), event_id=EVENT, token="~t")


@given(st.integers(0, 200))
def test_truncated_data_is_detected(length: int) -> None:
    """No prefix of sealed data can be opened."""
    key = site_key()
    sealed = key.seal('{"a":1}', event_id=EVENT, token="~t")
    with pytest.raises(PermanentError):
        key.open(sealed[: min(length, len(sealed) - 1)], event_id=EVENT, token="~t")


@pytest.mark.parametrize(
    ("opener", "event_id", "token"),
    [
        (site_key(), OTHER_EVENT, "~t"),
        (site_key(), EVENT, "~u"),
        (site_key(site_id="yard"), EVENT, "~t"),
        (site_key(data_key=b"j" * 32), EVENT, "~t"),
    ],
    ids=["another event", "another token", "another site", "another key"],
)
def test_sealed_data_is_bound_to_its_row(opener: SiteKey, event_id: str, token: str) -> None:
    """It cannot be decrypted for another event, token, site or key, and the error does not reveal the plate."""
    sealed = site_key().seal('{"plate":"GQ777ZX"}', event_id=EVENT, token="~t")
    with pytest.raises(PermanentError) as raised:
        opener.open(sealed, event_id=event_id, token=token)
    assert "GQ777ZX" not in str(raised.value)


@given(PLATES, PLATES)
def test_tokens_are_equal_if_and_only_if_plates_are(one: str, other: str) -> None:
    """For one site and one key. Other sites and keys give other tokens."""
    token = site_key().token(one)
    assert is_token(token)
    assert not is_token(one)
    assert (token == site_key().token(other)) == (one == other)
    assert token not in {site_key(site_id="yard").token(one), site_key(data_key=b"j" * 32).token(one)}
    assert token > "Z" * 16  # sorts after every plate, so that no prefix range includes it


def test_a_key_of_another_length_is_rejected() -> None:
    """A truncated key must not be used."""
    with pytest.raises(PermanentError, match="31 bytes"):
        site_key(data_key=b"k" * 31)
