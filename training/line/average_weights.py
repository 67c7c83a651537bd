"""Weight averaging: interpolates between the initial and the trained weights.

    python -m training.line.average_weights --start /tmp/line-start.pt --trained RUN/last.pt --bank BANK --frames FRAMES

Training on generated plates improves a reader on generated plates, and eventually degrades it on photographs of unseen
kinds. Averaging both sets of weights keeps most of the accuracy of each (Wortsman et al. 2022, "Robust fine-tuning of
zero-shot models"). For a network trained with ``--real-share 0``, this prints the share of lines read for each weight:
of unseen photographs, unchanged and augmented, and of generated plates.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from training.line.network import LineNetwork
from training.line.samples import held_out, photographed
from training.line.train import exact
from training.reader.bank import load_real

SHARES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
_AUGMENTED = 0.6


def average_weights(start: dict[str, Tensor], trained: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return ``start`` and ``trained`` interpolated; ``share``, 0..1: weight of ``trained``."""
    return {name: torch.lerp(start[name].float(), trained[name].float(), share) for name in start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--trained", type=Path, required=True)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--frames", type=Path, default=None, help="folder of street scenes for backgrounds")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(3)
    real = load_real(options.bank, held_out=True) + load_real(options.bank, held_out=False)
    sets = {
        "photographed": [photographed(rng, plate, hardness=0) for plate in real],
        "augmented": [photographed(rng, plate, hardness=_AUGMENTED) for plate in real],
        "drawn": held_out(options.bank, options.frames, 500),
    }
    print("share", *(f"{name} ({len(samples)})" for name, samples in sets.items()), sep="\t")
    start, trained = (torch.load(path)["network"] for path in (options.start, options.trained))
    for share in options.shares:
        network = LineNetwork().to(memory_format=torch.channels_last)
        network.load_state_dict(average_weights(start, trained, share))
        print(f"{share:.2f}", *(f"{exact(network, samples):.4f}" for samples in sets.values()), sep="\t", flush=True)


if __name__ == "__main__":
    main()
