"""Disambiguates 0 and O, 1 and I, 8 and B by the syntax of plates, that is, the positions of letters and digits.

On most plates O and zero have the same shape and differ only by position. The network's probabilities for each
character are combined with the frequency of the resulting pattern of letters and digits, per region. Text without a
known pattern is modelled as runs of letters and digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise, product
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_SHARES: Mapping[str, tuple[float, str]] = MappingProxyType(
    {
        "us": (
            0.35,
            "DDDLLL 24 LLLDDD 20 LLLDDDD 11 DDDDLL 3.8 LLLDDL 3.2 DDDDDD 2.9 DDLDDD 2.4 DLDDDD 2.1 LDDDLL 1.9 "
            "DDDDDDD 1.7 LDDDDDD 1.5 LLDDDL 1.3 DDDDD 1.3 LLDDDD 1.3 DLLDDD 1.3 DLDDDDD 1.1 DLLDDDD 1.1 LLDDDDD 1 "
            "DDDDDDL 1 DDDD 1 LDDLLL 1 DLLLDDD 0.9 LLDLDL 0.9 DDLDDDL 0.8 DDDDDL 0.8 DDLLDD 0.7 LLDDLL 0.6 LLLLDDD 0.6 "
            "DDDDLD 0.5 LLDDDDDD 0.5 DLLLDD 0.5 LDDDDL 0.5 DDDLDDD 0.5 DDDLD 0.5 DLDDDDL 0.4 DLDDDL 0.4 DDDDDLL 0.4 "
            "DLLLLD 0.4 DDDL 0.4 DDDLL 0.4 DDLDDDD 0.4 DDDLDDDD 0.4 LDDDDDL 0.4 LLLLDD 0.3 DDLDDDDD 0.3 LDDDDD 0.3 "
            "DDDLLD 0.3 LLDLDDD 0.3 DDLLLD 0.3 LLDDD 0.3 LLDD 0.3",
        ),
        "eu": (
            0.1,
            "LLDDDLL 17 LLLDDD 11 LLDDDDD 7 DDDDLLL 6 LLLDDDD 6 LLLLDDD 5 LLDDDDLL 5 LLDDDD 4 DDDLLL 2.7 LLDDLLL 2.6 "
            "LLLLDD 2.3 LLDDDDL 2.1 LDDDLLL 2 DDLLDD 2 LDDDDLL 2 LLDDDDDD 1.7 LDDDLL 1.5 LDDLLL 1.4 LLLDDL 1.3 "
            "DLDDDDD 1 DLDDDD 1 DLLDDDD 1 LLLLLDDD 0.9 DLLLDDD 0.9 DDLLLD 0.7 LLDDDL 0.7 DLLLDD 0.7 DDDDLLDD 0.7 "
            "DDDLLLDD 0.7 DDDLLDD 0.7 LDDDDDD 0.7 DDDDLL 0.6 LLDDLL 0.6 LDDDDL 0.6 LDDDDDL 0.6 DDLDDDD 0.5 DDLLDDD 0.5 "
            "DDLLLDD 0.5 DDLDDDDD 0.4 DDDLDDDD 0.4 DDDLLDDDD 0.4 DDDLDDDDD 0.4 LLDDDDDL 0.3 "
            "LLDLDDDD 0.3 DDDDD 0.3 DDDD 0.3",
        ),
        "gb": (
            0.1,
            "LLDDLLL 74 LLLDDDL 4.7 LLLDDD 3.7 LDDDLLL 3 LDDLLL 3 LDLLL 3 LLLDDL 3 LLLDDDD 2 DDDDLL 1.7 LDDDD 1.7",
        ),
        "br": (0.03, "LLLDDDD 54 LLLDLDD 46"),
    }
)  # fmt: skip
"""Per region: the share of plates without a known pattern, and patterns of letters (L) and digits (D) with their
relative frequencies."""

_DIGITS = 10
_SAME_KIND_AGAIN, _FIRST_IS_LETTER = 0.85, 0.7
RARE_LETTERS: Mapping[str, float] = MappingProxyType({"us": 0.25, "gb": 0.5})
"""Regions that rarely issue I, O and Q, and the relative frequency of these letters there."""
_RARE_LETTERS = [18, 24, 26]
_MAX_DOUBTFUL, _DOUBT = 4, 0.05
_FIRM = 0.01
"""A letter whose probability of being a digit is below this, or the reverse, is kept whatever the pattern."""
PRIOR_POWER: Mapping[str, float] = MappingProxyType({"br": 1.0, "gb": 0.5})
"""Exponent of the pattern frequencies, 0..1. Below 1 because the network has learned the patterns in part; 1 where
every plate has one of two patterns."""
_USUAL_POWER = 0.25


def row_shares(region: str, length: int) -> dict[str, float]:
    """Return the patterns of this length with their shares of all plates of a region; empty if unknown."""
    if region not in _SHARES:
        return {}
    free, table = _SHARES[region]
    words = table.split()
    shares = {row: float(share) for row, share in zip(words[::2], words[1::2], strict=True)}
    total = sum(shares.values())
    return {row: (1 - free) * share / total for row, share in shares.items() if len(row) == length}


def disambiguate(distributions: Floats, regions: Mapping[str, float]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the class ``(N,)`` and the confidence ``(N,)``, 0..1, of each character.

    ``distributions``: ``(N, 36)`` probabilities, digits first. ``regions``: probability of each region.
    """
    chances = np.maximum(distributions.astype(np.float64), 1e-6)
    total = chances.sum(axis=1, keepdims=True)
    chances[:, _RARE_LETTERS] *= sum(
        probability * RARE_LETTERS.get(region, 1.0) for region, probability in regions.items()
    )
    chances *= total / chances.sum(axis=1, keepdims=True)
    by_kind = np.stack([chances[:, :_DIGITS].sum(axis=1), chances[:, _DIGITS:].sum(axis=1)], axis=1)
    best = np.stack([chances[:, :_DIGITS].argmax(axis=1), _DIGITS + chances[:, _DIGITS:].argmax(axis=1)], axis=1)
    as_read = by_kind[:, 1] > by_kind[:, 0]
    length = len(chances)
    rows: dict[tuple[int, ...], float] = {}
    for region, probability in regions.items():
        for row, share in row_shares(region, length).items():
            kinds = tuple(int(kind == "L") for kind in row)
            rows[kinds] = rows.get(kinds, 0.0) + probability * share ** PRIOR_POWER.get(region, _USUAL_POWER)
    for kinds in {*_readings(as_read, by_kind), *rows}:
        for region, probability in regions.items():
            share = (_SHARES[region][0] if region in _SHARES else 1.0) * _free_share(kinds)
            rows[kinds] = rows.get(kinds, 0.0) + probability * share ** PRIOR_POWER.get(region, _USUAL_POWER)
    firm = np.flatnonzero(by_kind.min(axis=1) <= _FIRM)
    candidates = np.array(list(rows), np.intp)
    shares = np.array(list(rows.values()))
    is_consistent = (candidates[:, firm] == as_read[firm]).all(axis=1)
    candidates, shares = candidates[is_consistent], shares[is_consistent]
    places = np.arange(length)
    score = np.log(by_kind[places, candidates]).sum(axis=1) + np.log(shares)
    posterior = np.exp(score - score.max())
    posterior /= posterior.sum()
    kinds = candidates[int(score.argmax())]
    agree = (posterior[:, None] * (candidates == kinds)).sum(axis=0)
    chosen = best[places, kinds]
    within = chances[places, chosen] / by_kind[places, kinds]
    read = chances.sum(axis=1).clip(max=1.0)
    return chosen, agree * within * read


def _readings(as_read: NDArray[np.bool_], by_kind: NDArray[np.float64]) -> list[tuple[int, ...]]:
    """Return the pattern as read, and those that result from changing the most uncertain characters."""
    lesser = by_kind.min(axis=1)
    doubtful = [place for place in np.argsort(-lesser)[:_MAX_DOUBTFUL] if lesser[place] > _DOUBT]
    readings: list[tuple[int, ...]] = []
    for flips in product((False, True), repeat=len(doubtful)):
        kinds = as_read.copy()
        kinds[doubtful] ^= np.array(flips, bool)
        readings.append(tuple(int(kind) for kind in kinds))
    return readings


def _free_share(kinds: tuple[int, ...]) -> float:
    share = _FIRST_IS_LETTER if kinds[0] else 1 - _FIRST_IS_LETTER
    for before, now in pairwise(kinds):
        share *= _SAME_KIND_AGAIN if before == now else 1 - _SAME_KIND_AGAIN
    return share
