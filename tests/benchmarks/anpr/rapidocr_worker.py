"""Runs RapidOCR in its own environment: one JSON request per line on stdin, one JSON answer per line on stdout.

``{"file": …, "what": "picture" | "crop"}`` → ``{"texts": […], "wall_s": …, "processor_s": …}``; one thread.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time

import cv2
from rapidocr import RapidOCR  # pyright: ignore[reportMissingImports]

LINE_HEIGHT_PX = 48
"""Input height of its recogniser."""


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # output of the libraries must not mix with answers
    cv2.setNumThreads(1)
    engine = RapidOCR(
        params={
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Global.log_level": "warning",
        }
    )
    print(json.dumps({"version": importlib.metadata.version("rapidocr")}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        image = cv2.imread(request["file"])
        if image is None:
            raise FileNotFoundError(request["file"])
        start, used = time.perf_counter(), time.process_time()
        if request["what"] == "crop":
            width = max(8, round(image.shape[1] * LINE_HEIGHT_PX / image.shape[0]))
            resized = cv2.resize(image, (width, LINE_HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
            result = engine(resized, use_det=False, use_cls=False, use_rec=True)
        else:
            result = engine(image)
        wall_s, processor_s = time.perf_counter() - start, time.process_time() - used
        texts = list(getattr(result, "txts", None) or ())
        print(json.dumps({"texts": texts, "wall_s": wall_s, "processor_s": processor_s}), file=answers, flush=True)


if __name__ == "__main__":
    main()
