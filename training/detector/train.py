"""Train the plate detector for a number of minutes on one thread; a second process draws the scenes.

Usage::

    python -m training.detector.train --minutes 45 --frames ../shared/anpr/train_romania --out DIR \\
        --bank DIR/plates-train.npz --bank-held-out DIR/plates-val.npz
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import queue
import time
from copy import deepcopy
from pathlib import Path

import cv2
import numpy as np
import torch

from edge_agent.anpr.detection.plate_decoding import cell_grid, decode
from training.detector.frames import load_frames
from training.detector.loss import cells, flatten, plate_loss
from training.detector.network import PlateNet
from training.detector.plate_bank import load_bank
from training.detector.scenes import SceneMaker
from training.detector.targets import assign
from training.detector.validate import Example, evaluate, generated_examples, real_examples

SHAPES = (((320, 320), 8, 0.5), ((448, 288), 6, 0.3), ((640, 384), 4, 0.2))
"""(width, height), images per batch, share of the batches."""


def draw_batches(out: multiprocessing.Queue, arguments: argparse.Namespace) -> None:
    """Fill the queue with batches in a separate process."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    rng = np.random.default_rng(arguments.seed)
    frames = load_frames(
        arguments.frames, validation=False, cache=arguments.out / "frames.npy", doubtful=arguments.doubtful
    )
    maker = SceneMaker(frames=frames, plates=load_bank(arguments.bank), rng=rng)
    while True:
        (width, height), count, _ = SHAPES[int(rng.choice(len(SHAPES), p=[share for *_, share in SHAPES]))]
        scenes = [maker.draw(width, height) for _ in range(count)]
        images = np.stack([scene.image for scene in scenes])[:, None]
        out.put((images, *(np.stack(parts) for parts in zip(*map(assign, scenes), strict=True))))


def to_input(images: np.ndarray) -> torch.Tensor:
    """Return luma normalised for the network."""
    return ((torch.from_numpy(images).float() - 128) / 64).to(memory_format=torch.channels_last)


@torch.no_grad()
def evaluate_network(net: PlateNet, examples: list[Example]) -> dict[str, object]:
    """Evaluate the network on these examples."""
    net.eval()
    answers = []
    for example in examples:
        cells_of_image = flatten(net(to_input(example.image[None, None])))[0].numpy()
        answers.append(decode(cells_of_image, cell_grid(*example.image.shape), threshold=0.2))
    return evaluate(examples, answers)


class Average:
    """A moving average of the weights, which is validated and saved."""

    def __init__(self, net: PlateNet, decay: float = 0.996) -> None:
        self.net, self._decay, self._steps = deepcopy(net), decay, 0

    def update(self, net: PlateNet) -> None:
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        with torch.no_grad():
            for kept, new in zip(self.net.state_dict().values(), net.state_dict().values(), strict=True):
                if kept.dtype.is_floating_point:
                    kept.lerp_(new, 1 - decay)
                else:
                    kept.copy_(new)


def rate(progress: float, peak: float) -> float:
    """Return the learning rate: warm-up over 3 %, then cosine decay."""
    return peak * (
        progress / 0.03 if progress < 0.03 else 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("frames", "bank", "bank-held-out", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--peak", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", type=Path, help="start from the weights of an earlier checkpoint")
    parser.add_argument("--doubtful", type=Path, help="output of unlabelled.py")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)

    held_out = load_frames(arguments.frames, validation=True, cache=arguments.out / "frames.npy")
    maker = SceneMaker(frames=held_out, plates=load_bank(arguments.bank_held_out), rng=np.random.default_rng(77))
    sets = {"generated": generated_examples(maker, 100), "real": real_examples(held_out)}
    batches: multiprocessing.Queue = multiprocessing.Queue(10)
    multiprocessing.Process(target=draw_batches, args=(batches, arguments), daemon=True).start()

    net = PlateNet().to(memory_format=torch.channels_last)
    if arguments.resume:
        net.load_state_dict(torch.load(arguments.resume)["weights"])
    average = Average(net)
    decayed = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}], lr=1e-4
    )
    grids = {shape: cells(shape[1], shape[0]) for shape, *_ in SHAPES}
    start, last_validated, step, seen, waited = time.monotonic(), time.monotonic(), 0, 0, 0.0
    while (progress := (time.monotonic() - start) / (arguments.minutes * 60)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate(progress, arguments.peak)
        before = time.monotonic()
        images, *targets = _next(batches)
        waited += time.monotonic() - before
        net.train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = net(to_input(images))
        grid = grids[images.shape[3], images.shape[2]]
        kind, corners, exact, weight = (torch.from_numpy(target) for target in targets)
        loss, parts = plate_loss(flatten(outputs).float(), grid, kind=kind, corners=corners, exact=exact, weight=weight)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        average.update(net)
        step, seen = step + 1, seen + len(images)
        if step % 50 == 0:
            words = " ".join(f"{k} {v:.3f}" for k, v in parts.items())
            print(
                f"{time.monotonic() - start:6.0f} s step {step} seen {seen} waited {waited:.0f} s: {words}", flush=True
            )
        if time.monotonic() - last_validated > 330:
            _validate(average.net, sets, arguments.out, step)
            last_validated = time.monotonic()
    _validate(average.net, sets, arguments.out, step)


def _next(batches: multiprocessing.Queue) -> tuple[np.ndarray, ...]:
    while True:
        try:
            return batches.get(timeout=60)
        except queue.Empty:
            print("waiting for scenes", flush=True)


def _validate(net: PlateNet, sets: dict[str, list[Example]], out: Path, step: int) -> None:
    for name, examples in sets.items():
        print(f"step {step} {name}: {evaluate_network(net, examples)}", flush=True)
    torch.save({"weights": net.state_dict(), "step": step}, out / "last.tmp")
    (out / "last.tmp").replace(out / "last.pt")


if __name__ == "__main__":
    main()
