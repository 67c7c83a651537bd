"""Optimal assignment of tracks to detections: the pairing with the largest total gain.

In real scenes few pairs are possible and most of them are unambiguous, so plain Python is faster than array operations.
Only ambiguous groups are solved with an exact algorithm.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Offer = tuple[int, int, float]
"""A row, a column, and the gain of pairing them, which is finite and above zero."""

_INFINITE = float("inf")


def assign(offers: Iterable[Offer]) -> list[tuple[int, int]]:
    """Pair rows with columns, each at most once, so that the sum of gains is maximal; return pairs by ascending row.

    Each pair may be offered at most once. Pairs that are not offered are never returned.
    """
    offered = list(offers)
    pairs = _unambiguous(offered)
    if len(pairs) < len(offered):
        rows, columns = {row for row, _ in pairs}, {column for _, column in pairs}
        for group in _ambiguous_groups(offer for offer in offered if offer[0] not in rows and offer[1] not in columns):
            pairs += _exact(group)
    pairs.sort()
    return pairs


def offers_in(gain: NDArray[np.float64]) -> list[Offer]:
    """Return the positive entries of a gain matrix as offers."""
    rows, columns = gain.nonzero()
    return list(zip(rows.tolist(), columns.tolist(), gain[rows, columns].tolist(), strict=True))


def _unambiguous(offers: Iterable[Offer]) -> list[tuple[int, int]]:
    """Return pairs that are part of an optimal pairing.

    A pair whose gain is at least the sum of the best other gain in its row and the best other gain in its column can
    replace those two in any pairing without loss. Removing one such pair does not affect the others.
    """
    best_of_row: dict[int, Offer] = {}
    best_of_column: dict[int, Offer] = {}
    second_of_row: dict[int, float] = {}
    second_of_column: dict[int, float] = {}
    for offer in offers:
        row, column, gain = offer
        best = best_of_row.get(row)
        if best is None:
            best_of_row[row] = offer
        elif gain > best[2]:
            best_of_row[row], second_of_row[row] = offer, best[2]
        elif gain > second_of_row.get(row, 0.0):
            second_of_row[row] = gain
        best = best_of_column.get(column)
        if best is None:
            best_of_column[column] = offer
        elif gain > best[2]:
            best_of_column[column], second_of_column[column] = offer, best[2]
        elif gain > second_of_column.get(column, 0.0):
            second_of_column[column] = gain
    return [
        (row, column)
        for row, (_, column, gain) in best_of_row.items()
        if best_of_column[column][0] == row and gain >= second_of_row.get(row, 0.0) + second_of_column.get(column, 0.0)
    ]


def _ambiguous_groups(offers: Iterable[Offer]) -> list[list[Offer]]:
    """Split offers into groups that share no row and no column."""
    by_row: dict[int, list[Offer]] = {}
    by_column: dict[int, list[Offer]] = {}
    for offer in offers:
        by_row.setdefault(offer[0], []).append(offer)
        by_column.setdefault(offer[1], []).append(offer)
    groups: list[list[Offer]] = []
    while by_row:
        rows, group = [next(iter(by_row))], list[Offer]()
        while rows:
            own = by_row.pop(rows.pop(), [])
            group += own
            rows += (row for _, column, _ in own for row, _, _ in by_column.pop(column, ()))
        groups.append(group)
    return groups


def _exact(offers: Iterable[Offer]) -> list[tuple[int, int]]:
    gain = {(row, column): gain for row, column, gain in offers}
    rows, columns = sorted({row for row, _ in gain}), sorted({column for _, column in gain})
    if len(rows) > len(columns):
        return [(row, column) for column, row in _exact((column, row, value) for (row, column), value in gain.items())]
    cost = [[-gain.get((row, column), 0.0) for column in columns] for row in rows]
    paired = ((row, columns[place]) for row, place in zip(rows, _shortest_augmenting_paths(cost), strict=True))
    return [pair for pair in paired if pair in gain]


def _shortest_augmenting_paths(cost: list[list[float]]) -> list[int]:
    """Return the column of each row in a complete assignment of minimum cost. Needs at least as many columns as rows.

    The Hungarian method with potentials and shortest augmenting paths (Jonker & Volgenant, "A shortest augmenting path
    algorithm for dense and sparse linear assignment problems", 1987). Index 0 of the working lists is the row
    that is being placed; rows and columns count from 1.
    """
    height, width = len(cost), len(cost[0])
    row_potential = [0.0] * (height + 1)
    column_potential = [0.0] * (width + 1)
    row_of_column = [0] * (width + 1)
    for placing in range(1, height + 1):
        row_of_column[0] = placing
        slack = [_INFINITE] * (width + 1)
        came_from = [0] * (width + 1)
        visited = [False] * (width + 1)
        column = 0
        while row_of_column[column]:
            visited[column] = True
            row = row_of_column[column]
            costs, potential = cost[row - 1], row_potential[row]
            step, nearest = _INFINITE, 0
            for other in range(1, width + 1):
                if visited[other]:
                    continue
                reduced = costs[other - 1] - potential - column_potential[other]
                if reduced < slack[other]:
                    slack[other], came_from[other] = reduced, column
                if slack[other] < step:
                    step, nearest = slack[other], other
            for other in range(width + 1):
                if visited[other]:
                    row_potential[row_of_column[other]] += step
                    column_potential[other] -= step
                else:
                    slack[other] -= step
            column = nearest
        while column:
            row_of_column[column] = row_of_column[came_from[column]]
            column = came_from[column]
    column_of_row = [0] * height
    for column in range(1, width + 1):
        if row_of_column[column]:
            column_of_row[row_of_column[column] - 1] = column - 1
    return column_of_row
