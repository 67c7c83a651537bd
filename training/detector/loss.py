"""Quality-aware focal loss for the score, GIoU for the box, corner distance where corners are known exactly."""

from __future__ import annotations

import torch
from torch.nn import functional

from edge_agent.anpr.detection.plate_decoding import STRIDES
from training.detector.targets import BACKGROUND, PLATE

BOX_WEIGHT, CORNER_WEIGHT = 1.5, 1.0
LEAST_QUALITY = 0.15


def cells(height: int, width: int) -> torch.Tensor:
    """Return (N, 3): x and y of each cell's centre in pixels and its stride, in the order of the outputs."""
    parts = []
    for stride in STRIDES:
        ys, xs = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        parts.append(
            torch.stack(
                [(xs.ravel() + 0.5) * stride, (ys.ravel() + 0.5) * stride, torch.full((xs.numel(),), float(stride))], 1
            )
        )
    return torch.cat(parts)


def flatten(outputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Return (B, N, 9)."""
    return torch.cat([output.flatten(2).transpose(1, 2) for output in outputs], 1)


def boxes_of(corners: torch.Tensor) -> torch.Tensor:
    """Return the xyxy bounding boxes of corners (M, 8)."""
    x, y = corners[:, 0::2], corners[:, 1::2]
    return torch.stack([x.amin(1), y.amin(1), x.amax(1), y.amax(1)], 1)


def overlap(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return IoU and generalised IoU of boxes, row by row."""
    inner = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inner
    iou = inner / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)


def plate_loss(
    outputs: torch.Tensor,
    grid: torch.Tensor,
    *,
    kind: torch.Tensor,
    corners: torch.Tensor,
    exact: torch.Tensor,
    weight: torch.Tensor,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the total loss and its parts. ``outputs``: (B, N, 9) float32; the others: stacked ``targets.assign``."""
    logits = outputs[..., 0]
    chosen = kind == PLATE
    count = max(1, int(chosen.sum()))
    centre = grid[None].expand(outputs.shape[0], -1, -1)[chosen]
    predicted = outputs[chosen][:, 1:] * centre[:, 2:] + centre[:, :2].repeat(1, 4)
    expected = corners[chosen]
    iou, giou = overlap(boxes_of(predicted), boxes_of(expected))
    tall = (expected[:, 7] - expected[:, 1]).abs().clamp(min=4)[:, None]
    known = exact[chosen]
    distance = functional.smooth_l1_loss(predicted / tall, expected / tall, beta=0.1, reduction="none").mean(1)
    corner_loss = distance[known].sum() / max(1, int(known.sum()))
    box_loss = (1 - giou).sum() / count

    quality = iou.detach().clamp(LEAST_QUALITY, 1.0)
    score = torch.sigmoid(logits)
    plate_logits = logits[chosen]
    plate_loss_ = (
        (quality - score[chosen]).abs().pow(1.5)
        * functional.binary_cross_entropy_with_logits(plate_logits, quality, reduction="none")
    ).sum()
    background = kind == BACKGROUND
    away = score[background].pow(2) * functional.softplus(logits[background]) * weight[background]
    score_loss = (2.0 * plate_loss_ + 1.0 * away.sum()) / count
    total = score_loss + BOX_WEIGHT * box_loss + CORNER_WEIGHT * corner_loss
    return total, {
        name: float(value.detach())
        for name, value in (("score", score_loss), ("box", box_loss), ("corner", corner_loss), ("iou", iou.mean()))
    }
