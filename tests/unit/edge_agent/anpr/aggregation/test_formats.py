"""Plausible texts of plates, and their regions."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_agent.anpr.aggregation.formats import FORMATS, GROUPS, PlateRules, expand, guess_region, matching_regions
from edge_agent.anpr.settings import PlateRuleSettings
from edge_agent.camera.synthetic.plates import STYLES, plate_text
from shared.plates import normalize_plate


def rules(**settings: object) -> PlateRules:
    return PlateRules(PlateRuleSettings.model_validate(settings))


@pytest.mark.parametrize(
    ("region", "plate"),
    [
        ("de", "B-AK 123"), ("de", "WOB ZK 295"), ("de", "M E 42 E"), ("gb", "AB12 CDE"), ("fr", "AA-123-BB"),
        ("it", "FH 435 RT"), ("es", "1234 BCD"), ("pt", "12-AB-34"), ("nl", "12-ABC-3"), ("be", "1-ABC-123"),
        ("pl", "WA 12345"), ("cz", "1A2 3456"), ("sk", "BA-123CD"), ("hu", "ABC-123"), ("hu", "AA BC-123"),
        ("ro", "B 123 ABC"), ("ro", "CJ 12 XYZ"), ("bg", "CA 1234 PX"), ("gr", "ABE 1234"), ("se", "ABC 12D"),
        ("no", "AB 12345"), ("dk", "AB 12 345"), ("fi", "ABC-123"), ("ee", "123 ABC"), ("lt", "ABC 123"),
        ("lv", "AB-1234"),
        ("ch", "ZH 123456"), ("at", "W 12345 A"), ("hr", "ZG 1234-AB"), ("ie", "131-D-12345"), ("tr", "34 ABC 123"),
        ("ua", "AA 1234 BB"), ("ru", "A 123 BC 77"), ("us", "7ABC123"), ("us", "ABC 1234"), ("br", "ABC-1234"),
        ("br", "ABC1D23"), ("br", "MMC9U91"), ("ar", "AB 123 CD"), ("si", "LJ AB-123"), ("rs", "BG 123-AB"),
        ("lu", "AB 1234"), ("al", "AA 123 BB"),
    ],
)  # fmt: skip
def test_ordinary_plates_match_their_region(region: str, plate: str) -> None:
    """Plates are spelled as printed, with separators. Each is also plausible without any settings."""
    text = normalize_plate(plate)
    assert region in matching_regions(text)
    assert rules().plausible(text)


def test_every_region_has_an_ordinary_plate_tested() -> None:
    """Each region has an example above."""
    listed = next(
        mark.args[1] for mark in test_ordinary_plates_match_their_region.pytestmark if mark.name == "parametrize"
    )
    assert {region for region, _ in listed} == set(FORMATS)


@pytest.mark.parametrize(
    "text",
    [
        "PASSAT",
        "TAXI",
        "VOLVO",
        "STOP",
        "24",
        "A1",
        "IIIIIII",
        "11111",
        "112",
        "0800123456789",
        "AAAAA1",
        "18004669377",
    ],
)
def test_badges_and_signs_are_not_plausible(text: str) -> None:
    """Names of cars, telephone numbers, and grilles read as bars."""
    assert not rules().plausible(text)


def test_letters_alone_are_plausible_in_regions_with_such_plates() -> None:
    """Vanity plates are plausible if the region is configured or the plate looks like one of it."""
    assert rules(regions=["us"]).plausible("PASSAT")
    assert rules().plausible("PASSAT", appearance="us")
    assert not rules(regions=["de"]).plausible("PASSAT")
    assert not rules().plausible("PASSAT", appearance="eu")


def test_digits_alone_are_plausible_in_regions_with_such_plates() -> None:
    """Some US states issue plates of digits alone."""
    assert not rules().plausible("1234567")
    assert rules(regions=["us"]).plausible("1234567")
    assert not rules(regions=["us"]).plausible("12345678")
    assert rules().plausible("123456", appearance="us")


def test_settings_limit_plausible_texts() -> None:
    """Length, repetition, ignored texts, and known formats only."""
    assert not rules(min_length=7).plausible("AB1234")
    assert not rules(max_length=5).plausible("AB1234")
    assert rules(max_repeat=5, max_length=10).plausible("B11111")
    assert not rules(max_repeat=3).plausible("B1111")
    assert not rules(ignore=["gate 7-b"]).plausible("GATE7B")
    only = rules(regions=["ro"], only_these_regions=True)
    assert only.plausible("B123ABC")
    assert not only.plausible("XX99XXX")


@pytest.mark.parametrize(
    "settings", [{"min_length": 9, "max_length": 4}, {"only_these_regions": True}, {"regions": ["Germany"]}]
)
def test_contradictory_settings_are_rejected(settings: dict[str, object]) -> None:
    """They would reject every reading."""
    with pytest.raises(ValidationError):
        PlateRuleSettings.model_validate(settings)


def test_a_region_is_returned_when_only_one_is_possible() -> None:
    """Formats are shared; the configured regions or the appearance may leave one."""
    assert guess_region("34ABC123") == "tr"
    assert guess_region("7ABC123") is None
    assert guess_region("7ABC123", appearance="us") == "us"
    assert guess_region("AB123CD") is None
    assert guess_region("AB123CD", expected=["it", "de"]) == "it"
    assert guess_region("ABC1234", appearance="br") == "br"
    assert guess_region("AB123CD", appearance="eu") == "eu"
    assert guess_region("1234BCD", appearance="eu") == "es"
    assert guess_region("MYCAR", appearance="us") == "us"
    assert guess_region("MYCAR") is None
    assert guess_region("9KFR998", appearance="br") is None
    assert guess_region("34ABC123", expected=["de"]) == "tr"


def test_a_group_is_expanded_to_its_regions() -> None:
    """``eu`` in the settings stands for its members."""
    assert expand(["eu", "br"]) == GROUPS["eu"] | {"br"}
    assert {"de", "ro", "no"} <= GROUPS["eu"] <= set(FORMATS)
    assert rules(regions=["eu"]).fits_expected("B123ABC")
    assert not rules(regions=["br"]).fits_expected("B123ABC")
    assert not rules().fits_expected("B123ABC")


@given(st.sampled_from(sorted(STYLES)), st.integers(0, 2**32 - 1))
def test_the_plates_of_the_synthetic_gate_are_plausible(style: str, seed: int) -> None:
    """The demo emits events for them."""
    assert rules().plausible(normalize_plate(plate_text(STYLES[style], np.random.default_rng(seed))))


@given(st.text(alphabet="ABCXYZ0189", max_size=16))
def test_every_text_is_accepted_as_input(text: str) -> None:
    """A returned region has a format that matches the text."""
    rules().plausible(text)
    region = guess_region(text)
    assert region is None or region in matching_regions(text)


@pytest.mark.parametrize("region", sorted(FORMATS))
def test_formats_match_normal_forms_only(region: str) -> None:
    """A pattern with a lower-case letter or a space could not match any text."""
    for pattern in FORMATS[region]:
        bare = re.sub(r"\\d|\(\?[:=]", "", pattern)
        assert re.fullmatch(r"[A-Z0-9\[\]{},?*()|\-]*", bare), pattern
