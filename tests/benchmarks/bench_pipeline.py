"""The cost of the pipeline besides model and decoder, at 720p.

``overhead``: a 720p clip through the whole pipeline with detection on every frame, against the same number of
``invoke()`` calls plus decoding alone, in alternation (the model is in ``../shared``). ``idle``: milliseconds per frame
of a still 720p scene after decoding, with the motion gate, beside MOG2 at 320 px. Frames of the still scene are decoded
beforehand.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import open_source
from edge_agent.camera.synthetic import SyntheticGate
from edge_agent.config import CameraSettings
from edge_agent.detect.decoders.table import choose_output_decoder
from edge_agent.detect.models.catalogue import ModelFile, resolve_model
from edge_agent.detect.preprocess import Preprocessor
from edge_agent.detect.runtimes.tflite import open_litert
from edge_agent.pipeline.build import build_pipeline
from edge_agent.pipeline.context import CameraContext, DeviceContext
from edge_agent.pipeline.pipeline import CameraPipeline
from edge_agent.types import Frame
from shared.clock import SystemClock
from shared.ids import Uuid7Generator
from tests.benchmarks.figures import Figure, interleaved_medians
from tests.support.clips import make_clip

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"
NAMES = ("ssd_mobilenet_v1_coco_quant", "yolo11n_416_int8")
BUSY_FRAMES = 100
BUSY_FROM = 430
"""Seconds of the scene in which a vehicle arrives, stops at the barrier and leaves."""
IDLE_FRAMES = 200
ROUNDS = 7


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        gate = SyntheticGate()
        busy = make_clip(Path(folder) / "busy.mp4", _frames(gate, BUSY_FROM, BUSY_FRAMES), 25.0)
        idle = make_clip(Path(folder) / "idle.mp4", _frames(gate, 0, IDLE_FRAMES, still=True), 25.0)
        figures = _idle(idle)
        if MODELS.is_dir():
            for name in NAMES:
                figures.append(_overhead(name, busy))
        return figures


def _overhead(name: str, clip: Path) -> Figure:
    model = resolve_model(name, models_location=str(MODELS), cache_dir=Path("unused"))
    network = open_litert(model.path, threads=CameraSettings(id="c", source="x").detect.threads, edgetpu=False)
    interpreter, slot = network._interpreter, network._input_index  # the baseline has no wrapper
    decoder = choose_output_decoder(network)
    given = Preprocessor(network.input, keep_aspect=decoder.keep_aspect, pixel_range=decoder.pixel_range)
    tensors = [given.fill(frame.picture)[0].copy() for frame in _read(clip)]

    def bare() -> None:
        for tensor in tensors:  # the same frames, because a model is up to 3 % faster on an empty picture
            interpreter.set_tensor(slot, tensor)
            interpreter.invoke()

    def decode() -> None:
        for _ in _read(clip):
            pass

    def whole() -> None:
        pipeline = _pipeline(model, motion_gate=False)
        for frame in _read(clip):
            pipeline.process(frame)
        pipeline.finish()
        pipeline.close()

    pipeline = _pipeline(model, motion_gate=False)
    pipeline.close()
    seconds = interleaved_medians({"invoke": bare, "decode": decode, "whole": whole}, rounds=ROUNDS)
    ratio = seconds["whole"] / (seconds["invoke"] + seconds["decode"])
    note = ", ".join(f"{part} {1000 * value / BUSY_FRAMES:.1f} ms" for part, value in seconds.items())
    return Figure(name=f"overhead, {name}", value=ratio, unit="×", target=1.35, note=note)


def _idle(clip: Path) -> list[Figure]:
    frames = list(_read(clip))
    subtractor = cv2.createBackgroundSubtractorMOG2(detectShadows=False)

    def ours() -> None:
        pipeline = _pipeline(None, motion_gate=True)
        for frame in frames:
            pipeline.process(frame)

    def mog2() -> None:
        for frame in frames:
            subtractor.apply(cv2.resize(frame.picture.luma(), (320, 180), interpolation=cv2.INTER_AREA))

    seconds = interleaved_medians({"ours": ours, "mog2": mog2}, rounds=ROUNDS)
    per_frame_ms = 1000 * seconds["ours"] / len(frames)
    return [
        Figure(name="idle 720p, after decode", value=per_frame_ms, unit="ms a frame", target=1.0),
        Figure(name="idle against MOG2 at 320 px", value=seconds["ours"] / seconds["mog2"], unit="×"),
    ]


def _pipeline(model: ModelFile | None, *, motion_gate: bool) -> CameraPipeline:
    camera = CameraSettings.model_validate({"id": "bench", "source": "x", "gate": {"motion_gate": motion_gate}})
    return build_pipeline(
        camera,
        context=CameraContext(
            device=DeviceContext(site_id="bench", device_id="bench", publish=lambda _: None, new_id=Uuid7Generator())
        ),
        model=model,
        run_id="bench",
    )


def _read(clip: Path) -> Iterator[Frame]:
    source = open_source(str(clip), settings=SourceSettings(), clock=SystemClock())
    try:
        while (frame := source.read(1.0)) is not None:
            yield frame
    finally:
        source.close()


def _frames(gate: SyntheticGate, first: int, count: int, *, still: bool = False) -> Iterator[np.ndarray]:
    """Render frames; ``still`` repeats one moment with new sensor noise."""
    moment = gate.render(first)
    rng = np.random.default_rng(3)
    for index in range(count):
        if not still:
            yield gate.render(first + index)
            continue
        noise = rng.normal(0, 2, moment.shape).astype(np.int16)
        yield np.clip(moment.astype(np.int16) + noise, 0, 255).astype(np.uint8)
