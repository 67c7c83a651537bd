"""Train the line reader on the reader's bank of plates, starting with the weights of PP-OCRv6.

    python -m training.line.start --wheel rapidocr-3.10.0-py3-none-any.whl --out /tmp/line-start.pt
    torchrun --nproc-per-node 2 -m training.line.train --bank BANK --frames FRAMES --out RUN --minutes 60 \\
        --resume /tmp/line-start.pt

The learning rate falls as a cosine of the time spent (``--minutes``) or of the steps. ``last.pt`` (the moving average
of the weights) is written during training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_agent.anpr.recognition.line_reader import characters
from training.line.network import LineNetwork
from training.line.samples import Lines, LineSample, collate, held_out, photographed
from training.loop import Pace, begin, fit, option_parser, seed_of_process
from training.reader.bank import load_real

PACE = Pace(report_every=25, validate_every=150, unit="lines", longest_memory=0.99)
"""A short moving average, because fine-tuning takes hundreds of steps, not tens of thousands."""


@torch.no_grad()
def exact(network: nn.Module, samples: list[LineSample]) -> float:
    """Return the share of lines read without any error."""
    network.eval()
    right = 0
    for start in range(0, len(samples), 32):
        part = samples[start : start + 32]
        for steps, sample in zip(network(collate(part)[0]).numpy(), part, strict=True):
            right += [int(seen.argmax()) for seen in characters(steps)] == sample.classes.tolist()
    return right / max(len(samples), 1)


def main() -> None:
    parser = option_parser(__doc__, batch=16, rate=4e-4)
    parser.add_argument("--resume", type=Path, required=True)
    parser.add_argument("--real-share", type=float, default=0.1, help="share of photographed lines, 0..1")
    parser.add_argument(
        "--frozen", type=int, default=3, help="number of blocks after the stem whose weights are frozen"
    )
    options = parser.parse_args()
    train(options)


def train(options: argparse.Namespace) -> None:
    rank = begin(options)
    network = LineNetwork().to(memory_format=torch.channels_last)
    network.load_state_dict(torch.load(options.resume)["network"])
    network.freeze(options.frozen)
    lines = Lines(
        options.bank, options.frames, options.batch, seed_of_process(options, rank), real_share=options.real_share
    )
    validate = Validation(options).validate if rank == 0 else None
    fit(network, lines, cost_of, options, PACE, validate=validate)


def cost_of(network: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return the CTC loss of a batch (Graves et al. 2006)."""
    pictures, wanted, lengths = batch
    steps = network(pictures).log_softmax(2).transpose(0, 1)
    input_lengths = torch.full((len(pictures),), steps.shape[0])
    return functional.ctc_loss(steps, wanted, input_lengths, lengths, zero_infinity=True)


class Validation:
    """Reports the accuracy on held-out lines and saves the weights."""

    def __init__(self, options: argparse.Namespace) -> None:
        rng = np.random.default_rng(1)
        real = load_real(options.bank, held_out=True)
        if not options.real_share:
            real += load_real(options.bank, held_out=False)
        self._sets = {
            "drawn": held_out(options.bank, options.frames, 300),
            "photographed": [photographed(rng, one, hardness=0) for one in real[:300]],
        }
        self._out = options.out

    def validate(self, network: nn.Module, step: int) -> None:
        accuracies = " ".join(f"{name} {exact(network, samples):.4f}" for name, samples in self._sets.items())
        print(f"step {step} exact: {accuracies}", flush=True)
        torch.save({"network": network.state_dict(), "step": step}, self._out / "last.pt")


if __name__ == "__main__":
    main()
