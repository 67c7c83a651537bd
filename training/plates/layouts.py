# ruff: noqa: E501 -- one row per line
"""The layouts of plates as data, one row per layout.

Patterns: ``L`` is a letter, ``D`` a digit, ``X`` either; a space is a gap, ``-`` a dash, ``.`` a dot, ``*`` a gap with a
decoration (arms, seal, flower, state outline); ``/`` begins the second line; ``{AB}`` is the literal AB.
"""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]  # BGR

WHITE: Colour = (240, 240, 240)
CREAM: Colour = (205, 230, 240)
YELLOW: Colour = (30, 190, 240)
BLACK: Colour = (25, 22, 22)
NAVY: Colour = (95, 45, 20)
BLUE: Colour = (160, 70, 20)
RED: Colour = (40, 30, 190)
GREEN: Colour = (70, 110, 20)
GREY: Colour = (165, 165, 165)
MAROON: Colour = (45, 20, 110)


@dataclass(frozen=True, slots=True)
class Layout:
    """One kind of plate."""

    region: str
    patterns: tuple[str, ...]
    size_mm: tuple[int, int]
    cap_mm: float
    pitch_mm: float = 0.0
    """Width of each character's cell; 0: the width of the glyph plus a gap."""
    schemes: tuple[tuple[Colour, Colour], ...] = ((WHITE, BLACK),)
    """Colours as (background, characters)."""
    fonts: tuple[str, ...] = ("eu",)
    band: str = ""
    """"" for none, "left" for the blue EU strip, "both" for strips at both ends, "top" for the Mercosul strip, "city" for a line of small text at the top."""
    band_text: str = ""
    weight: float = 1.0


def _eu(region: str, code: str, *patterns: str, **more: object) -> Layout:
    values: dict = {"size_mm": (520, 110), "cap_mm": 76, "pitch_mm": 49, "band": "left", "band_text": code}
    return Layout(region, patterns, **(values | more))


def _old(region: str, *patterns: str, **more: object) -> Layout:
    """Return the layout of a country's older plates: without a strip, often white on black."""
    schemes = ((WHITE, BLACK), (BLACK, WHITE), (CREAM, BLACK))
    values: dict = {"size_mm": (480, 110), "cap_mm": 74, "pitch_mm": 49, "schemes": schemes, "weight": 0.4}
    return Layout(region, patterns, **(values | more))


EUROPE: tuple[Layout, ...] = (
    _eu(
        "de",
        "D",
        "L*LL DDDD",
        "LL*L DDD",
        "LLL*LL DDD",
        "LL*LL DDD",
        "L*L DDDD",
        "LLL*L DD",
        "L*LL DDD",
        weight=2.5,
        pitch_mm=47,
    ),
    _eu("fr", "F", "LL-DDD-LL", band="both", weight=2.0),
    _old(
        "fr",
        "DDDD LL DD",
        "DDD LLL DD",
        "DDD LL DD",
        schemes=((WHITE, BLACK), (YELLOW, BLACK), (BLACK, WHITE)),
        weight=0.8,
    ),
    _eu("it", "I", "LL DDDLL", "LL*DDDLL", band="both", weight=1.5),
    _old("it", "LL DDDDDL", "LL D DDDDD", "{MI} DLDDDD"),
    _eu("es", "E", "DDDD LLL", weight=1.8),
    _old("es", "L-DDDD-LL", "LL-DDDD-L", "L-DDDDDD", weight=0.8),
    _eu("pt", "P", "DD-DD-LL", "DD-LL-DD", "LL DD LL", "LL-DD-DD"),
    _eu("nl", "NL", "DD-LLL-D", "LL-DDD-L", "DD-LL-DD", "D-LLL-DD", "LL-LL-DD", schemes=((YELLOW, BLACK),), weight=1.4),
    _eu("be", "B", "D-LLL-DDD", "LLL-DDD", "DDD-LLL", schemes=((WHITE, RED), (WHITE, MAROON))),
    _eu("lu", "L", "LL DDDD", "DDDDD", "DDDD", schemes=((YELLOW, BLACK),), weight=0.4),
    _eu("at", "A", "L*DDDDL", "LL*DDDLL", "LL*DDDDL", "L*DDDDDL", "LL*DDLLL", weight=1.2),
    _old("ch", "LL*DDDDDD", "LL*DDDDD", "LL-DDDDDD", weight=0.8),
    _eu("pl", "PL", "LL DDDDD", "LLL DDDD", "LL DDDDL", "LLL LDDD", "LL DDDLL", weight=1.6),
    _eu("cz", "CZ", "DLD DDDD", "DL* DDDD", "DLL DDDD", weight=1.2),
    _old("cz", "LL DD-DD", "LLL DD-DD"),
    _eu("sk", "SK", "LL*DDDLL", "LL DDDLL"),
    _eu("hu", "H", "LLL-DDD", "LL LL-DDD"),
    _eu("ro", "RO", "{B} DD LLL", "LL DD LLL", "{B} DDD LLL", weight=1.6),
    _eu("bg", "BG", "L DDDD LL", "LL DDDD LL"),
    _eu("gr", "GR", "LLL-DDDD", weight=0.8),
    _eu("hr", "HR", "LL*DDD-LL", "LL*DDDD-LL", weight=0.8),
    _eu("si", "SLO", "LL*LL-DDD", "LL LLDDD", "LL*DD-DLL", weight=0.6),
    _eu("lt", "LT", "LLL DDD"),
    _eu("lv", "LV", "LL-DDDD", weight=0.7),
    _eu("ee", "EST", "DDD LLL", weight=0.7),
    _eu("fi", "FIN", "LLL-DDD", weight=0.8),
    _eu("se", "S", "LLL DDD", "LLL DDL"),
    _eu("no", "N", "LL DDDDD", weight=0.7),
    _eu("dk", "DK", "LL DD DDD", weight=0.8),
    _eu("ie", "IRL", "DD-L-DDDDD", "DDD-L-DDDD", "DDD-LL-DDDD", "DDD-L-DDDDD", weight=0.7, pitch_mm=45),
    _eu("ua", "UA", "LL DDDD LL", weight=0.7),
    _old("ru", "L DDD LL", weight=0.6, schemes=((WHITE, BLACK),)),
    _eu("rs", "SRB", "LL*DDD-LL", "LL*DDDD-LL", weight=0.5),
    _old(
        "tr", "DD L DDDD", "DD LL DDD", "DD LLL DD", weight=0.6, band="left", band_text="TR", schemes=((WHITE, BLACK),)
    ),
    # Two lines: lorries, off-road vehicles, trailers, motorcycles.
    _eu("de", "D", "LL*/LL DDD", "L*/LL DDDD", "LLL*/L DDD", size_mm=(340, 200), weight=0.8),
    _eu("de", "D", "LL*/L DDD", "L*/LL DDD", size_mm=(180, 200), pitch_mm=40, cap_mm=64, weight=0.5),
    _eu("fr", "F", "LL-DDD/LL", size_mm=(210, 130), cap_mm=50, pitch_mm=32, weight=0.5),
    _eu("it", "I", "LL/DDDLL", "LL/DDDDD", size_mm=(297, 214), cap_mm=76, weight=0.6),
    _eu("pl", "PL", "LL/DDDDD", "LLL/DDDD", size_mm=(305, 214), weight=0.6),
    _eu("ro", "RO", "LL DD/LLL", "{B} DDD/LLL", size_mm=(240, 200), cap_mm=66, pitch_mm=42, weight=0.5),
    _eu("nl", "NL", "DD-LL/DD", "LL-LL/DD", size_mm=(340, 210), schemes=((YELLOW, BLACK),), weight=0.5),
    _eu("es", "E", "DDDD/LLL", size_mm=(220, 160), cap_mm=58, pitch_mm=40, weight=0.5),
)

_UK_SCHEMES = ((WHITE, BLACK), (YELLOW, BLACK), (YELLOW, BLACK))
UNITED_KINGDOM: tuple[Layout, ...] = (
    Layout("gb", ("LLDD LLL",), (520, 111), 79, 58, _UK_SCHEMES, ("uk", "uk", "display"), "", "", 4.0),
    Layout("gb", ("LLDD LLL",), (520, 111), 79, 54, _UK_SCHEMES, ("uk", "uk", "display"), "left", "GB", 2.0),
    Layout(
        "gb",
        ("LDDD LLL", "LLL DDDL", "LDD LLL", "LD LLL", "LLL DDL"),
        (520, 111),
        79,
        58,
        _UK_SCHEMES,
        ("uk",),
        "",
        "",
        1.5,
    ),
    Layout("gb", ("LLDD/LLL",), (285, 203), 79, 58, _UK_SCHEMES, ("uk", "uk", "display"), "", "", 1.5),
    Layout(
        "gb", ("LLL DDDL", "LLL DDD", "DDDD LL", "L DDDD"), (520, 111), 79, 58, ((BLACK, WHITE),), ("uk",), "", "", 0.7
    ),
    Layout("gb", ("LLZ DDDD", "LLZ DDD"), (520, 111), 79, 58, _UK_SCHEMES, ("uk",), "", "", 0.4),
)

_BR_GREY = (
    *((GREY, BLACK),) * 5, *(((190, 190, 185), BLACK),) * 3, (RED, WHITE), (RED, WHITE), (WHITE, BLACK), (GREEN, WHITE),
)  # fmt: skip
"""Plates of private vehicles are grey, of commercial ones red, of official ones white, of test drives green (CONTRAN 231/2007)."""

BRAZIL: tuple[Layout, ...] = (
    Layout("br", ("LLL.DDDD", "LLL-DDDD", "LLL.DDDD", "LLL DDDD"), (400, 130), 63, 47, _BR_GREY, ("eu", "eu", "uk"), "city", "", 3.0),
    Layout("br", ("LLL/DDDD",), (200, 170), 52, 41, _BR_GREY, ("eu",), "city", "", 1.2),
    Layout(
        "br", ("LLLDLDD", "LLL DLDD"), (400, 130), 65, 50,
        ((WHITE, BLACK), (WHITE, BLACK), (WHITE, RED), (WHITE, GREEN)), ("eu",), "top", "BRASIL", 2.5,
    ),
    Layout("br", ("LLL/DLDD",), (200, 170), 56, 42, ((WHITE, BLACK), (WHITE, RED)), ("eu",), "top", "BRASIL", 1.0),
)  # fmt: skip

GENERIC: tuple[Layout, ...] = (
    Layout("other", ("XXXXXX", "XXX XXX", "XXXXXXX", "XX XXXXX", "XXXXX", "XXX-XXXX", "XXXX", "XXXXXXXX", "XXXX XXXX", "XXX"),
           (480, 110), 74, 0, ((WHITE, BLACK), (YELLOW, BLACK), (BLACK, WHITE), (BLUE, WHITE), (GREEN, WHITE), (RED, WHITE), (WHITE, BLUE),
                               (WHITE, RED), (WHITE, GREEN)), ("eu", "us", "uk", "display"), "", "", 3.0),
    Layout("other", ("XXX/XXX", "XX/XXXX", "XX XX/XXX", "XXX/XXXX", "X XX/XXXX", "XXXX/XX"), (280, 200), 72, 0,
           ((WHITE, BLACK), (YELLOW, BLACK), (BLACK, WHITE), (BLUE, WHITE), (WHITE, RED)), ("eu", "us", "uk", "display"), "", "", 2.0),
)  # fmt: skip
