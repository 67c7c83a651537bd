"""Train the line reader on the reader's bank of plates, from the weights of PP-OCRv6 on.

    python -m training.line.start --wheel rapidocr-3.10.0-py3-none-any.whl --out /tmp/line-start.pt
    torchrun --nproc-per-node 2 -m training.line.train --bank BANK --frames FRAMES --out RUN --minutes 60 \\
        --resume /tmp/line-start.pt

The learning rate falls as a cosine of the time spent (``--minutes``) or of the steps. ``last.pt`` (the moving average
of the weights) is written all along.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections import deque
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.distributed as together
from torch import nn
from torch.nn import functional

from edge_agent.anpr.line_reader import characters
from training.line.network import LineNetwork
from training.line.samples import Lines, LineSample, collate, held_out, photographed
from training.reader.bank import load_real
from training.reader.train import Schedule, average, join_the_others, rate, share_gradients

REPORT_EVERY, VALIDATE_EVERY = 25, 150  # steps
LONGEST_MEMORY = 0.99
"""Of the moving average: fine-tuning takes hundreds of steps, not tens of thousands."""


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", type=Path, required=True)
    parser.add_argument("--frames", type=Path, default=None, help="folder of street scenes for backgrounds")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real-share", type=float, default=0.1, help="of the lines: photographed ones")
    parser.add_argument("--frozen", type=int, default=3, help="blocks behind the stem that keep their weights")
    options = parser.parse_args()
    train(options)


def train(options: argparse.Namespace) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    rank, processes = join_the_others()
    options.out.mkdir(parents=True, exist_ok=True)
    network = LineNetwork().to(memory_format=torch.channels_last)
    network.load_state_dict(torch.load(options.resume)["network"])
    network.freeze(options.frozen)
    smooth = copy.deepcopy(network)
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=options.rate, weight_decay=0.01, fused=True)
    schedule = Schedule(minutes=options.minutes, steps=options.steps)
    watched = watched_sets(options) if rank == 0 else {}
    lines = Lines(
        options.bank, options.frames, options.batch, options.seed + 1 + 1000 * rank, real_share=options.real_share
    )
    losses, begun_s, progress = deque[float](maxlen=REPORT_EVERY), time.monotonic(), 0.0
    for step, (pictures, wanted, lengths) in enumerate(lines, 1):
        network.train()
        for group in optimiser.param_groups:
            group["lr"] = rate(step, progress, options.rate)
        steps = network(pictures).log_softmax(2).transpose(0, 1)
        told = torch.full((len(pictures),), steps.shape[0])
        cost = functional.ctc_loss(steps, wanted, told, lengths, zero_infinity=True)
        optimiser.zero_grad()
        cost.backward()
        progress = share_gradients(network, schedule.progress(step))
        nn.utils.clip_grad_norm_(learning, 5.0)
        optimiser.step()
        average(smooth, network, step, longest=LONGEST_MEMORY)
        losses.append(cost.item())
        done = progress >= 1
        if rank == 0 and step % REPORT_EVERY == 0:
            speed = step * options.batch * processes / (time.monotonic() - begun_s)
            print(f"step {step} loss {np.mean(losses):.3f} {speed:.0f} lines/s done {progress:.2f}", flush=True)
        if rank == 0 and (step % VALIDATE_EVERY == 0 or done):
            told_of = " ".join(f"{name} {exact(smooth, samples):.4f}" for name, samples in watched.items())
            print(f"step {step} exact: {told_of}", flush=True)
            torch.save({"network": smooth.state_dict(), "step": step}, options.out / "last.pt")
        if done:
            break
    if together.is_initialized():
        together.destroy_process_group()


def watched_sets(options: argparse.Namespace) -> dict[str, list[LineSample]]:
    """Return what is looked at while training, and never trained on."""
    rng = np.random.default_rng(1)
    real = load_real(options.bank, held_out=True)
    if not options.real_share:
        real += load_real(options.bank, held_out=False)
    return {
        "drawn": held_out(options.bank, options.frames, 300),
        "photographed": [photographed(rng, one, hardness=0) for one in real[:300]],
    }


if __name__ == "__main__":
    main()
