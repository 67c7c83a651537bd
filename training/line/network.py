"""The line reader's network, and the import of its initial weights from PP-OCRv6 (Apache-2.0).

The input is an image of one line of text, 48 pixels high. The output is one prediction every 8 pixels: one of 36
characters or a blank. Connectionist temporal classification (Graves et al. 2006) combines them into a text, so that
character positions are not needed in training.

The network is that of PP-OCRv6's small recogniser, as described by its ONNX file: a stem, blocks of a depthwise 3x3
convolution and a pointwise expansion (some with squeeze and excitation), an average over the height, and two
transformer layers along the line. Its weights were trained on millions of photographed lines. Of its 18,710 characters,
the 36 of plates are kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from edge_agent.anpr.recognition.character_detection import ALPHABET

CLASSES = 1 + len(ALPHABET)
"""Class 0 is the blank."""
_STAGES = (
    # channels in, out, rows halved?, squeezed?
    (96, 96, False, True), (96, 96, False, False), (96, 96, False, False), (96, 192, True, False),
    (192, 192, False, True), (192, 192, False, False), (192, 192, False, True), (192, 192, False, False),
    (192, 192, False, True), (192, 192, False, False), (192, 384, True, False),
    (384, 384, False, True), (384, 384, False, False),
)  # fmt: skip
_HEADS = 8


class Stem(nn.Module):
    """``(B, 3, 48, W)`` → ``(B, 96, 12, W / 4)``."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 48, 3, 2, padding=1)
        self.left = nn.Conv2d(48, 24, 2)
        self.right = nn.Conv2d(24, 48, 2)
        self.third = nn.Conv2d(96, 48, 3, 2, padding=1)
        self.last = nn.Conv2d(48, 96, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.first(x))
        padded = functional.pad(x, (0, 1, 0, 1))
        branch = functional.relu(self.left(padded))
        branch = functional.relu(self.right(functional.pad(branch, (0, 1, 0, 1))))
        x = torch.cat([functional.max_pool2d(padded, 2, 1), branch], 1)
        return functional.relu(self.last(functional.relu(self.third(x))))


class Squeeze(nn.Module):
    """Squeeze and excitation: weights channels by their mean over the image (Hu et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, channels // 4, 1)
        self.up = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.up(functional.relu(self.down(x.mean((2, 3), keepdim=True))))
        return x * functional.hardsigmoid(gate)


class Block(nn.Module):
    """Depthwise convolution, optional squeeze, then two pointwise convolutions with a skip connection."""

    def __init__(self, inputs: int, outputs: int, *, halved: bool, squeezed: bool) -> None:
        super().__init__()
        self.across = nn.Conv2d(inputs, inputs, 3, (2, 1) if halved else 1, padding=1, groups=inputs)
        self.squeeze = Squeeze(inputs) if squeezed else None
        self.expand = nn.Conv2d(inputs, inputs * 2, 1)
        self.shrink = nn.Conv2d(inputs * 2, outputs, 1)
        self.detour = not halved

    def forward(self, x: Tensor) -> Tensor:
        x = self.across(x)
        if self.squeeze is not None:
            x = self.squeeze(x)
        y = self.shrink(functional.gelu(self.expand(x)))
        return x + y if self.detour else y


class Along(nn.Module):
    """One pre-norm transformer layer; input and output are ``(B, T, C)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before = nn.LayerNorm(channels, eps=1e-5)
        self.qkv = nn.Linear(channels, channels * 3)
        self.mix = nn.Linear(channels, channels)
        self.between = nn.LayerNorm(channels, eps=1e-5)
        self.wide = nn.Linear(channels, channels * 2)
        self.narrow = nn.Linear(channels * 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, channels = x.shape
        per_head = channels // _HEADS
        asked = self.qkv(self.before(x)).reshape(batch, steps, 3, _HEADS, per_head).permute(2, 0, 3, 1, 4)
        weights = ((asked[0] * per_head**-0.5) @ asked[1].transpose(2, 3)).softmax(3)
        x = x + self.mix((weights @ asked[2]).transpose(1, 2).reshape(batch, steps, channels))
        return x + self.narrow(functional.silu(self.wide(self.between(x))))


class LineNetwork(nn.Module):
    """``(B, 3, 48, 192)`` BGR in -1..1 → ``(B, 24, 37)`` before the softmax; class 0 is the blank."""

    def __init__(self, channels: int = 120, top: int = 384) -> None:
        super().__init__()
        self.stem = Stem()
        self.blocks = nn.Sequential(*(Block(i, o, halved=h, squeezed=s) for i, o, h, s in _STAGES))
        self.past = nn.Conv2d(top, channels, 1)
        self.into = nn.Conv2d(top, channels, 1)
        self.near = nn.Conv2d(channels, channels, (1, 7), padding=(0, 3), groups=channels)
        self.along = nn.Sequential(Along(channels), Along(channels))
        self.after = nn.LayerNorm(channels, eps=1e-5)
        self.named = nn.Linear(channels, CLASSES)

    def freeze(self, blocks: int) -> None:
        """Freeze the stem and the first ``blocks`` blocks. Their features are the same for plates and other text."""
        for part in (self.stem, *self.blocks[:blocks]):
            part.requires_grad_(requires_grad=False)

    def forward(self, pictures: Tensor) -> Tensor:
        x = functional.avg_pool2d(self.blocks(self.stem(pictures)), (3, 2))
        past = functional.silu(self.past(x))
        into = functional.silu(self.into(x))
        into = into + functional.silu(self.near(into))
        steps = self.after(self.along(into.flatten(2).transpose(1, 2)))
        return self.named(steps + past.flatten(2).transpose(1, 2))


def from_ppocr(path: Path, characters: list[str]) -> LineNetwork:
    """Return the network with the weights of ``PP-OCRv6_rec_small.onnx``; ``characters``: those of its classes from 1.

    Raises ``ValueError`` if the file's layers do not match those of this network.
    """
    graph = _Graph(path)
    network = LineNetwork()
    _fill([m for m in network.modules() if isinstance(m, nn.Conv2d)], graph.convolutions())
    dense = [(weight.T, offset) for weight, offset in graph.with_offset("MatMul")]
    kept = [0, *(1 + characters.index(char) for char in ALPHABET)]
    dense[-1] = (dense[-1][0][kept], dense[-1][1][kept])
    _fill([m for m in network.modules() if isinstance(m, nn.Linear)], dense)
    scales = [pair for pair in graph.with_offset("Mul") if pair[0].shape == pair[1].shape == (120,)]
    _fill([m for m in network.modules() if isinstance(m, nn.LayerNorm)], scales)
    return network


class _Graph:
    """The weights of an ONNX file, in the order of use."""

    def __init__(self, path: Path) -> None:
        self._nodes = onnx.load(path).graph
        self._values = {tensor.name: numpy_helper.to_array(tensor) for tensor in self._nodes.initializer}
        self._same = {node.output[0]: node.input[0] for node in self._nodes.node if node.op_type == "Identity"}
        self._users: dict[str, onnx.NodeProto] = {}
        for node in reversed(self._nodes.node):
            self._users.update(dict.fromkeys(node.input, node))

    def _value(self, name: str) -> np.ndarray | None:
        return self._values.get(self._same.get(name, name))

    def _offset(self, node: onnx.NodeProto) -> np.ndarray | None:
        """Return the constant that is added to a node's output; None if there is none."""
        follower = self._users.get(node.output[0])
        if follower is None or follower.op_type != "Add":
            return None
        return next((value for value in map(self._value, follower.input) if value is not None), None)

    def with_offset(self, kind: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the second operand and the offset of each node of this kind that has both."""
        pairs = [(self._value(node.input[1]), self._offset(node)) for node in self._nodes.node if node.op_type == kind]
        return [(one, other) for one, other in pairs if one is not None and other is not None]

    def convolutions(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return weights and offsets; a normalisation after a convolution is folded into them."""
        folded: list[tuple[np.ndarray, np.ndarray]] = []
        for node in self._nodes.node:
            if node.op_type != "Conv":
                continue
            weight, offset = self._value(node.input[1]), self._offset(node)
            if offset is None:
                gain, offset, mean, variance = (self._value(name) for name in self._users[node.output[0]].input[1:])
                gain = gain / np.sqrt(variance + 1e-5)
                weight, offset = weight * gain[:, None, None, None], offset - mean * gain
            folded.append((weight, offset.reshape(-1)))
        return folded


def _fill(layers: list[nn.Module], weights: list[tuple[np.ndarray, np.ndarray]]) -> None:
    if len(layers) != len(weights):
        raise ValueError(f"the file has {len(weights)} layers, expected {len(layers)}")
    for layer, (weight, offset) in zip(layers, weights, strict=True):
        if layer.weight.shape != weight.shape:
            raise ValueError(f"the file has weights of shape {weight.shape}, expected {tuple(layer.weight.shape)}")
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(np.array(weight)))
            layer.bias.copy_(torch.from_numpy(np.array(offset)))
