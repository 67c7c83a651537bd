"""Open-licensed fonts of plates: names of ``@fontsource/*`` packages, and weights."""

from __future__ import annotations

PLATE_FONTS: dict[str, tuple[tuple[str, tuple[int, ...]], ...]] = {
    # Thin, even strokes with round ends, like North American dies.
    "us": (
        ("barlow-condensed", (400, 500, 600)),
        ("barlow-condensed", (500, 600)),
        ("barlow-semi-condensed", (400, 500, 600)),
        ("saira-condensed", (400, 500, 600)),
        ("dosis", (400, 500, 600, 700)),
        ("rajdhani", (500, 600, 700)),
        ("nunito", (500, 600, 700)),
        ("m-plus-rounded-1c", (500, 700)),
        ("varela-round", (400,)),
        ("quicksand", (500, 600, 700)),
        ("abel", (400,)),
        ("debian:routed-gothic", (400,)),
        ("debian:routed-gothic", (400,)),
        ("debian:routed-gothic-narrow", (400,)),
        ("share-tech-mono", (400,)),
        ("pathway-gothic-one", (400,)),
        ("roboto-condensed", (400, 500)),
    ),
    # Similar to DIN and FE, and heavy condensed ones.
    "eu": (
        ("debian:opendin", (400,)),
        ("debian:opendin", (400,)),
        ("barlow-semi-condensed", (500, 600, 700)),
        ("barlow", (500, 600)),
        ("saira-condensed", (500, 600, 700)),
        ("b612-mono", (400, 700)),
        ("b612-mono", (400, 700)),
        ("share-tech-mono", (400,)),
        ("overpass-mono", (500, 600, 700)),
        ("roboto-mono", (500, 600, 700)),
        ("ibm-plex-mono", (500, 600)),
        ("archivo-narrow", (500, 600, 700)),
        ("roboto-condensed", (500, 600, 700)),
        ("overpass", (500, 600, 700)),
        ("rubik", (400, 500)),
        ("dm-mono", (500,)),
    ),
    # Similar to Charles Wright.
    "uk": (
        ("saira-condensed", (600, 700)),
        ("saira-extra-condensed", (600, 700)),
        ("antonio", (600, 700)),
        ("oswald", (500, 600)),
        ("pragati-narrow", (700,)),
        ("archivo-narrow", (700,)),
        ("fjalla-one", (400,)),
        ("barlow-condensed", (600, 700)),
        ("big-shoulders-display", (600, 700)),
        ("roboto-condensed", (700,)),
    ),
    "display": (
        ("bebas-neue", (400,)),
        ("teko", (500, 600)),
        ("anton", (400,)),
        ("league-gothic", (400,)),
        ("sofia-sans-extra-condensed", (600, 700)),
        ("asap-condensed", (500, 600, 700)),
        ("yanone-kaffeesatz", (500, 600)),
        ("economica", (700,)),
        ("jost", (500, 600)),
        ("playfair-display", (700,)),
    ),
    # Not used in training: the fonts of the validation set.
    "held_out": (
        ("cabin-condensed", (500, 600, 700)),
        ("khand", (500, 600)),
        ("jetbrains-mono", (500, 700)),
        ("debian:roboto-condensed-bold", (700,)),
    ),
}
SCRIPT_FONTS = (
    ("dancing-script", (600, 700)),
    ("pacifico", (400,)),
    ("lobster", (400,)),
    ("playfair-display", (600, 700, 900)),
    ("oswald", (500, 700)),
    ("jost", (600, 800)),
    ("overpass", (700, 900)),
    ("barlow", (600, 800)),
    ("rubik", (500, 700)),
)
OTHER_FONTS: tuple[tuple[str, tuple[int, ...]], ...] = tuple(
    (name, weights)
    for weights, names in (
        (
            (400, 500, 600, 700),
            "advent-pro alumni-sans anaheim archivo asap assistant athiti azeret-mono bai-jamjuree baloo-2 "
            "big-shoulders-stencil-text big-shoulders-text bitter cairo chakra-petch changa chivo-mono "
            "comfortaa encode-sans-condensed encode-sans-expanded encode-sans-semi-condensed epilogue exo-2 "
            "figtree fira-sans-condensed fira-sans-extra-condensed fredoka geologica golos-text gothic-a1 "
            "hanken-grotesk heebo hind ibm-plex-sans-condensed inconsolata instrument-sans inter-tight "
            "josefin-sans jura k2d kanit krub kumbh-sans league-spartan lexend libre-franklin m-plus-1-code "
            "mali manrope martian-mono maven-pro mitr monda mukta national-park niramit noto-sans-mono onest "
            "open-sans outfit oxanium pontano-sans prompt public-sans red-hat-mono red-hat-text reem-kufi "
            "roboto-slab rokkitt saira saira-semi-condensed sarabun signika signika-negative smooch-sans "
            "sofia-sans-condensed sofia-sans-semi-condensed sometype-mono sono sora source-code-pro "
            "spline-sans-mono tomorrow urbanist varta wix-madefor-text work-sans",
        ),
        (
            (400,),
            "acme allerta allerta-stencil antic armata carrois-gothic cutive-mono didact-gothic do-hyeon "
            "electrolize francois-one gowun-dodum homenaje itim jockey-one jua kosugi-maru mako metrophobic "
            "odibee-sans oxygen-mono pt-mono questrial ropa-sans ruluko russo-one secular-one sniglet "
            "squada-one staatliches stint-ultra-condensed strait varela viga voltaire",
        ),
        (
            (400, 700),
            "anonymous-pro atkinson-hyperlegible b612 cantarell cousine dongle gudea istok-web lekton "
            "nanum-gothic nanum-gothic-coding oxygen passion-one play pt-sans-narrow quantico sansita scada "
            "sintony space-mono sulphur-point",
        ),
        (
            (400, 500, 700),
            "fira-mono m-plus-1p tajawal yantramanav zen-maru-gothic",
        ),
        (
            (400, 600, 700),
            "khula kulim-park titillium-web",
        ),
    )
    for name in names.split()
)
"""Plain fonts of any kind. Variety helps the reader to generalise to unseen typefaces."""
