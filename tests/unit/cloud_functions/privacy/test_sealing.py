"""Sealed ``anpr`` events and dead letters: the readable part, and the vault without keys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.plates.site_key import SiteKey
from cloud_functions.privacy.sealing import open_dead_letter, readable_snapshot, seal_data, token_in
from cloud_functions.privacy.vault import PlateVault
from shared.errors import ConfigurationError, ContractError
from shared.plates import normalize_plate

EVENT = "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"


def site_key() -> SiteKey:
    return SiteKey(key_id=7, site_id="hq", data_key=b"k" * 32)


def anpr_data(plate: str, **fields: Any) -> dict[str, Any]:
    result = {"license_plate": plate, "confidence": 0.9, "region": "de"}
    return {"anpr_result": result, "plate_normalized": normalize_plate(plate)} | fields


@given(
    st.text("AZ09", min_size=4, max_size=8),
    st.dictionaries(
        st.sampled_from(["roi", "host", "track_uid", "direction", "plate_image_key", "newer", "region"]),
        st.sampled_from(["before {} after", "{}", "<{}>", "none of it"]),
    ),
)
def test_the_readable_part_does_not_reveal_the_plate(plate: str, texts: dict[str, str]) -> None:
    """In any field and with any separators and case; the sealed part has all fields."""
    spaced = "-".join(plate).lower()
    data = anpr_data(spaced, candidates=[{"text": plate, "confidence": 1}], vehicle={"type": spaced, "vin": plate})
    data |= {name: text.format(spaced) for name, text in texts.items()}
    key = site_key()
    sealed = seal_data(key, json.dumps(data), event_id=EVENT)
    assert plate not in normalize_plate(sealed.readable_json.replace(sealed.token, ""))
    assert token_in(sealed.readable_json) == sealed.token == key.token(plate)
    assert json.loads(key.open(sealed.sealed, event_id=EVENT, token=sealed.token)) == data


def test_fields_without_a_plate_stay_readable() -> None:
    """Filters and statistics need confidence, region, boxes, vehicle and track."""
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


def test_a_short_plate_is_not_searched_for_in_other_texts() -> None:
    """Other texts contain ``A1`` by chance."""
    sealed = seal_data(site_key(), json.dumps(anpr_data("A1", track_uid="camera-1-7")), event_id=EVENT)
    assert json.loads(sealed.readable_json)["track_uid"] == "camera-1-7"


def test_a_snapshot_keeps_its_known_fields() -> None:
    """Fields that a device added to the reference are not stored."""
    assert json.loads(readable_snapshot('{"key": "k", "bytes": 3, "shows": "GQ777ZX"}')) == {"key": "k", "bytes": 3}


def test_an_unprotected_plate_has_no_token() -> None:
    """Only data that is marked as protected has a token."""
    assert token_in(json.dumps(anpr_data("GQ 777 ZX"))) is None
    assert token_in('{"plate_protected": true, "plate_normalized": "GQ777ZX"}') is None
    assert token_in('{"note": "\\"plate_protected\\""}') is None


@pytest.mark.parametrize("letter", ["", "[]", "{}", '{"letter": "a", "sealed": "%"}', "null"])
def test_text_that_is_not_a_dead_letter_is_a_contract_error(letter: str) -> None:
    """An operator may have copied a part of it."""
    with pytest.raises(ContractError):
        open_dead_letter(letter, PlateVault())


def test_an_empty_vault_protects_nothing() -> None:
    """It has no tokens and no keys, and the error for a missing key names the command that creates one."""
    vault = PlateVault()
    assert (vault.protects("hq"), vault.tokens("GQ777ZX"), vault.has_keys, vault.can_seal) == (False, [], False, False)
    with pytest.raises(ConfigurationError, match="vedette-plates protect hq"):
        vault.key_of("hq")
    assert vault.open(site_key().seal("1", event_id=EVENT, token="~t"), event_id=EVENT, token="~t") is None
