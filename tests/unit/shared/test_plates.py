"""The normal form of plates: mapped characters are documented, separators are removed, all others are kept."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.plates import HOMOGLYPHS, MAX_PLATE_LENGTH, TRANSLITERATIONS, normalize_plate, require_plate

ALL_CHARACTERS = [chr(number) for number in range(sys.maxunicode + 1)]
LETTERS_AND_DIGITS = [char for char in ALL_CHARACTERS if unicodedata.category(char)[0] in "LN"]


def documented(char: str) -> str:
    """Return the normal form of one letter or digit according to the reference, independent of the code under test."""
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).upper())
    text = unicodedata.normalize("NFKD", text.upper())
    mapped = ""
    for one in text:
        if unicodedata.category(one)[0] in "PZ" or one.isspace():
            continue
        if "COMBINING" in unicodedata.name(one, "") and mapped[-1:].isascii() and mapped:
            continue
        mapped += HOMOGLYPHS.get(one, TRANSLITERATIONS.get(one, one))
    return unicodedata.normalize("NFC", mapped)


@pytest.mark.parametrize(
    ("read", "normal"),
    [
        ("А123ВС77", "A123BC77"),
        ("О123КК77", "O123KK77"),
        ("о 123 кк 77", "O123KK77"),
        ("ΙΚΥ-4563", "IKY4563"),
        ("ХНМ 1", "XHM1"),
        ("b-äk 123", "BAK123"),
        ("Škoda 1", "SKODA1"),
        ("—", ""),
        ("GÖ AB 123", "GOAB123"),
        ("mü-xy 7", "MUXY7"),
        ("ŁÓDŹ 1", "LODZ1"),
        ("ÆØÅ 12", "AEOA12"),
        ("İıß ĐÑ", "IISSDN"),
        ("１２３ＡＢ", "123AB"),
        ("𝟙𝟚𝐀𝓑", "12AB"),
        ("A\u03081", "A1"),
        ("京A·12345", "京A12345"),
        ("١٢٣ أ ب ج", "١٢٣أبج"),
        ("12-345 אב", "12345אב"),
        ("กข 1234", "กข1234"),
        ("品川 500 あ 12-34", "品川500あ1234"),
        ("Б 123 ГД", "Б123ГД"),
        ("12|34/5", "12345"),
        ("AB\u200f12", "AB12"),
        ("AB♥12", "AB♥12"),
    ],
)
def test_cloud_a3_normalize_plate_returns_the_documented_form(read: str, normal: str) -> None:
    """Homoglyphs and transliterations become Latin letters, separators are removed, all others are kept."""
    assert normalize_plate(read) == normal


def test_cloud_a3_every_letter_and_digit_of_unicode_is_kept() -> None:
    """Each has its documented, non-empty normal form, alone and within a plate."""
    for char in LETTERS_AND_DIGITS:
        normal = normalize_plate(char)
        assert normal == documented(char), ascii(char)
        assert normal, ascii(char)
        assert normalize_plate(f"A{char}1") == f"A{normal}1", ascii(char)


def test_cloud_a3_two_letters_share_a_normal_form_only_if_documented() -> None:
    """In all scripts, only compatibility forms and the tables merge characters."""
    seen: dict[str, str] = {}
    for char in LETTERS_AND_DIGITS:
        form = documented(char)
        assert seen.setdefault(normalize_plate(char), form) == form


@given(st.lists(st.sampled_from(LETTERS_AND_DIGITS)), st.lists(st.sampled_from(LETTERS_AND_DIGITS)))
def test_cloud_a3_different_plates_have_different_normal_forms(one: list[str], other: list[str]) -> None:
    """Two normal forms are equal exactly if the documented forms of the characters are."""
    forms = [unicodedata.normalize("NFC", "".join(map(documented, text))) for text in (one, other)]
    assert (normalize_plate("".join(one)) == normalize_plate("".join(other))) == (forms[0] == forms[1])


@given(st.text())
def test_cloud_a3_normalize_plate_is_idempotent(text: str) -> None:
    """A normal form does not change when normalised again, and contains no separators."""
    once = normalize_plate(text)
    assert normalize_plate(once) == once
    assert not any(unicodedata.category(char)[0] in "PZ" or char.isspace() for char in once)


@given(st.lists(st.sampled_from("AZ09ÖБ京أ"), min_size=1, max_size=8), st.sampled_from(" -.·•|_–—\u00a0\u3000"))
def test_cloud_a3_separators_do_not_change_the_normal_form(letters: list[str], separator: str) -> None:
    """In every alphabet, for stored plates and for queries."""
    assert normalize_plate(separator.join(letters)) == normalize_plate("".join(letters))
    assert require_plate(separator.join(letters)) == normalize_plate("".join(letters))


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("AB🚗1", "U+1F697, AUTOMOBILE"),
        ("AB\x071", "U+0007, control character"),
        ("AB\t1", "U+0009, control character"),
        ("AB\n1", "U+000A, control character"),
        ("A\x85B", "U+0085, control character"),
        ("AB*", "ASTERISK"),
        ("1\ufe0f\u20e3", "COMBINING ENCLOSING KEYCAP"),
        ("1÷2", "DIVISION SIGN"),
        ("AB\ud8001", "U+D800, surrogate"),
    ],
)
def test_cloud_a3_require_plate_names_an_invalid_character(text: str, description: str) -> None:
    """Emoji and control characters in a query raise an error that contains the character's name."""
    with pytest.raises(ValueError, match="must be a plate") as raised:
        require_plate(text)
    assert description in str(raised.value)
    assert str(raised.value).isprintable()


@given(st.lists(st.sampled_from("AZ09Б京½¼↉⑴⒈🄁①Ⅷ²" + "\u200b\u200d\u202e\u2063\ufe0f\ufeff\U000e0061 -·"), max_size=16))
def test_cloud_a3_require_plate_accepts_stored_plates(letters: list[str]) -> None:
    """A plate with fractions, bracketed digits and invisible marks is accepted as read and in normal form."""
    text = "".join(letters)
    stored = normalize_plate(text)
    if not 1 <= len(stored) <= MAX_PLATE_LENGTH:
        return
    assert require_plate(text) == stored
    assert require_plate(stored) == stored


@pytest.mark.parametrize("mark", ["\u00ad", "\u200b", "\u200d", "\u2060", "\u2063", "\u180e", "\ufe0f", "\ufeff"])
def test_cloud_a3_invisible_marks_do_not_change_the_normal_form(mark: str) -> None:
    """Between, before and after the characters, stored or entered."""
    assert normalize_plate(f"{mark}A{mark}1{mark}") == require_plate(f"{mark}A{mark}1{mark}") == "A1"
    with pytest.raises(ValueError, match="must be a plate"):
        require_plate(mark)


def test_cloud_a3_a_fraction_differs_from_its_digits() -> None:
    """½ and 12 are two plates, in every notation."""
    assert require_plate("A½") == require_plate("A1\u20442") == "A1\u20442"
    assert require_plate("A12") == "A12"


@pytest.mark.parametrize("text", ["", "--", "\u0301", "A" * 17, "Æ" * 9])
def test_cloud_a3_require_plate_rejects_wrong_lengths(text: str) -> None:
    """The length is that of the normal form."""
    with pytest.raises(ValueError, match="of 1 to 16 letters and digits"):
        require_plate(text)
