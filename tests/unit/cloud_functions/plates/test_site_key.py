"""Sealing and tokens: what was sealed comes back, and nothing else does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.plates.site_key import SiteKey, is_token, sealed_under
from cloud_functions.privacy.sealing import open_dead_letter, readable_snapshot, seal_data, token_in
from cloud_functions.privacy.vault import PlateVault
from shared.errors import ConfigurationError, ContractError, PermanentError
from shared.plates import normalize_plate

EVENT = "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"
OTHER_EVENT = "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f12"
PLATES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=16)
DATA_KEYS = st.binary(min_size=32, max_size=32)


def site_key(*, key_id: int = 7, site_id: str = "hq", data_key: bytes = b"k" * 32) -> SiteKey:
    return SiteKey(key_id=key_id, site_id=site_id, data_key=data_key)


def anpr_data(plate: str, **fields: Any) -> dict[str, Any]:
    result = {"license_plate": plate, "confidence": 0.9, "region": "de"}
    return {"anpr_result": result, "plate_normalized": normalize_plate(plate)} | fields


@given(st.text().map(json.dumps), DATA_KEYS, st.integers(1, 2**63 - 1))
def test_what_is_sealed_comes_back(text: str, data_key: bytes, key_id: int) -> None:
    """Any JSON text, any key; the number of the key can be read without it."""
    key = site_key(key_id=key_id, data_key=data_key)
    sealed = key.seal(text, event_id=EVENT, token="~t")
    assert key.open(sealed, event_id=EVENT, token="~t") == text
    assert sealed_under(sealed) == key_id


@given(PLATES)
def test_the_same_twice_looks_different(plate: str) -> None:
    """Each seal uses a new nonce: equal texts cannot be distinguished from unequal ones of similar length."""
    key = site_key()
    first, second = (key.seal(json.dumps(plate), event_id=EVENT, token="~t") for _ in range(2))
    assert first != second
    assert plate.encode() not in first or len(plate) < 3
    assert len(first) == len(key.seal('"A"', event_id=EVENT, token="~t"))


@given(st.data())
def test_a_changed_byte_is_noticed(data: st.DataObject) -> None:
    """Wherever it is: in the head, the nonce, the text or the tag."""
    key = site_key()
    sealed = bytearray(key.seal('{"a":1}', event_id=EVENT, token="~t"))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PermanentError):
        key.open(bytes(sealed), event_id=EVENT, token="~t")


@given(st.integers(0, 200))
def test_a_cut_is_noticed(length: int) -> None:
    """Nor does anything shorter open."""
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
def test_it_opens_nowhere_else(opener: SiteKey, event_id: str, token: str) -> None:
    """Sealed data is bound to its row: it cannot be decrypted for another one, and the error reveals neither plate."""
    sealed = site_key().seal('{"plate":"GQ777ZX"}', event_id=EVENT, token="~t")
    with pytest.raises(PermanentError) as refused:
        opener.open(sealed, event_id=event_id, token=token)
    assert "GQ777ZX" not in str(refused.value)


@given(PLATES, PLATES)
def test_tokens_are_equal_where_plates_are(one: str, other: str) -> None:
    """At one site under one key; nowhere else."""
    token = site_key().token(one)
    assert is_token(token)
    assert not is_token(one)
    assert (token == site_key().token(other)) == (one == other)
    assert token not in {site_key(site_id="yard").token(one), site_key(data_key=b"j" * 32).token(one)}
    assert token > "Z" * 16  # after every plate, so that no prefix takes it in


def test_a_key_of_another_length_is_none() -> None:
    """A key that was cut must not be used."""
    with pytest.raises(PermanentError, match="31 bytes"):
        site_key(data_key=b"k" * 31)


TEXTS = st.text("AZ09 -.x", max_size=12)


@given(
    st.text("AZ09", min_size=4, max_size=8),
    st.dictionaries(
        st.sampled_from(["roi", "host", "track_uid", "direction", "plate_image_key", "newer", "region"]),
        st.sampled_from(["before {} after", "{}", "<{}>", "none of it"]),
    ),
)
def test_nothing_readable_reveals_the_plate(plate: str, texts: dict[str, str]) -> None:
    """Wherever a device put it, spaced and cased as it likes; the sealed part holds all of it."""
    spaced = "-".join(plate).lower()
    data = anpr_data(spaced, candidates=[{"text": plate, "confidence": 1}], vehicle={"type": spaced, "vin": plate})
    data |= {name: text.format(spaced) for name, text in texts.items()}
    key = site_key()
    sealed = seal_data(key, json.dumps(data), event_id=EVENT)
    assert plate not in normalize_plate(sealed.readable_json.replace(sealed.token, ""))
    assert token_in(sealed.readable_json) == sealed.token == key.token(plate)
    assert json.loads(key.open(sealed.sealed, event_id=EVENT, token=sealed.token)) == data


def test_what_is_harmless_stays_readable() -> None:
    """Filters, statistics and a person need it: confidence, region, boxes, vehicle, passage."""
    box = {"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4}
    data = anpr_data(
        "GQ 777 ZX",
        plate_box=box | {"shape": "GQ777ZX"},
        vehicle_box=None,
        track_id=7,
        track_uid="camera-1-7",
        vehicle={"type": "car", "make": None, "model": "Logan", "color": "blue", "owner": "GQ777ZX"},
        direction="in",
        reads=5,
        quality_score=0.8,
        latency_ms=412.5,
        host="box-7",
        roi={"GQ777ZX": 1},
    )
    sealed = seal_data(site_key(), json.dumps(data), event_id=EVENT)
    assert json.loads(sealed.readable_json) == {
        "anpr_result": {"license_plate": None, "confidence": 0.9, "region": "de"},
        "plate_normalized": sealed.token,
        "plate_protected": True,
        "candidates": [],
        "plate_box": box,
        "vehicle_box": None,
        "vehicle": {"type": "car", "make": None, "model": "Logan", "color": "blue"},
        "track_id": 7,
        "track_uid": "camera-1-7",
        "direction": "in",
        "reads": 5,
        "quality_score": 0.8,
        "latency_ms": 412.5,
        "host": "box-7",
        "roi": None,
    }


def test_a_short_plate_takes_nothing_else_along() -> None:
    """``A1`` is in many a text by chance."""
    sealed = seal_data(site_key(), json.dumps(anpr_data("A1", track_uid="camera-1-7")), event_id=EVENT)
    assert json.loads(sealed.readable_json)["track_uid"] == "camera-1-7"


def test_a_snapshot_keeps_its_known_fields() -> None:
    """What a device may have added to the reference is not for a table."""
    assert json.loads(readable_snapshot('{"key": "k", "bytes": 3, "shows": "GQ777ZX"}')) == {"key": "k", "bytes": 3}


def test_an_open_plate_has_no_token() -> None:
    """Only data that says that it is protected is taken for it."""
    assert token_in(json.dumps(anpr_data("GQ 777 ZX"))) is None
    assert token_in('{"plate_protected": true, "plate_normalized": "GQ777ZX"}') is None
    assert token_in('{"note": "\\"plate_protected\\""}') is None


@pytest.mark.parametrize("letter", ["", "[]", "{}", '{"letter": "a", "sealed": "%"}', "null"])
def test_what_is_no_letter_is_said_to_be_none(letter: str) -> None:
    """A person may have copied half of it."""
    with pytest.raises(ContractError):
        open_dead_letter(letter, PlateVault())


def test_a_vault_without_anything_protects_nothing() -> None:
    """A deployment that knows nothing of protection: no tokens, no keys, and a clear word where one is needed."""
    vault = PlateVault()
    assert (vault.protects("hq"), vault.tokens("GQ777ZX"), vault.has_keys, vault.can_seal) == (False, [], False, False)
    with pytest.raises(ConfigurationError, match="vedette-plates protect hq"):
        vault.key_of("hq")
    assert vault.open(site_key().seal("1", event_id=EVENT, token="~t"), event_id=EVENT, token="~t") is None
