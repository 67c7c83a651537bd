"""Extract the initial weights from RapidOCR's package: PP-OCRv6's small recogniser (Apache-2.0).

pip download --no-deps rapidocr==3.10.0
python -m training.line.start --wheel rapidocr-3.10.0-py3-none-any.whl --out /tmp/line-start.pt
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import zipfile
from pathlib import Path

import onnx
import torch

from training.line.network import from_ppocr

MODEL = "rapidocr/models/PP-OCRv6_rec_small.onnx"
SHA256 = "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with zipfile.ZipFile(options.wheel) as wheel, tempfile.TemporaryDirectory() as folder:
        path = Path(wheel.extract(MODEL, folder))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != SHA256:
            raise SystemExit(
                f"{MODEL} is not the expected file (sha256 {digest}); download the version named in the usage"
            )
        described = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        network = from_ppocr(path, described["character"].split("\n"))
    torch.save({"network": network.state_dict(), "step": 0}, options.out)


if __name__ == "__main__":
    main()
