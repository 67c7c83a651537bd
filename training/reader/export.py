"""Export a checkpoint as the shipped ``.tflite`` file and its description, and check that their outputs agree.

python -m training.reader.export --checkpoint RUN/best.pt --version 2026.11.1
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import litert_torch
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import Quantizer, recipe
from torch import Tensor, nn

from edge_agent.anpr.recognition.character_detection import ALPHABET
from training.reader.augment import INPUT_HEIGHT, INPUT_WIDTH
from training.reader.bank import REGIONS
from training.reader.network import ReaderNetwork

LARGEST_DIFFERENCE = 1e-3
THRESHOLD = 0.5


class Shipped(nn.Module):
    """The network, channels last: ``(1, 64, 192, 3)`` in 0..1 → cells ``(1, 8, 48, 41)`` and region ``(1, 5)``."""

    def __init__(self, network: ReaderNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        cells, region = self.network(picture.permute(0, 3, 1, 2))
        return cells.permute(0, 2, 3, 1), region


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--out", type=Path, default=Path("edge_agent/anpr/models/plate_reader.tflite"))
    parser.add_argument("--int8", action="store_true", help="8-bit weights with dynamic-range activations")
    parser.add_argument(
        "--keep", type=Path, default=None, help="also write the weights in half precision, to resume training from"
    )
    options = parser.parse_args()
    network = ReaderNetwork()
    state = torch.load(options.checkpoint)
    if options.keep:
        keep_halved(state, options.keep)
    network.load_state_dict(state["network"])
    shipped = Shipped(network.eval()).eval()
    difference = convert(shipped, (1, INPUT_HEIGHT, INPUT_WIDTH, 3), options.out)
    if options.int8:
        quantise(options.out)
    write_description(
        options.out,
        version=options.version,
        steps=int(state["step"]),
        alphabet=ALPHABET,
        input_width=INPUT_WIDTH,
        input_height=INPUT_HEIGHT,
        regions=list(REGIONS),
        threshold=THRESHOLD,
    )
    print(f"{options.out}: {options.out.stat().st_size} bytes, largest difference {difference:.2g}")


def keep_halved(state: dict[str, Any], path: Path) -> None:
    """Write the weights in half precision, to resume training from."""
    half = {name: value.half() if value.is_floating_point() else value for name, value in state["network"].items()}
    torch.save({"network": half, "step": state["step"]}, path)


def convert(model: nn.Module, shape: tuple[int, ...], path: Path) -> float:
    """Write the model as TFLite and return the largest difference; end the program if it is too large."""
    litert_torch.convert(model, (torch.rand(shape),)).export(str(path))
    difference = largest_difference(model, path, shape)
    if difference > LARGEST_DIFFERENCE:
        raise SystemExit(f"converted model differs by {difference:.2g}")
    return difference


def largest_difference(model: nn.Module, path: Path, shape: tuple[int, ...]) -> float:
    """Return the largest difference between the outputs of model and file on random images."""
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    apart = 0.0
    for seed in range(8):
        picture = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture.numpy())
        interpreter.invoke()
        with torch.no_grad():
            answer = model(picture)
        wanted = answer if isinstance(answer, tuple) else (answer,)
        got = {o["shape"].size: interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details()}
        apart = max(apart, *(float(np.abs(got[w.ndim] - w.numpy()).max()) for w in wanted))
    return apart


def quantise(path: Path, operations: tuple[str, ...] = ("*",)) -> None:
    """Store weights in 8 bits with a scale per channel; the runtime multiplies in 8 bits too (dynamic range)."""
    quantizer = Quantizer(str(path))
    (anything,) = recipe.dynamic_wi8_afp32()
    quantizer.load_quantization_recipe([{**anything, "operation": operation} for operation in operations])
    quantizer.quantize().export_model(str(path), overwrite=True)


def write_description(path: Path, *, version: str, steps: int, **particulars: object) -> None:
    """Write the model's JSON description."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    description = {
        "name": path.stem,
        "version": version,
        **particulars,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "training_commit": commit,
        "training_steps": steps,
        "licence": "Apache-2.0",
    }
    path.with_suffix(".json").write_text(json.dumps(description, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
