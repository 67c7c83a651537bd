"""Combines many readings of one plate into one text by a vote for each character.

Readings are aligned to the one that agrees most with the others. Each column then has one character, or a gap, per
reading, and its posterior is the product of the readings' likelihoods. Readings of one vehicle have correlated errors
(the same dirt, the same angle), so ``n`` readings count as ``n / (1 + (n - 1) r)``, the effective sample size of a
clustered survey.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from edge_agent.anpr.recognition.alignment import align, distance
from edge_agent.anpr.types import PlateReading

CORRELATION = 0.15
"""Correlation ``r`` of the errors of two readings."""
MAX_READINGS = 40
MAX_REFERENCES = 5
MAX_CANDIDATES = 5
MIN_CANDIDATE = 0.002
MIN_CERTAINTY, MAX_CERTAINTY = 0.05, 0.97
"""Limits of a character's confidence, so that no single reading outweighs several others."""
OTHERS = 4
"""Number of alternatives among which the probability of an uncertain character is divided."""
GAP = ""
GAP_CERTAINTY = 0.92
"""Confidence of a reading that there is no character where it has none."""
GAP_SHARE = 0.1
"""Share of a character's uncertainty that there is no character at all."""


class Candidate(NamedTuple):
    """A possible text of the plate."""

    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class VoteResult:
    """The combined result of all readings."""

    text: str
    confidence: float
    """0..1, that the whole text is right."""
    character_confidences: tuple[float, ...]
    candidates: tuple[Candidate, ...]
    """Best first, including ``text``; the confidences sum to at most 1."""
    reads: int
    weight: float
    """Sum of the weights of the readings."""

    @property
    def lead(self) -> float:
        """Lead of the best candidate over the second, 0..1."""
        second = self.candidates[1].confidence if len(self.candidates) > 1 else 0.0
        return self.confidence - second


NOTHING = VoteResult("", 0.0, (), (), 0, 0.0)


class _Reading(NamedTuple):
    text: str
    certainties: tuple[float, ...]
    weight: float


class _Cell(NamedTuple):
    """The character of one reading in one column."""

    symbol: str
    certainty: float
    weight: float


class PlateVote:
    """Collects the readings of one plate track."""

    def __init__(self) -> None:
        self._readings: list[_Reading] = []
        self._result: VoteResult | None = None
        self.reads = 0

    def add(self, reading: PlateReading, *, weight: float = 1.0) -> None:
        """Add a reading; ``weight``, 0..1: quality of its crop. Empty readings and zero weights are ignored."""
        if not reading.text or weight <= 0:
            return
        given = reading.character_confidences
        if len(given) != len(reading.text):
            given = (reading.confidence ** (1 / len(reading.text)),) * len(reading.text)
        sure = tuple(min(max(value, MIN_CERTAINTY), MAX_CERTAINTY) for value in given)
        self._readings.append(_Reading(reading.text, sure, min(weight, 1.0)))
        self.reads += 1
        if len(self._readings) > MAX_READINGS:
            self._readings.remove(min(self._readings, key=lambda each: each.weight))
        self._result = None

    def merge(self, other: PlateVote) -> None:
        """Add the readings of another track of the same plate."""
        self._readings = sorted(self._readings + other._readings, key=lambda each: -each.weight)[:MAX_READINGS]
        self.reads += other.reads
        self._result = None

    def result(self) -> VoteResult:
        """Return the result of the readings so far; an empty text if there are none."""
        if self._result is None:
            self._result = _combine(self._readings, self.reads)
        return self._result


def _combine(readings: list[_Reading], reads: int) -> VoteResult:
    if not readings:
        return NOTHING
    weight = sum(each.weight for each in readings)
    temper = 1.0 / (1.0 + max(weight - 1.0, 0.0) * CORRELATION)
    columns = [_posterior(cells, temper) for cells in _columns(readings, _reference(readings))]
    best = [max(column, key=lambda symbol: (column[symbol], symbol)) for column in columns]
    text = "".join(best)
    likely = _likely_texts(columns)
    confidence = likely.setdefault(text, math.prod(column[key] for column, key in zip(columns, best, strict=True)))
    ranked = sorted(likely.items(), key=lambda item: (item[0] != text, -item[1], item[0]))
    kept = [Candidate(each, p) for each, p in ranked if each and (p >= MIN_CANDIDATE or each == text)]
    return VoteResult(
        text=text,
        confidence=confidence,
        character_confidences=tuple(column[key] for column, key in zip(columns, best, strict=True) if key != GAP),
        candidates=tuple(kept[:MAX_CANDIDATES]),
        reads=reads,
        weight=weight,
    )


def _reference(readings: list[_Reading]) -> str:
    """Return the alignment reference: of the texts with the most weight, the one nearest to all readings."""
    weights: dict[str, float] = {}
    for text, certainties, weight in readings:
        weights[text] = weights.get(text, 0.0) + weight * sum(certainties) / len(certainties)
    texts = sorted(weights, key=lambda text: (-weights[text], text))

    def disagreement(text: str) -> float:
        return sum(weights[other] * distance(text, other) for other in texts if other != text)

    return min(texts[:MAX_REFERENCES], key=lambda text: (disagreement(text), -weights[text]))


def _columns(readings: list[_Reading], reference: str) -> list[list[_Cell]]:
    """Return the columns in reading order, each with one cell per reading."""
    placed = [align(each.text, reference) for each in readings]
    extra = [max(len(row.inserted[slot]) for row in placed) for slot in range(len(reference) + 1)]
    columns: list[list[_Cell]] = []
    for slot, count in enumerate(extra):
        for index in range(count):
            inserted = [row.inserted[slot][index] if index < len(row.inserted[slot]) else None for row in placed]
            columns.append([_cell(each, at) for each, at in zip(readings, inserted, strict=True)])
        if slot < len(reference):
            columns.append([_cell(each, row.matched[slot]) for each, row in zip(readings, placed, strict=True)])
    return columns


def _cell(reading: _Reading, index: int | None) -> _Cell:
    if index is None:
        return _Cell(GAP, GAP_CERTAINTY, reading.weight)
    return _Cell(reading.text[index], reading.certainties[index], reading.weight)


def _posterior(cells: list[_Cell], temper: float) -> dict[str, float]:
    """Return the probability of each symbol read in this column and of a gap; the rest is for other symbols."""
    symbols = {cell.symbol for cell in cells} | {GAP}
    logs = {symbol: temper * sum(_log_likelihood(cell, symbol) for cell in cells) for symbol in symbols}
    unread = temper * sum(_log_likelihood(cell, None) for cell in cells) + math.log(OTHERS)
    highest = max(*logs.values(), unread)
    total = sum(math.exp(value - highest) for value in logs.values()) + math.exp(unread - highest)
    return {symbol: math.exp(value - highest) / total for symbol, value in logs.items()}


def _log_likelihood(cell: _Cell, symbol: str | None) -> float:
    """Return the weighted log-likelihood of a cell given the true ``symbol``; None: one that was not read."""
    if cell.symbol == symbol:
        likelihood = cell.certainty
    elif cell.symbol == GAP:
        likelihood = (1 - cell.certainty) / OTHERS
    elif symbol == GAP:
        likelihood = (1 - cell.certainty) * GAP_SHARE
    else:
        likelihood = (1 - cell.certainty) * (1 - GAP_SHARE) / OTHERS
    return cell.weight * math.log(likelihood)


def _likely_texts(columns: list[dict[str, float]]) -> dict[str, float]:
    """Return the likeliest texts and their probabilities by beam search; columns are independent."""
    beam: dict[str, float] = {"": 1.0}
    for column in columns:
        grown: dict[str, float] = {}
        for text, confidence in beam.items():
            for symbol, probability in column.items():
                grown[text + symbol] = grown.get(text + symbol, 0.0) + confidence * probability
        beam = dict(sorted(grown.items(), key=lambda item: (-item[1], item[0]))[: 4 * MAX_CANDIDATES])
    return beam
