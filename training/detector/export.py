"""Export a checkpoint to int8 TFLite and report the loss of accuracy by quantisation.

Usage::

    python -m training.detector.export --checkpoint DIR/last.pt --frames ../shared/anpr/train_romania --cache DIR \\
        --bank DIR/plates-train.npz --bank-held-out DIR/plates-val.npz --out edge_agent/anpr/models --commit HASH
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import litert_torch
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import quantizer, recipe
from torch import nn

from edge_agent.anpr.detection.plate_decoding import cell_grid, decode
from training.detector.frames import load_frames
from training.detector.network import PlateNet
from training.detector.plate_bank import load_bank
from training.detector.scenes import SceneMaker
from training.detector.validate import Example, evaluate, generated_examples, real_examples

SIZES = {"plate_detector": (512, 288), "plate_detector_close": (256, 160)}
"""Name to (width, height): whole images, and the second stage. Both have the same weights."""
CALIBRATION_SCENES = 100
ROOM = 1.75
"""Factor by which activation ranges are widened. Calibration yields moving averages of minimum and maximum,
which plates exceed: without the factor, logits are 0.2 too low and corners 0.15 strides off; with it 0.03 and 0.03."""


class Exported(nn.Module):
    """The exported model: luma 0..255 in, ``(1, h, w, 9)`` out for each stride.

    The network's input scaling, (luma - 128) / 64, is folded into the first weights, so that it costs no computation
    per pixel. The image is padded with a luma of 128, which is 0 for the network.
    """

    def __init__(self, net: PlateNet) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        taught = self.net.to4[0][0]
        first = nn.Conv2d(1, taught.out_channels, 3, 2)
        with torch.no_grad():
            first.weight.copy_(taught.weight / 64)
            first.bias.copy_(-128 / 64 * taught.weight.sum((1, 2, 3)))
        self.net.to4[0][0] = first

    def forward(self, luma: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = self.net(nn.functional.pad(luma.permute(0, 3, 1, 2), (1, 1, 1, 1), value=128.0))
        return tuple(output.permute(0, 2, 3, 1) for output in outputs)


def convert(net: PlateNet, size: tuple[int, int], path: Path) -> Path:
    """Write the float model."""
    width, height = size
    edge_model = litert_torch.convert(Exported(net).eval(), (torch.zeros(1, height, width, 1),))
    edge_model.export(str(path))
    return path


def quantise(float_path: Path, path: Path, scenes: list[np.ndarray]) -> None:
    """Write the full-integer model, calibrated on these scenes."""
    interpreter = Interpreter(model_path=str(float_path))
    signature, names = next(iter(interpreter.get_signature_list().items()))
    argument = names["inputs"][0]
    worker = quantizer.Quantizer(str(float_path), recipe.static_wi8_ai8())
    data = {signature: [{argument: scene[None, :, :, None].astype(np.float32)} for scene in scenes]}
    ranges = worker.calibrate(data, num_threads=1)
    given = {detail["name"] for detail in interpreter.get_input_details()}
    for name, values in ranges.items():
        if name not in given:
            values.update(min=values["min"] * ROOM, max=values["max"] * ROOM)
    path.write_bytes(worker.quantize(ranges).quantized_model)


class TfliteCells:
    """Runs an exported file on luma and returns the cells (N, 9), for float and quantised files."""

    def __init__(self, path: Path) -> None:
        self._interpreter = Interpreter(model_path=str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        outputs = self._interpreter.get_output_details()
        self._outputs = sorted(outputs, key=lambda detail: -int(detail["shape"][1]))

    def __call__(self, luma: np.ndarray) -> np.ndarray:
        scale, zero = self._input["quantization"]
        stored = luma.astype(np.float32) if not scale else np.clip(np.round(luma / scale) + zero, -128, 127)
        self._interpreter.set_tensor(self._input["index"], stored[None, :, :, None].astype(self._input["dtype"]))
        self._interpreter.invoke()
        parts = []
        for detail in self._outputs:
            values, (scale, zero) = self._interpreter.get_tensor(detail["index"]), detail["quantization"]
            parts.append(((values.astype(np.float32) - zero) * scale if scale else values).reshape(-1, 9))
        return np.concatenate(parts)


def judge(path: Path, examples: list[Example]) -> dict[str, object]:
    """Evaluate an exported file."""
    run = TfliteCells(path)
    grid = cell_grid(*examples[0].image.shape)
    return evaluate(examples, [decode(run(example.image), grid, threshold=0.2) for example in examples])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("checkpoint", "frames", "cache", "bank", "bank-held-out", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--commit", required=True)
    parser.add_argument("--version", default="1")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    net = PlateNet()
    if arguments.checkpoint.exists():
        net.load_state_dict(torch.load(arguments.checkpoint)["weights"])
    net.eval()
    train = load_frames(arguments.frames, validation=False, cache=arguments.cache / "frames.npy")
    held_out = load_frames(arguments.frames, validation=True, cache=arguments.cache / "frames.npy")
    calibration = SceneMaker(frames=train, plates=load_bank(arguments.bank), rng=np.random.default_rng(5))
    test_scenes = SceneMaker(frames=held_out, plates=load_bank(arguments.bank_held_out), rng=np.random.default_rng(77))
    whole = SIZES["plate_detector"]
    sets = {"generated": generated_examples(test_scenes, 100, whole), "real": real_examples(held_out, whole)}
    for name, size in SIZES.items():
        float_path = convert(net, size, arguments.cache / f"{name}_float.tflite")
        path = arguments.out / f"{name}.tflite"
        scenes = [calibration.draw(*size).image for _ in range(CALIBRATION_SCENES)]
        for scene in scenes:
            scene[0, :2] = 0, 255  # so that the input's step is one grey level
        quantise(float_path, path, scenes)
        figures = {}
        if name == "plate_detector":
            for kind, examples in sets.items():
                figures[kind] = {"float": judge(float_path, examples), "int8": judge(path, examples)}
                print(kind, json.dumps(figures[kind], indent=1))
        card = {
            "name": name,
            "version": arguments.version,
            "input": {"width": size[0], "height": size[1], "channels": "luma, 0..255", "letterbox": 114},
            "classes": ["plate"],
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "training_commit": arguments.commit,
            "made": datetime.now(UTC).date().isoformat(),
            "license": "Apache-2.0",
        }
        path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
