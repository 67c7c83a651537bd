"""Scores result files against ground truth with ``motmetrics``, in the scorer's own environment.

``python score.py NAME TRUTH RESULT [NAME TRUTH RESULT ...]`` prints one JSON object: figures by sequence, and combined.
"""

from __future__ import annotations

import sys

import motmetrics as mm  # pyright: ignore[reportMissingImports]

METRICS = {
    "mota": "MOTA",
    "idf1": "IDF1",
    "num_switches": "switches",
    "num_fragmentations": "fragmentations",
    "num_false_positives": "false positives",
    "num_misses": "misses",
    "num_objects": "objects",
}


def main(arguments: list[str]) -> None:
    names, accumulators = [], []
    for start in range(0, len(arguments), 3):
        name, truth, result = arguments[start : start + 3]
        true_tracks = mm.io.loadtxt(truth, fmt="mot15-2D", min_confidence=1)
        found_tracks = mm.io.loadtxt(result, fmt="mot15-2D")
        names.append(name)
        accumulators.append(mm.utils.compare_to_groundtruth(true_tracks, found_tracks, "iou", distth=0.5))
    summary = mm.metrics.create().compute_many(accumulators, names=names, metrics=list(METRICS), generate_overall=True)
    summary = summary.rename(index={"OVERALL": "pooled"}, columns=METRICS)
    print(summary.to_json(orient="index"))


if __name__ == "__main__":
    main(sys.argv[1:])
