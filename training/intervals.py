"""Confidence intervals of the evaluations and the benchmark."""

from __future__ import annotations

import math


def wilson(right: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval (1927) of the share ``right / total``, within 0..1."""
    if not total:
        return 0.0, 1.0
    z, share = 1.96, right / total
    middle = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, (middle - spread) / (1 + z * z / total)), min(1.0, (middle + spread) / (1 + z * z / total))
