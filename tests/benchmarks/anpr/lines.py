"""The figures of the benchmark: one line each, with its target and the results of other readers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tests.benchmarks.figures import Figure

_WHOLE_FROM = 1000
"""Larger numbers are printed without decimals instead of with an exponent."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of one section."""

    what: str
    value: str
    detail: str = ""
    """Counts and interval, or how it was measured"""
    at_least: str = ""
    met: bool | None = None
    """Whether ``at_least`` is met; None where nothing is asked"""
    others: str = ""


def share_line(
    what: str, right: int, total: int, *, at_least: float | None = None, aim: float | None = None, others: str = ""
) -> Line:
    """Return a line for a share, with Wilson's 95 % interval; ``at_least`` and ``aim`` are shares too."""
    low, high = wilson(right, total)
    share = right / total if total else 0.0
    return Line(
        what,
        f"{share:.1%}".replace("%", " %"),
        f"{right} of {total}; {100 * low:.1f} to {100 * high:.1f} %",
        "" if at_least is None else f"≥ {100 * at_least:g} %" + (f" (aim {100 * aim:g} %)" if aim else ""),
        None if at_least is None else share >= at_least,
        others,
    )


def number_line(
    what: str,
    value: float,
    unit: str,
    *,
    detail: str = "",
    target: float | None = None,
    better: Literal["lower", "higher"] = "lower",
    others: str = "",
) -> Line:
    """Return a line for a measured number."""
    sign = "≤" if better == "lower" else "≥"
    met = None if target is None else (value <= target if better == "lower" else value >= target)
    asked = "" if target is None else f"{sign} {target:g} {unit}".strip()
    emitted = f"{value:,.0f}" if abs(value) >= _WHOLE_FROM else f"{value:.3g}"
    return Line(what, f"{emitted} {unit}".strip(), detail, asked, met, others)


def figure_line(figure: Figure) -> Line:
    """Return a line for a figure of ``make bench``."""
    return number_line(
        figure.name, figure.value, figure.unit, detail=figure.note, target=figure.target, better=figure.better
    )


def wilson(right: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share (1927)."""
    if not total:
        return 0.0, 1.0
    z, share = 1.96, right / total
    middle = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, (middle - spread) / (1 + z * z / total)), min(1.0, (middle + spread) / (1 + z * z / total))
