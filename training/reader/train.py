"""Train the reader on a bank of plates. Every crop is augmented again each time.

    python -m training.reader.bank --folder BANK --shards 12 --plates 2500 --seed 1
    python -m training.reader.bank --folder BANK --shards 1 --plates 700 --seed 900 \\
        --fonts held_out --prefix validation
    python -m training.reader.train --bank BANK --out RUN --minutes 60 [--resume RUN/last.pt]
    torchrun --nproc-per-node 2 -m training.reader.train --workers 0 …      # one network, one process per core

The learning rate falls as a cosine of the time spent (``--minutes``) or of the steps (``--steps``). ``last.pt`` and
``best.pt`` (the moving average of the weights, best on the validation crops) are written during training and
can be exported at any time.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from edge_agent.anpr.recognition.character_detection import ALPHABET, detect_characters
from training.loop import Pace, begin, fit, option_parser, seed_of_process
from training.reader.augment import Backgrounds, Sample, make_real_sample, make_sample
from training.reader.bank import DrawnPlates, load_real, load_validation
from training.reader.network import ReaderNetwork, loss, targets, warm_start

RESCAN_EVERY = 20_000  # crops, after which new shards in the folder are loaded

KEEP = 2_000
REAL_SHARE = 0.08
"""Share of photographed plates among the crops, if the bank has any."""
EASY_CROPS = 100_000  # after which the augmentation reaches its full strength
PACE = Pace(report_every=50, validate_every=500, unit="crops")


class Crops(IterableDataset):
    """An endless stream of batches of newly augmented crops."""

    def __init__(self, bank: Path, frames: Path | None, batch: int, seed: int, *, hardest_at_once: bool) -> None:
        self._bank, self._frames, self._batch, self._seed = bank, frames, batch, seed
        self._easy_crops = 1 if hardest_at_once else EASY_CROPS

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        if get_worker_info() is not None:
            os.setsid()  # the kernel shares processor time among sessions
        rng = np.random.default_rng(self._seed)
        backgrounds = Backgrounds(self._frames, held_out=False)
        drawn = DrawnPlates(self._bank)
        real = load_real(self._bank, held_out=False)
        kept: list[Sample] = []
        again: list[Sample] = []
        made = 0
        while True:
            if made % RESCAN_EVERY < self._batch:
                drawn.load_new_shards()
            made += self._batch
            hardest = 0.4 + 0.6 * min(1.0, made / self._easy_crops)
            fresh: list[Sample] = []
            for _ in range(self._batch - len(again)):
                hardness = float(rng.uniform(0.05, hardest))
                if real and rng.random() < REAL_SHARE:
                    fresh.append(make_real_sample(rng, real[rng.integers(len(real))], hardness=hardness))
                else:
                    fresh.append(make_sample(rng, drawn.any(rng), backgrounds, hardness=hardness))
            yield collate(fresh + again)
            kept += fresh
            again = []
            if len(kept) > KEEP:  # use every crop twice: augmentation takes a third of the training time
                picks = sorted(rng.choice(len(kept), self._batch // 2, replace=False), reverse=True)
                again = [kept.pop(int(pick)) for pick in picks]


def collate(samples: list[Sample]) -> tuple[Tensor, ...]:
    """Return images (uint8 NCHW), cell classes, cell boxes and regions."""
    pairs = [targets(sample.boxes, sample.classes) for sample in samples]
    pictures = torch.from_numpy(np.stack([sample.image for sample in samples])).permute(0, 3, 1, 2)
    return (
        pictures,
        torch.from_numpy(np.stack([wanted for wanted, _ in pairs])),
        torch.from_numpy(np.stack([where for _, where in pairs])),
        torch.tensor([sample.region for sample in samples]),
    )


def to_reader_input(pictures: Tensor) -> Tensor:
    return pictures.float().div_(255).contiguous(memory_format=torch.channels_last)


def validation_set(bank: Path, frames: Path | None, count: int) -> list[Sample]:
    """Return crops of plates in fonts and over backgrounds that are not used in training."""
    rng = np.random.default_rng(4242)
    backgrounds = Backgrounds(frames, held_out=True)
    return [make_sample(rng, plate, backgrounds, hardness=0.7) for plate in load_validation(bank)[:count]]


@torch.no_grad()
def accuracy(network: nn.Module, samples: list[Sample]) -> tuple[float, float]:
    """Return the share of crops read without any error, and the share of characters that are correct."""
    network.eval()
    right = characters = total = 0
    for start in range(0, len(samples), 64):
        part = samples[start : start + 64]
        cells, _ = network(to_reader_input(collate(part)[0]))
        for grid, sample in zip(cells.permute(0, 2, 3, 1).numpy(), part, strict=True):
            read = [character.char for character in detect_characters(grid)]
            wanted = [ALPHABET[c] for c in sample.classes]
            right += read == wanted
            characters += sum(a == b for a, b in zip(read, wanted, strict=False))
            total += len(wanted)
    return right / len(samples), characters / total


def main() -> None:
    parser = option_parser(__doc__, batch=48, rate=2e-3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--resume", type=Path, default=None)
    options = parser.parse_args()
    train(options)


def train(options: argparse.Namespace) -> None:
    rank = begin(options)
    network = ReaderNetwork().to(memory_format=torch.channels_last)
    if options.resume:
        warm_start(network, torch.load(options.resume)["network"])
    validate = Validation(options.bank, options.frames, options.out).validate if rank == 0 else None
    fit(network, batches(options, rank), cost_of, options, PACE, validate=validate)


def batches(options: argparse.Namespace, rank: int) -> DataLoader:
    """Return the batches of one process; those of other processes differ."""
    crops = Crops(
        options.bank,
        options.frames,
        options.batch,
        seed_of_process(options, rank),
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
    """Return the loss of a batch."""
    pictures, wanted, where, region = batch
    with torch.autocast("cpu", torch.bfloat16):
        cells, regions = network(to_reader_input(pictures))
    return loss(cells.float(), regions.float(), wanted, where, region)


class Validation:
    """Reports the accuracy on held-out plates and saves the latest and the best weights."""

    def __init__(self, bank: Path, frames: Path | None, out: Path) -> None:
        unaugmented = np.random.default_rng(1)
        self._drawn = validation_set(bank, frames, 600)
        self._photographs = [make_real_sample(unaugmented, one, hardness=0) for one in load_real(bank, held_out=True)]
        self._out, self._best = out, 0.0

    def validate(self, network: nn.Module, step: int) -> None:
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
