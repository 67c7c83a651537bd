"""The training loop of both reader networks, by steps or minutes, in one process or several."""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.distributed as together
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Pace:
    """Reporting and validation intervals in steps, and the decay of the moving average of the weights."""

    report_every: int
    validate_every: int
    unit: str
    """What the speed is reported in per second, for example ``crops``."""
    longest_memory: float = 0.999


class Schedule:
    """The progress of training, 0..1, by steps or by time."""

    def __init__(self, *, minutes: float, steps: int) -> None:
        self._minutes, self._steps, self._begun_s = minutes, steps, time.monotonic()

    def progress(self, step: int) -> float:
        if self._steps:
            return step / self._steps
        return (time.monotonic() - self._begun_s) / 60 / self._minutes


def option_parser(description: str | None, *, batch: int, rate: float) -> argparse.ArgumentParser:
    """Return a parser with the options common to all trainings."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--frames", type=Path, default=None, help="folder of street scenes for backgrounds")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--rate", type=float, default=rate)
    parser.add_argument("--seed", type=int, default=1)
    return parser


def begin(options: argparse.Namespace) -> int:
    """Prepare training, join the process group, and return the rank of this process."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    if "WORLD_SIZE" not in os.environ:
        return 0
    together.init_process_group("gloo")
    return together.get_rank()


def seed_of_process(options: argparse.Namespace, rank: int) -> int:
    """Return a sample seed that is unique to this process."""
    return options.seed + 1 + 1000 * rank


def fit(
    network: nn.Module,
    batches: Iterable[Any],
    cost_of: Callable[[nn.Module, Any], Tensor],
    options: argparse.Namespace,
    pace: Pace,
    *,
    validate: Callable[[nn.Module, int], None] | None,
) -> None:
    """Train the weights that are not frozen.

    ``validate`` is called with the moving average of the network and the step. It is None in all processes but the one
    of rank 0, which also reports loss and speed.
    """
    smooth = copy.deepcopy(network)
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=options.rate, weight_decay=0.01, fused=True)
    schedule = Schedule(minutes=options.minutes, steps=options.steps)
    processes = together.get_world_size() if together.is_initialized() else 1
    losses, begun_s, progress = deque[float](maxlen=pace.report_every), time.monotonic(), 0.0
    for step, batch in enumerate(batches, 1):
        network.train()
        for group in optimiser.param_groups:
            group["lr"] = rate(step, progress, options.rate)
        cost = cost_of(network, batch)
        optimiser.zero_grad()
        cost.backward()
        progress = share_gradients(network, schedule.progress(step))
        nn.utils.clip_grad_norm_(learning, 5.0)
        optimiser.step()
        average(smooth, network, step, longest=pace.longest_memory)
        losses.append(cost.item())
        done = progress >= 1
        if validate and step % pace.report_every == 0:
            speed = step * options.batch * processes / (time.monotonic() - begun_s)
            print(f"step {step} loss {np.mean(losses):.3f} {speed:.0f} {pace.unit}/s done {progress:.2f}", flush=True)
        if validate and (step % pace.validate_every == 0 or done):
            validate(smooth, step)
        if done:
            break
    if together.is_initialized():
        together.destroy_process_group()


def rate(step: int, progress: float, peak: float) -> float:
    """Return the learning rate: 150 steps of warm-up, then cosine decay to 1 %."""
    return peak * min(1.0, step / 150) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def share_gradients(network: nn.Module, progress: float) -> float:
    """Average gradients and progress over the processes, which therefore end together; return the average progress."""
    if not together.is_initialized():
        return progress
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    flat = torch.cat([*(gradient.flatten() for gradient in gradients), torch.tensor([progress])])
    together.all_reduce(flat)
    flat /= together.get_world_size()
    for gradient, part in zip(gradients, flat[:-1].split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
    return float(flat[-1])


@torch.no_grad()
def average(into: nn.Module, network: nn.Module, step: int, *, longest: float) -> None:
    """Update the moving average of the weights; ``longest``: its final decay."""
    keep = min(longest, (1 + step) / (20 + step))
    for old, new in zip(into.state_dict().values(), network.state_dict().values(), strict=True):
        if old.dtype.is_floating_point:
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)
