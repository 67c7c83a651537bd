"""The figures of the benchmark: one line each, with its target and the results of other readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.benchmarks.figures import Figure
from training.intervals import wilson

_WHOLE_FROM = 1000
"""Numbers from this on are printed without decimals instead of with an exponent."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of one section."""

    what: str
    value: str
    detail: str = ""
    """Counts and interval, or the method of measurement."""
    at_least: str = ""
    met: bool | None = None
    """Whether ``at_least`` is met; None without a target."""
    others: str = ""


def share_line(
    what: str, right: int, total: int, *, at_least: float | None = None, aim: float | None = None, others: str = ""
) -> Line:
    """Return a line for a share with Wilson's 95 % interval. ``at_least`` and ``aim`` are shares, 0..1."""
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
    """Return a line for a measured number. The parameters are the fields of ``Line`` and the target."""
    sign = "≤" if better == "lower" else "≥"
    met = None if target is None else (value <= target if better == "lower" else value >= target)
    target_text = "" if target is None else f"{sign} {target:g} {unit}".strip()
    number = f"{value:,.0f}" if abs(value) >= _WHOLE_FROM else f"{value:.3g}"
    return Line(what, f"{number} {unit}".strip(), detail, target_text, met, others)


def figure_line(figure: Figure) -> Line:
    """Return a line for a figure of ``make bench``."""
    return number_line(
        figure.name, figure.value, figure.unit, detail=figure.note, target=figure.target, better=figure.better
    )
