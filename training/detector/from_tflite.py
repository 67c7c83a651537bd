"""Take the weights out of an exported model again, where the run that made it is gone.

    python -m training.detector.from_tflite --model edge_agent/anpr/models/plate_detector.tflite --out FILE.pt

What comes out is what the file holds: weights rounded to 8 bits, normalisation folded into them. Exported again, at any
size, they round to the same numbers. To train on, keep the normalisations as they come (``eval``): they have no
statistics of their own.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import nn

from training.detector.network import Conv, PlateNet

_CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D"}


def convolutions(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return real weights ``(out, in, h, w)`` and offsets of a file's convolutions, in the order they are used."""
    interpreter = Interpreter(model_path=str(path))
    tensors = {detail["index"]: detail for detail in interpreter.get_tensor_details()}

    def real(index: int) -> np.ndarray:
        how = tensors[index]["quantization_parameters"]
        scales = np.asarray(how["scales"], np.float32)
        shape = [1] * len(tensors[index]["shape"])
        shape[how["quantized_dimension"]] = -1
        return interpreter.get_tensor(index).astype(np.float32) * scales.reshape(shape)

    found = []
    for step in interpreter._get_ops_details():  # nothing public tells
        if step["op_name"] in _CONVOLUTIONS:
            weight, offset = (real(int(index)) for index in step["inputs"][1:3])
            # (out, h, w, in), or depthwise (1, h, w, out): of the one grey channel
            order = (0, 3, 1, 2) if step["op_name"] == "CONV_2D" else (3, 0, 1, 2)
            found.append((weight.transpose(order), offset))
    return found


def rebuilt(path: Path) -> PlateNet:
    """Return the network with a file's weights; ``ValueError`` where the file is of another network."""
    net = PlateNet().eval()
    used: list[nn.Conv2d] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: used.append(module))
        for module in net.modules()
        if isinstance(module, nn.Conv2d)
    ]
    with torch.no_grad():
        net(torch.zeros(1, 1, 64, 64))
    for hook in hooks:
        hook.remove()
    weights = convolutions(path)
    if [tuple(layer.weight.shape) for layer in used] != [weight.shape for weight, _ in weights]:
        raise ValueError(f"{path} holds another network than PlateNet")
    normalisations = {id(part[0]): part[1] for part in net.modules() if isinstance(part, Conv)}
    with torch.no_grad():
        for layer, (weight, offset) in zip(used, weights, strict=True):
            layer.weight.copy_(torch.from_numpy(weight.copy()))
            normalisation = normalisations.get(id(layer))
            if normalisation is None:
                layer.bias.copy_(torch.from_numpy(offset))
                continue
            normalisation.bias.copy_(torch.from_numpy(offset))
            normalisation.running_var.fill_(1 - normalisation.eps)
    return net


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in rebuilt(options.model).state_dict().items()
    }
    torch.save({"weights": weights}, options.out)


if __name__ == "__main__":
    main()
