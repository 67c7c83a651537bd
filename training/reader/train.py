"""Train the reader on the bank, every crop spoilt anew.

    python -m training.reader.bank --folder BANK --shards 12 --plates 2500 --seed 1
    python -m training.reader.bank --folder BANK --shards 1 --plates 700 --seed 900 \\
        --fonts held_out --prefix validation
    python -m training.reader.train --bank BANK --out RUN --minutes 60 [--resume RUN/last.pt]
    torchrun --nproc-per-node 2 -m training.reader.train --workers 0 …      # as many processes as cores, one network

The learning rate falls as a cosine of the time spent (``--minutes``) or of the steps (``--steps``). ``last.pt`` and
``best.pt`` (the moving average of the weights, best on the validation crops) are written all along, so an export is
possible at any time.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.distributed as together
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from edge_agent.anpr.spotting import ALPHABET, spot
from training.reader.bank import BankedPlate, load_real, load_shard
from training.reader.degrade import Backgrounds, Sample, make_real_sample, make_sample
from training.reader.network import ReaderNetwork, loss, targets, warm_start

RESCAN_EVERY = 20_000  # crops; new shards in the folder are taken in

KEEP = 2_000
REAL_SHARE = 0.08
"""Of the crops: photographed plates, where the bank has any."""
EASY_CROPS = 100_000  # by then the worst spoiling is reached
REPORT_EVERY, VALIDATE_EVERY = 50, 500  # steps


class Crops(IterableDataset):
    """Batches of freshly spoilt crops, without end."""

    def __init__(self, bank: Path, frames: Path | None, batch: int, seed: int, *, hardest_at_once: bool) -> None:
        self._bank, self._frames, self._batch, self._seed = bank, frames, batch, seed
        self._easy_crops = 1 if hardest_at_once else EASY_CROPS

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        if get_worker_info() is not None:
            os.setsid()  # a session of its own, as if started beside: the kernel shares time among sessions
        rng = np.random.default_rng(self._seed)
        backgrounds = Backgrounds(self._frames, held_out=False)
        plates: list[BankedPlate] = []
        real = load_real(self._bank, held_out=False)
        kept: list[Sample] = []
        again: list[Sample] = []
        seen, made = set(), 0
        while True:
            if made % RESCAN_EVERY < self._batch:
                for path in sorted(self._bank.glob("shard-*.pickle")):
                    if path not in seen:
                        seen.add(path)
                        plates += load_shard(path)
            made += self._batch
            hardest = 0.4 + 0.6 * min(1.0, made / self._easy_crops)
            fresh: list[Sample] = []
            for _ in range(self._batch - len(again)):
                hardness = float(rng.uniform(0.05, hardest))
                if real and rng.random() < REAL_SHARE:
                    fresh.append(make_real_sample(rng, real[rng.integers(len(real))], hardness=hardness))
                else:
                    fresh.append(make_sample(rng, plates[rng.integers(len(plates))], backgrounds, hardness=hardness))
            yield collate(fresh + again)
            kept += fresh
            again = []
            if len(kept) > KEEP:  # every crop is shown twice, some thousands apart: spoiling costs a third of training
                picks = sorted(rng.choice(len(kept), self._batch // 2, replace=False), reverse=True)
                again = [kept.pop(int(pick)) for pick in picks]


def collate(samples: list[Sample]) -> tuple[Tensor, ...]:
    """Return pictures (uint8 NCHW), cell classes, cell boxes and regions."""
    pairs = [targets(sample.boxes, sample.classes) for sample in samples]
    pictures = torch.from_numpy(np.stack([sample.image for sample in samples])).permute(0, 3, 1, 2)
    return (
        pictures,
        torch.from_numpy(np.stack([wanted for wanted, _ in pairs])),
        torch.from_numpy(np.stack([where for _, where in pairs])),
        torch.tensor([sample.region for sample in samples]),
    )


def as_input(pictures: Tensor) -> Tensor:
    return pictures.float().div_(255).contiguous(memory_format=torch.channels_last)


def validation_set(bank: Path, frames: Path | None, count: int) -> list[Sample]:
    """Return crops of plates in fonts and over backgrounds that training never sees."""
    rng = np.random.default_rng(4242)
    plates: list[BankedPlate] = [
        plate for path in sorted(bank.glob("validation-*.pickle")) for plate in load_shard(path)
    ]
    backgrounds = Backgrounds(frames, held_out=True)
    return [make_sample(rng, plate, backgrounds, hardness=0.7) for plate in plates[:count]]


def rate(step: int, progress: float, peak: float) -> float:
    """Return the learning rate: up within 150 steps, then down as a cosine to a hundredth."""
    return peak * min(1.0, step / 150) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


@torch.no_grad()
def accuracy(network: nn.Module, samples: list[Sample]) -> tuple[float, float]:
    """Return the share of crops read without any error, and of characters counted and named rightly in their place."""
    network.eval()
    right = characters = total = 0
    for start in range(0, len(samples), 64):
        part = samples[start : start + 64]
        cells, _ = network(as_input(collate(part)[0]))
        for grid, sample in zip(cells.permute(0, 2, 3, 1).numpy(), part, strict=True):
            read = [character.char for character in spot(grid)]
            wanted = [ALPHABET[c] for c in sample.classes]
            right += read == wanted
            characters += sum(a == b for a, b in zip(read, wanted, strict=False))
            total += len(wanted)
    return right / len(samples), characters / total


class Schedule:
    """How far training is, from 0 to 1, by steps or by the clock."""

    def __init__(self, *, minutes: float, steps: int) -> None:
        self._minutes, self._steps, self._begun_s = minutes, steps, time.monotonic()

    def progress(self, step: int) -> float:
        if self._steps:
            return step / self._steps
        return (time.monotonic() - self._begun_s) / 60 / self._minutes


def share_gradients(network: nn.Module, progress: float) -> float:
    """Average the gradients over the processes that train together, and how far they are, so that they end together."""
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
def average(into: nn.Module, network: nn.Module, step: int, *, longest: float = 0.999) -> None:
    """Move the averaged weights a little towards the network's; ``longest``: the share they keep in the end."""
    keep = min(longest, (1 + step) / (20 + step))
    for old, new in zip(into.state_dict().values(), network.state_dict().values(), strict=True):
        if old.dtype.is_floating_point:
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--frames", type=Path, default=None, help="folder of street scenes for backgrounds")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--resume", type=Path, default=None)
    options = parser.parse_args()
    train(options)


def train(options: argparse.Namespace) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    rank, processes = join_the_others()
    options.out.mkdir(parents=True, exist_ok=True)
    network = ReaderNetwork().to(memory_format=torch.channels_last)
    if options.resume:
        warm_start(network, torch.load(options.resume)["network"])
    smooth = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=0.01, fused=True)
    schedule = Schedule(minutes=options.minutes, steps=options.steps)
    validation = Validation(options.bank, options.frames, options.out) if rank == 0 else None
    losses, begun_s, progress = deque[float](maxlen=REPORT_EVERY), time.monotonic(), 0.0
    for step, batch in enumerate(batches(options, rank), 1):
        network.train()
        for group in optimiser.param_groups:
            group["lr"] = rate(step, progress, options.rate)
        cost = cost_of(network, batch)
        optimiser.zero_grad()
        cost.backward()
        progress = share_gradients(network, schedule.progress(step))
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        average(smooth, network, step)
        losses.append(cost.item())
        done = progress >= 1
        if validation and step % REPORT_EVERY == 0:
            speed = step * options.batch * processes / (time.monotonic() - begun_s)
            print(f"step {step} loss {np.mean(losses):.3f} {speed:.0f} crops/s done {progress:.2f}", flush=True)
        if validation and (step % VALIDATE_EVERY == 0 or done):
            validation.look_at(smooth, step)
        if done:
            break
    if together.is_initialized():
        together.destroy_process_group()


def join_the_others() -> tuple[int, int]:
    """Return which of the processes that train together this one is, and how many they are."""
    if "WORLD_SIZE" not in os.environ:
        return 0, 1
    together.init_process_group("gloo")
    return together.get_rank(), together.get_world_size()


def batches(options: argparse.Namespace, rank: int) -> DataLoader:
    """Return the batches of one process, which no other has."""
    crops = Crops(
        options.bank,
        options.frames,
        options.batch,
        options.seed + 1 + 1000 * rank,
        hardest_at_once=bool(options.resume),
    )
    return DataLoader(
        crops,
        batch_size=None,
        num_workers=options.workers,
        prefetch_factor=8 if options.workers else None,
        multiprocessing_context="spawn" if options.workers else None,  # OpenCV's threads do not survive a fork
    )


def cost_of(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """Return how wrong the network is about a batch."""
    pictures, wanted, where, region = batch
    with torch.autocast("cpu", torch.bfloat16):
        cells, regions = network(as_input(pictures))
    return loss(cells.float(), regions.float(), wanted, where, region)


class Validation:
    """Tells how well a network reads what it was not trained on, and keeps the newest and the best of them."""

    def __init__(self, bank: Path, frames: Path | None, out: Path) -> None:
        unspoilt = np.random.default_rng(1)
        self._drawn = validation_set(bank, frames, 600)
        self._photographs = [make_real_sample(unspoilt, one, hardness=0) for one in load_real(bank, held_out=True)]
        self._out, self._best = out, 0.0

    def look_at(self, network: nn.Module, step: int) -> None:
        exact, characters = accuracy(network, self._drawn)
        on_photographs = f" photographs {accuracy(network, self._photographs)[0]:.4f}" if self._photographs else ""
        print(f"step {step} validation exact {exact:.4f} characters {characters:.4f}{on_photographs}", flush=True)
        state = {"network": network.state_dict(), "step": step, "exact": exact}
        torch.save(state, self._out / "last.pt")
        if exact >= self._best:
            self._best = exact
            torch.save(state, self._out / "best.pt")


if __name__ == "__main__":
    main()
