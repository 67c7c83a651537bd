"""Score the tracker with its default settings on MOT15 public detections or on generated scenes.

``.venv/bin/python -m tests.benchmarks.mot`` prints MOTA, IDF1, identity switches and fragmentations of TUD-Campus and
TUD-Stadtmitte, separately and combined, at IoU 0.5, beside the figures of other trackers on the same files.
``--scenes`` does the same on generated scenes (see scenes.py), on which the tracker's parameters are chosen.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edge_agent.track.tracker import ByteTracker
from tests.benchmarks.mot import scenes
from tests.benchmarks.mot.environment import ROOT, ground_truth, scorer_python
from tests.benchmarks.mot.sequences import read_sequence, write_tracks

Figures = dict[str, dict[str, float]]

EXAMINATION = ("TUD-Campus", "TUD-Stadtmitte")
PEERS = {
    "SORT": (0.696, 0.705),
    "ByteTrack (roboflow)": (0.676, 0.723),
    "C-BIoU": (0.692, 0.782),
    "BoT-SORT without camera motion": (0.695, 0.779),
    "SORT tuned on this very examination": (0.706, 0.789),
}
"""Combined MOTA and IDF1 on the same detections with the packages' default settings."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.mot", description=__doc__.splitlines()[0])
    parser.add_argument("--detections", type=Path, default=ROOT.parent / "shared" / "tracking")
    parser.add_argument("--fps", type=float, default=25.0, help="frames per second of the sequences (TUD: 25)")
    parser.add_argument("--scenes", type=int, metavar="SEEDS", help="score generated scenes, SEEDS of each kind")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args()
    figures = score_scenes(options.scenes) if options.scenes else score_files(options.detections, options.fps)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        _show(figures, peers=not options.scenes)
    return 0


def score_files(folder: Path, frames_per_second: float) -> Figures:
    """Score the MOT15 sequences in a folder of ``NAME.det.txt`` files."""
    missing = [name for name in EXAMINATION if not (folder / f"{name}.det.txt").exists()]
    if missing:
        raise SystemExit(
            f"{folder} lacks {', '.join(f'{name}.det.txt' for name in missing)}; name a folder: --detections"
        )
    python = scorer_python()
    with tempfile.TemporaryDirectory() as work:
        arguments: list[str] = []
        for name in EXAMINATION:
            sequence = read_sequence(folder / f"{name}.det.txt", frames_per_second=frames_per_second)
            result = Path(work) / f"{name}.txt"
            write_tracks(sequence, ByteTracker(), result)
            arguments += [name, str(ground_truth(name)), str(result)]
        return _score(python, arguments)


def score_scenes(seeds: int) -> Figures:
    """Score generated scenes, ``seeds`` of each kind."""
    python = scorer_python()
    with tempfile.TemporaryDirectory() as work:
        arguments: list[str] = []
        for scene in scenes.SCENES:
            for seed in range(seeds):
                staged = scenes.stage(scene, seed)
                truth, result = (Path(work) / f"{staged.sequence.name}.{kind}.txt" for kind in ("truth", "result"))
                scenes.write_truth(staged, truth)
                write_tracks(staged.sequence, ByteTracker(), result)
                arguments += [staged.sequence.name, str(truth), str(result)]
        return _score(python, arguments)


def _score(python: Path, arguments: list[str]) -> Figures:
    script = Path(__file__).with_name("score.py")
    done = subprocess.run([str(python), str(script), *arguments], stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def _show(figures: Figures, *, peers: bool) -> None:
    table = Table(title="Tracker, shipping settings, IoU 0.5")
    for heading in ("", "MOTA", "IDF1", "switches", "fragmentations", "false positives", "misses", "objects"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, row in figures.items():
        counts = [f"{row[key]:.0f}" for key in ("switches", "fragmentations", "false positives", "misses", "objects")]
        table.add_row(name, f"{row['MOTA']:.1%}", f"{row['IDF1']:.1%}", *counts, end_section=name == "pooled")
    for name, (mota, idf1) in PEERS.items() if peers else ():
        table.add_row(f"{name}, pooled", f"{mota:.1%}", f"{idf1:.1%}", style="dim")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
