"""Export a checkpoint of the line reader as the shipped ``.tflite`` file and its description.

    python -m training.line.export --checkpoint RUN/last.pt --start /tmp/line-start.pt --share 0.4 \\
        --version 2026.11.2 --keep training/line/checkpoint.pt

The exported weights are interpolated: ``--share`` of the way from the initial to the trained weights (see
``average_weights``). The checkpoint itself is kept for further training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from edge_agent.anpr.recognition.character_detection import ALPHABET
from edge_agent.anpr.recognition.crops import LINE_HEIGHT, LINE_WIDTH
from training.line.average_weights import average_weights
from training.line.network import LineNetwork
from training.reader.export import convert, keep_halved, quantise, write_description

IN_8_BITS = ("CONV_2D", "FULLY_CONNECTED")
"""Not depthwise convolutions: in 8 bits, LiteRT runs them without XNNPACK, and a line takes 1.5 times as long."""


class Shipped(nn.Module):
    """The network, channels last: ``(1, 48, 192, 3)`` BGR in -1..1 → ``(1, 24, 37)`` probabilities, 0 for blank."""

    def __init__(self, network: LineNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> Tensor:
        return self.network(picture.permute(0, 3, 1, 2)).softmax(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True, help="initial weights of the training")
    parser.add_argument(
        "--share", type=float, required=True, help="weight of the checkpoint, 0..1; the initial weights have the rest"
    )
    parser.add_argument("--version", required=True)
    parser.add_argument("--out", type=Path, default=Path("edge_agent/anpr/models/plate_line.tflite"))
    parser.add_argument(
        "--keep", type=Path, default=None, help="also write the weights in half precision, to resume training from"
    )
    options = parser.parse_args()
    state = torch.load(options.checkpoint)
    if options.keep:
        keep_halved(state, options.keep)
    network = LineNetwork()
    network.load_state_dict(average_weights(torch.load(options.start)["network"], state["network"], options.share))
    shipped = Shipped(network.eval()).eval()
    difference = convert(shipped, (1, LINE_HEIGHT, LINE_WIDTH, 3), options.out)
    quantise(options.out, IN_8_BITS)
    write_description(
        options.out,
        version=options.version,
        steps=int(state["step"]),
        share_of_trained_weights=options.share,
        alphabet=ALPHABET,
        input_width=LINE_WIDTH,
        input_height=LINE_HEIGHT,
        regions=[],
        threshold=0.0,
        begun_from="PP-OCRv6_rec_small (PaddleOCR authors, Apache-2.0)",
    )
    print(f"{options.out}: {options.out.stat().st_size} bytes, largest difference {difference:.2g}")


if __name__ == "__main__":
    main()
