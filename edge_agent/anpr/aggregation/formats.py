"""Plate formats by region: which texts are plausible, and which region a text is from.

Texts are in the normal form of ``shared.plates``. The formats are those of ordinary plates in use. Many are shared by
several countries, so a format alone rarely identifies one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from types import MappingProxyType

from edge_agent.anpr.settings import PlateRuleSettings
from shared.plates import normalize_plate

_RO = (
    "AB|AG|AR|B|BC|BH|BN|BR|BT|BV|BZ|CJ|CL|CS|CT|CV|DB|DJ|GJ|GL|GR|HD|HR|IF|IL|IS|MH|MM|MS|NT|OT|PH|SB|SJ|SM|SV|"
    "TL|TM|TR|VL|VN|VS"
)
_CH = "AG|AI|AR|BE|BL|BS|FR|GE|GL|GR|JU|LU|NE|NW|OW|SG|SH|SO|SZ|TG|TI|UR|VD|VS|ZG|ZH"
_CYRILLIC = "ABEKMHOPCTYX"

FORMATS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "al": (r"[A-Z]{2}\d{3}[A-Z]{2}",),
        "ar": (r"[A-Z]{2}\d{3}[A-Z]{2}", r"[A-Z]{3}\d{3}", r"[A-Z]\d{3}[A-Z]{3}"),
        "at": (r"[A-Z]{1,2}\d{1,5}[A-Z]{1,3}", r"[A-Z]{2,6}\d{1,3}"),
        "be": (r"[1-9][A-Z]{3}\d{3}", r"[A-Z]{3}\d{3}", r"\d{3}[A-Z]{3}"),
        "bg": (r"[ABCEHKMOPTXY]{1,2}\d{4}[ABCEHKMOPTXY]{2}",),
        "br": (r"[A-Z]{3}\d[A-Z]\d{2}", r"[A-Z]{3}\d{4}"),
        "ch": (rf"(?:{_CH})\d{{1,6}}",),
        "cz": (r"\d[A-Z][A-Z0-9]\d{4}",),
        "de": (r"[A-Z]{2,5}\d{1,4}[EH]?",),
        "dk": (r"[A-Z]{2}\d{5}",),
        "ee": (r"\d{3}[A-Z]{3}",),
        "es": (r"\d{4}[BCDFGHJKLMNPRSTVWXYZ]{3}", r"[A-Z]{1,2}\d{4}[A-Z]{1,2}"),
        "fi": (r"[A-Z]{2,3}\d{1,3}",),
        "fr": (r"[A-HJ-NP-TV-Z]{2}\d{3}[A-HJ-NP-TV-Z]{2}", r"\d{2,4}[A-Z]{2,3}(?:\d{2}|2[AB])"),
        "gb": (r"[A-Z]{2}\d{2}[A-Z]{3}", r"[A-Z]\d{1,3}[A-Z]{3}", r"[A-Z]{3}\d{1,3}[A-Z]", r"[A-Z]{1,3}\d{1,4}"),
        "gr": (r"[ABEZHIKMNOPTYX]{3}\d{4}",),
        "hr": (r"[A-Z]{2}\d{3,4}[A-Z]{1,2}",),
        "hu": (r"[A-Z]{3,4}\d{3}",),
        "ie": (r"\d{2}[12]?[A-Z]{1,2}\d{1,6}",),
        "it": (r"[A-HJ-NPR-TV-Z]{2}\d{3}[A-HJ-NPR-TV-Z]{2}",),
        "lt": (r"[A-Z]{3}\d{3}",),
        "lu": (r"[A-Z]{2}\d{4}",),
        "lv": (r"[A-Z]{2}\d{1,4}",),
        "nl": (
            r"[A-Z]{2}\d{4}", r"\d{4}[A-Z]{2}", r"\d{2}[A-Z]{2}\d{2}", r"[A-Z]{2}\d{2}[A-Z]{2}", r"[A-Z]{4}\d{2}",
            r"\d{2}[A-Z]{4}", r"\d{2}[A-Z]{3}\d", r"\d[A-Z]{3}\d{2}", r"[A-Z]{2}\d{3}[A-Z]", r"[A-Z]\d{3}[A-Z]{2}",
            r"[A-Z]{3}\d{2}[A-Z]", r"\d[A-Z]{2}\d{3}",
        ),
        "no": (r"[A-Z]{2}\d{5}",),
        "pl": (r"[A-Z]{2,3}(?=[A-Z0-9]*\d)[A-Z0-9]{4,5}",),
        "pt": (r"[A-Z]{2}\d{2}[A-Z]{2}", r"\d{2}[A-Z]{2}\d{2}", r"\d{4}[A-Z]{2}", r"[A-Z]{2}\d{4}"),
        "ro": (rf"(?:{_RO})\d{{2,3}}[A-Z]{{3}}",),
        "rs": (r"[A-Z]{2}\d{3,5}[A-Z]{2}",),
        "ru": (rf"[{_CYRILLIC}]\d{{3}}[{_CYRILLIC}]{{2}}\d{{2,3}}",),
        "se": (r"[A-Z]{3}\d{2}[A-Z0-9]",),
        "si": (r"(?:CE|GO|KK|KP|KR|LJ|MB|MS|NM|PO|SG)(?=[A-Z0-9]*\d)[A-Z0-9]{4,6}",),
        "sk": (r"[A-Z]{2}\d{3}[A-Z]{2}",),
        "tr": (r"(?:0[1-9]|[1-7]\d|8[01])[A-Z]{1,3}\d{2,5}",),
        "ua": (r"[ABCEHIKMOPTX]{2}\d{4}[ABCEHIKMOPTX]{2}",),
        "us": (
            r"\d[A-Z]{3}\d{3}", r"[A-Z]{3}\d{3,4}", r"\d{3}[A-Z]{3}", r"\d{3,4}[A-Z]{2,3}", r"[A-Z]{2}\d{4,5}",
            r"[A-Z]\d{2,3}[A-Z]{3}", r"[A-Z]{2}\d{3}[A-Z]{1,2}", r"[A-Z]{3}\d{2}[A-Z]", r"\d{2}[A-Z]{3}\d",
            r"[A-Z]{1,2}\d{5,6}", r"\d{3}[A-Z]\d{3}", r"\d{1,2}[A-Z]{1,2}\d{3,5}", r"\d[A-Z]{2}\d{4}", r"\d{5,7}",
        ),
    }
)  # fmt: skip
"""Region (ISO 3166-1 alpha-2, lower case) to patterns of whole texts."""

GROUPS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "eu": frozenset(FORMATS) - {"ar", "br", "us", "gb"},
        "gb": frozenset({"gb"}),
        "us": frozenset({"us"}),
        "br": frozenset({"br"}),
    }
)
"""Regions by appearance, and the regions of each. ``eu``: European style, inside or outside the Union."""

ALL_LETTERS = frozenset({"us"})
"""Regions that issue plates of letters alone."""
MAX_LETTERS_ALONE = 7
"""Maximum number of letters on a plate without digits (a US vanity plate). Longer texts are lettering: BACKEREI."""

_COMPILED = {
    region: re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.ASCII)
    for region, patterns in FORMATS.items()
}


def matching_regions(text: str) -> frozenset[str]:
    """Return every region with a format that matches the whole text."""
    return frozenset(region for region, pattern in _COMPILED.items() if pattern.fullmatch(text))


def expand(regions: Iterable[str]) -> frozenset[str]:
    """Return regions with groups (``eu``) replaced by their members."""
    return frozenset().union(*(GROUPS.get(region, frozenset({region})) for region in regions))


def guess_region(text: str, *, appearance: str | None = None, expected: Iterable[str] = ()) -> str | None:
    """Return the region of a plate, or None if several are possible.

    ``appearance``: the region that the plate looks like (a key of GROUPS). ``expected``: the configured regions.
    """
    possible_regions = matching_regions(text)
    expected_regions = expand(expected)
    if expected_regions:
        possible_regions = possible_regions & expected_regions or possible_regions
    group = GROUPS.get(appearance) if appearance else None
    if group is not None:
        fitting = possible_regions & group
        if not fitting:  # a text without any format may be a vanity plate; the format of another region contradicts
            return None if possible_regions else appearance
        return next(iter(fitting)) if len(fitting) == 1 else appearance
    return next(iter(possible_regions)) if len(possible_regions) == 1 else None


class PlateRules:
    """Checks texts against the configured rules."""

    def __init__(self, settings: PlateRuleSettings | None = None) -> None:
        self._settings = settings or PlateRuleSettings()
        self.expected = expand(self._settings.regions)
        self._ignored = frozenset(normalize_plate(text) for text in self._settings.ignore)

    @property
    def min_length(self) -> int:
        """Minimum number of characters."""
        return self._settings.min_length

    def plausible(self, text: str, *, appearance: str | None = None) -> bool:
        """Return whether ``text`` (normal form) can be a plate. ``appearance``: the region it looks like."""
        settings = self._settings
        if not settings.min_length <= len(text) <= settings.max_length or text in self._ignored:
            return False
        if max(len(list(run)) for _, run in groupby(text)) > settings.max_repeat or len(set(text)) < 2:
            return False
        if settings.only_these_regions and not matching_regions(text) & self.expected:
            return False
        return self._has_plausible_mixture(text, appearance)

    def fits_expected(self, text: str) -> bool:
        """Return whether the text has a format of the configured regions; False if none are configured."""
        return bool(self.expected & matching_regions(text))

    def region(self, text: str, *, appearance: str | None = None) -> str | None:
        """Return the region of the plate; None if uncertain."""
        return guess_region(text, appearance=appearance, expected=self.expected)

    def _has_plausible_mixture(self, text: str, appearance: str | None) -> bool:
        """Return whether the text has letters and digits, or only one kind if a likely region issues such plates."""
        if not text.isalpha() and not text.isdigit():
            return True
        regions = self.expected | (GROUPS.get(appearance, frozenset()) if appearance else frozenset())
        if text.isalpha():
            return len(text) <= MAX_LETTERS_ALONE and bool(regions & ALL_LETTERS)
        return bool(regions & matching_regions(text))
