"""The reader's network: it detects characters on a grid, which works for any layout and number of characters.

On a 192×64 crop a small residual network gives a map of 8 rows by 48 columns. Each cell predicts which character, if
any, has its centre there (37 classes, 0 = none), and its position and size (4 numbers). A coarser, dilated branch
provides the context of the whole plate, so that it distinguishes a slogan from the number, and 0 from O. A second
output is the region.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_agent.anpr.recognition.character_detection import ALPHABET
from training.reader.augment import INPUT_HEIGHT, INPUT_WIDTH
from training.reader.bank import REGIONS

ROWS, COLUMNS = 8, 48
STEP_X, STEP_Y = INPUT_WIDTH / COLUMNS, INPUT_HEIGHT / ROWS
CLASSES = 1 + len(ALPHABET)
IGNORE = -1
LEAST_REACH = 1.0
"""Maximum distance of a positive cell from a character's centre, in columns."""
FIRST_GAIN = 0.05
"""Not exactly 0, because a gain and an offset of 0 after a ReLU would receive no gradient."""


class Conv(nn.Sequential):
    """Convolution, normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, *, stride: int | tuple[int, int] = 1, dilation: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


class Residual(nn.Module):
    """Residual block x + conv(x), initialised close to the identity (Goyal et al. 2017, section 5.1)."""

    def __init__(self, channels: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.conv = Conv(channels, channels, dilation=dilation)
        nn.init.constant_(self.conv[1].weight, FIRST_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


class ReaderNetwork(nn.Module):
    """``(B, 3, 64, 192)`` RGB in 0..1 → logits: cells ``(B, 37 + 4, 8, 48)`` and region ``(B, 5)``."""

    def __init__(self, stem: int = 24, low: int = 32, fine: int = 64, wide: int = 96) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            Conv(3, stem, stride=2),
            Conv(stem, low, stride=2),
            Residual(low),
            Conv(low, fine, stride=(2, 1)),
            Residual(fine),
            Residual(fine),
        )
        self.context = nn.Sequential(
            Conv(fine, wide, stride=2),
            Residual(wide, dilation=1),
            Residual(wide, dilation=2),
            Residual(wide, dilation=4),
            Residual(wide, dilation=1),
            Residual(wide, dilation=2),
            Residual(wide, dilation=4),
        )
        self.merge = nn.Sequential(nn.Conv2d(fine + wide, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU())
        self.deep = Residual(wide)
        self.cells = nn.Conv2d(wide, CLASSES + 4, 1)
        self.region = nn.Linear(wide, len(REGIONS))
        nn.init.constant_(self.cells.bias[0], 3.0)  # most cells contain no character

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(pictures)
        context = self.context(fine)
        spread = functional.interpolate(context, scale_factor=2.0, mode="nearest")
        cells = self.cells(self.deep(self.merge(torch.cat([fine, spread], 1))))
        return cells, self.region(context.mean((2, 3)))


def warm_start(network: ReaderNetwork, weights: dict[str, Tensor]) -> None:
    """Load the weights of an earlier, shallower network. Blocks that it lacks start close to the identity."""
    missing, unexpected = network.load_state_dict(weights, strict=False)
    blocks = {name.split(".conv.")[0] for name in missing}
    if unexpected or not all(isinstance(network.get_submodule(block), Residual) for block in blocks):
        raise ValueError(f"these weights are from another network: {sorted(missing)[:3]} {sorted(unexpected)[:3]}")


def targets(boxes: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the targets of the cells: class ``(8, 48)`` (0 none, -1 ignored), and box and weight ``(5, 8, 48)``.

    The weights of a character's cells sum to 1. An I has a third of an M's cells; with equal weights per cell, the
    network missed it next to wide letters. Every character has at least two columns: with one, an I centred between two
    columns had a low confidence in both.
    """
    wanted = np.zeros((ROWS, COLUMNS), np.int64)
    where = np.zeros((5, ROWS, COLUMNS), np.float32)
    x = (np.arange(COLUMNS) + 0.5) * STEP_X
    y = (np.arange(ROWS) + 0.5) * STEP_Y
    for cx, cy, w, h in boxes:
        near_x, near_y = np.abs(x - cx) <= max(STEP_X * 1.5, 0.5 * w), np.abs(y - cy) <= max(STEP_Y * 0.75, 0.5 * h)
        block = wanted[np.ix_(near_y, near_x)]
        wanted[np.ix_(near_y, near_x)] = np.where(block > 0, block, IGNORE)
    # The widest first: a cell of two characters is assigned to the narrower one, which has fewer cells.
    for number in np.argsort(-boxes[:, 2], kind="stable"):
        (cx, cy, w, h), char = boxes[number], classes[number]
        in_x = np.flatnonzero(np.abs(x - cx) <= max(STEP_X * LEAST_REACH, 0.22 * w))
        in_y = np.flatnonzero(np.abs(y - cy) <= max(STEP_Y * 0.51, 0.22 * h))
        if not len(in_x) or not len(in_y):
            continue
        cells = np.ix_(in_y, in_x)
        wanted[cells] = char + 1
        where[0][cells] = (cx - x[in_x])[None] / 16
        where[1][cells] = (cy - y[in_y])[:, None] / 16
        where[2][cells] = np.log(max(w, 1.0) / 16)
        where[3][cells] = np.log(max(h, 1.0) / 32)
        where[4][cells] = 1 / (len(in_x) * len(in_y))
    return wanted, where


def loss(cells: Tensor, region: Tensor, wanted: Tensor, where: Tensor, wanted_region: Tensor) -> Tensor:
    """Return a weighted sum of the cells' cross-entropy, the boxes' distance and the region's cross-entropy."""
    logits = cells[:, :CLASSES].permute(0, 2, 3, 1)
    positive = wanted > 0
    weight = where[:, 4][positive]
    weight = weight / weight.sum().clamp(min=1e-6)
    each = functional.cross_entropy(
        logits.reshape(-1, CLASSES), wanted.reshape(-1), ignore_index=IGNORE, reduction="none", label_smoothing=0.02
    )
    each = each.reshape(wanted.shape)
    found = (each[positive] * weight).sum()
    empty = each[wanted == 0].sum() / positive.sum().clamp(min=1)
    boxes = cells[:, CLASSES:].permute(0, 2, 3, 1)[positive]
    apart = functional.smooth_l1_loss(boxes, where[:, :4].permute(0, 2, 3, 1)[positive], beta=0.1, reduction="none")
    placed = (apart.mean(1) * weight).sum()
    return found + empty + 1.0 * placed + 0.1 * functional.cross_entropy(region, wanted_region)
