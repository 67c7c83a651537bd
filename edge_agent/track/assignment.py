"""Who goes with whom: the pairing of tracks and detections that gains most in total.

Most pairs of a real scene are beyond doubt, so these are settled by a handful of array operations; only what is truly
contested goes through an exact solver, which is then so small that plain Python is the fastest way to run it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

_INFINITE = float("inf")


def assign(gain: Floats) -> tuple[Indices, Indices]:
    """Pair rows with columns, each at most once, so that the sum of ``gain`` is the largest possible.

    ``gain`` is ``(rows, columns)``, finite and not negative; a zero means that the two must not be paired. Returns the
    row and the column index of each pair, by ascending row.
    """
    if gain.size == 0:
        return _none(), _none()
    rows, columns, candidates = _beyond_doubt(gain)
    if len(rows) == candidates:
        return rows, columns
    rest = gain.copy()
    rest[rows] = 0.0
    rest[:, columns] = 0.0
    contested = np.flatnonzero(rest.max(axis=1))
    if len(contested) == 0:
        return rows, columns
    wanted = np.flatnonzero(rest.max(axis=0))
    more_rows, more_columns = _exact(rest[np.ix_(contested, wanted)])
    rows = np.concatenate([rows, contested[more_rows]])
    columns = np.concatenate([columns, wanted[more_columns]])
    ascending = rows.argsort(kind="stable")
    return rows[ascending], columns[ascending]


def _none() -> Indices:
    return np.empty(0, np.intp)


def _beyond_doubt(gain: Floats) -> tuple[Indices, Indices, int]:
    """Return pairs that some best pairing contains, and how many rows could be paired at all.

    A pair that gains at least as much as the best other pair of its row and the best other pair of its column together
    can replace those two in any pairing without loss. Taking one such pair out of the matrix leaves the others such.
    """
    every = np.arange(len(gain))
    columns = gain.argmax(axis=1)
    best = gain[every, columns]
    hopeful = best > 0.0
    mutual = np.flatnonzero((gain.argmax(axis=0)[columns] == every) & hopeful)
    columns = columns[mutual]
    others = gain.copy()
    others[mutual, columns] = 0.0
    rivals = others.max(axis=1)[mutual] + others.max(axis=0)[columns]
    certain = best[mutual] >= rivals
    return mutual[certain], columns[certain], int(np.count_nonzero(hopeful))


def _exact(gain: Floats) -> tuple[Indices, Indices]:
    if gain.shape[0] > gain.shape[1]:
        columns, rows = _exact(gain.T)
        return rows, columns
    column_of_row = _shortest_augmenting_paths((-gain).tolist())
    rows = np.arange(gain.shape[0])
    columns = np.array(column_of_row, np.intp)
    allowed = gain[rows, columns] > 0.0
    return rows[allowed], columns[allowed]


def _shortest_augmenting_paths(cost: list[list[float]]) -> list[int]:
    """Return the column of each row in a cheapest complete assignment; there are at least as many columns as rows.

    The Hungarian method with potentials and shortest augmenting paths (Jonker & Volgenant, "A shortest augmenting path
    algorithm for dense and sparse linear assignment problems", 1987). Index 0 of the working lists is the row that is
    being placed; rows and columns count from 1.
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
