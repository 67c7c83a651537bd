"""The overhead of detection: ``detect()`` against the interpreter's ``invoke()`` for the same frames.

The baseline is ``invoke()`` alone with the same interpreter and input tensor, in alternation. A second figure measures
everything except inference, which other load on the machine disturbs less. Frames are 720p YUV as from a decoder, so
colour conversion and scaling are part of the overhead. The time of the output decoders is measured separately, on the
outputs of a street scene. Needs ``../shared`` (models, clips/bus.jpg).
"""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np

from edge_agent.camera.decode.av_picture import AvPicture, PictureConverter
from edge_agent.detect.decoders.table import choose_output_decoder
from edge_agent.detect.factory import open_detector
from edge_agent.detect.model_detector import ModelDetector
from edge_agent.detect.models.catalogue import resolve_model
from edge_agent.detect.nms import nms
from edge_agent.detect.preprocess import Preprocessor
from edge_agent.detect.runtimes.base import InferenceModel, Tensor
from edge_agent.detect.runtimes.table import open_model
from edge_agent.detect.settings import DetectSettings
from edge_agent.types import ArrayPicture, Detections, Image, Picture
from tests.benchmarks.figures import Figure, interleaved_medians

SHARED = Path(__file__).resolve().parents[3] / "shared"
MODELS = ("ssd_mobilenet_v1_coco_quant", "yolo11n_416_int8")
ROUNDS = 120
THREADS = 2


def run() -> list[Figure]:
    if not (SHARED / "models").is_dir():
        raise FileNotFoundError("needs ../shared (models, clips/bus.jpg), which is not on this machine")
    scene = _scene()
    figures: list[Figure] = []
    for name in MODELS:
        figures += _against_invoke(name, scene)
    return [*figures, _suppression()]


def _against_invoke(name: str, scene: Image) -> list[Figure]:
    model = resolve_model(name, models_location=str(SHARED / "models"), cache_dir=Path("unused"))
    settings = DetectSettings(threads=THREADS)
    detector = open_detector(model, settings=settings)
    network = open_model(model.path, threads=THREADS, edgetpu=False)
    decoder = choose_output_decoder(network)
    frames = _Frames(scene)
    preprocessor = Preprocessor(network.input, keep_aspect=decoder.keep_aspect, pixel_range=decoder.pixel_range)
    tensor, _ = preprocessor.fill(frames.picture())
    outputs = network.run(tensor)
    interpreter = network._interpreter  # the baseline has no wrapper
    idle = ModelDetector(
        inference_model=_Remembering(network, outputs),
        decoder=decoder,
        labels=detector.labels,
        model_info=detector.model_info,
        settings=settings,
    )
    seconds = interleaved_medians(
        {
            "invoke": interpreter.invoke,
            "detect": lambda: detector.detect(frames.picture()),
            "rest": lambda: idle.detect(frames.picture()),
            "detect_bgr": lambda: detector.detect(ArrayPicture(scene)),
            "decode": lambda: decoder.decode(outputs, min_score=settings.min_score, max_iou=settings.nms_iou),
        },
        rounds=ROUNDS,
        warm_up=5,
    )
    invoke_ms = f"invoke {seconds['invoke'] * 1e3:.1f} ms, {THREADS} threads"
    return [
        Figure(f"{name}: detect / invoke, 720p YUV", seconds["detect"] / seconds["invoke"], "×", 1.10, note=invoke_ms),
        Figure(
            f"{name}: all but the run / invoke, 720p YUV",
            seconds["rest"] / seconds["invoke"],
            "×",
            0.10,
            note=f"{seconds['rest'] * 1e6:.0f} µs",
        ),
        Figure(f"{name}: detect / invoke, 720p BGR", seconds["detect_bgr"] / seconds["invoke"], "×", note=invoke_ms),
        Figure(f"{name}: decoding a street scene", seconds["decode"] * 1e6, "µs"),
    ]


def _suppression() -> Figure:
    """Compare our NMS with OpenCV's on the same 200 boxes of 10 classes."""
    random = np.random.default_rng(7)
    corner, size = random.uniform(0, 350, (200, 2)), random.uniform(10, 120, (200, 2))
    xyxy = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
    detections = Detections(
        xyxy=xyxy,
        score=random.uniform(0.25, 1, 200).astype(np.float32),
        class_id=random.integers(0, 10, 200).astype(np.int32),
    )
    xywh = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)
    seconds = interleaved_medians(
        {
            "ours": lambda: nms(detections, 0.5),
            "opencv": lambda: cv2.dnn.NMSBoxesBatched(xywh, detections.score, detections.class_id, 0.25, 0.5),  # pyright: ignore
        },
        rounds=200,
        warm_up=5,
    )
    return Figure(
        "suppression of 200 boxes: ours / OpenCV's",
        seconds["ours"] / seconds["opencv"],
        "×",
        note=f"ours {seconds['ours'] * 1e6:.0f} µs",
    )


def _scene() -> Image:
    photograph = cv2.imread(str(SHARED / "clips" / "bus.jpg"))
    if photograph is None:
        raise FileNotFoundError("needs ../shared/clips/bus.jpg")
    return np.asarray(cv2.resize(photograph, (1280, 720), interpolation=cv2.INTER_AREA), np.uint8)


class _Remembering:
    """The same model with stored outputs instead of inference, to measure everything else."""

    def __init__(self, network: InferenceModel, outputs: tuple[Tensor, ...]) -> None:
        self.input, self.outputs, self.postprocess = network.input, network.outputs, network.postprocess
        self._tensor = np.empty(network.input.shape, network.input.dtype)
        self._outputs = outputs

    def run(self, picture: Tensor) -> tuple[Tensor, ...]:
        np.copyto(self._tensor, picture)
        return tuple(output.copy() for output in self._outputs)

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


class _Frames:
    """One YUV frame of the scene in a new object for each call, as a source returns it."""

    def __init__(self, scene: Image) -> None:
        self._frame = av.VideoFrame.from_ndarray(scene, format="bgr24").reformat(format="yuv420p")
        self._converter = PictureConverter()

    def picture(self) -> Picture:
        return AvPicture(self._frame, converter=self._converter)
