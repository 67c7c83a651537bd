"""An anchor-free detector with one class on luma: each cell of three strides has a score and the plate's four corners.

The box is the bounding box of the corners, so frames labelled with boxes alone train the same outputs as scenes with
exact corners. The convolutions are dense, 3×3 after a 1×1 squeeze: depthwise ones train ten times slower per
multiplication on a CPU, and do not run faster with int8 kernels.
"""

from __future__ import annotations

import torch
from torch import nn

from edge_agent.anpr.detection.plate_decoding import STRIDES

OUTPUTS = 9
"""A logit, then x and y of the corners (top left, top right, bottom right, bottom left) from the cell's centre, in
strides."""


class Conv(nn.Sequential):
    """Convolution, normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
            nn.BatchNorm2d(outputs, momentum=0.03),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """Residual block: squeeze to half the channels, 3×3 convolution, add."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = Conv(channels, channels // 2, 1)
        self.look = Conv(channels // 2, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.look(self.squeeze(x))


class Surroundings(nn.Module):
    """Spatial pyramid pooling: maxima over increasing windows, for context at stride 32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = Conv(channels, channels // 2, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.mix = Conv(channels * 2, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.squeeze(x)
        once = self.pool(x)
        twice = self.pool(once)
        return self.mix(torch.cat([x, once, twice, self.pool(twice)], 1))


class PlateNet(nn.Module):
    """``(B, 1, H, W)`` luma as (value - 128) / 64, sides multiples of 32 → three ``(B, 9, h, w)``, one per stride."""

    def __init__(self, widths: tuple[int, int, int, int, int] = (16, 32, 64, 112, 160), neck: int = 64) -> None:
        super().__init__()
        a, b, c, d, e = widths
        self.to4 = nn.Sequential(Conv(1, a, 3, 2), Conv(a, b, 3, 2), Residual(b))
        self.to8 = nn.Sequential(Conv(b, c, 3, 2), Residual(c), Residual(c))
        self.to16 = nn.Sequential(Conv(c, d, 3, 2), Residual(d), Residual(d))
        self.to32 = nn.Sequential(Conv(d, e, 3, 2), Residual(e), Surroundings(e), Residual(e))
        self.side8, self.side16, self.side32 = Conv(c, neck, 1), Conv(d, neck, 1), Conv(e, neck, 1)
        self.blend8, self.blend16, self.blend32 = Conv(neck, neck), Conv(neck, neck), Conv(neck, neck)
        self.heads = nn.ModuleList([nn.Sequential(Residual(neck), nn.Conv2d(neck, OUTPUTS, 1)) for _ in STRIDES])
        for head in self.heads:
            nn.init.normal_(head[1].weight, std=0.01)
            head[1].bias.data = torch.tensor([-4.5, -2, -0.6, 2, -0.6, 2, 0.6, -2, 0.6])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        at8 = self.to8(self.to4(x))
        at16 = self.to16(at8)
        p32 = self.side32(self.to32(at16))
        p16 = self.side16(at16) + nn.functional.interpolate(p32, scale_factor=2.0, mode="nearest")
        p16 = self.blend16(p16)
        p8 = self.blend8(self.side8(at8) + nn.functional.interpolate(p16, scale_factor=2.0, mode="nearest"))
        return self.heads[0](p8), self.heads[1](p16), self.heads[2](self.blend32(p32))
