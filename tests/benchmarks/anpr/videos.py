"""Videos through the complete pipeline: made by panning and zooming over photographs, and the synthetic gate.

Each video is written as H.264 and replayed as by ``edge-agent replay VIDEO --model none``: decoding, motion, blobs,
tracks, plates, events. A vehicle is correct if its exact plate is emitted once.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from edge_agent.boxes import Box, box_iou
from edge_agent.camera.synthetic.gate import SyntheticGate
from edge_agent.cli.replay import ReplayJob, replay
from edge_agent.config import CameraSettings, ModelPlaces
from edge_agent.types import Image
from shared.geometry import BoundingBox
from shared.plates import normalize_plate
from tests.benchmarks.anpr.camera_path import CameraPath, seed_of
from tests.benchmarks.anpr.lines import Line, number_line, share_line
from tests.benchmarks.anpr.material import COUNTRIES, LabelledPlate, few, photographs
from tests.benchmarks.anpr.stills import Step

MIN_RIGHT = 0.95
FRAMES_PER_SECOND = 15
VIDEO_FRAMES = 60
ABOUT_IT_IOU = 0.2
"""Minimum IoU of an event's plate box with the plate that it is assigned to."""


@dataclass(frozen=True, slots=True)
class EmittedPlate:
    """The plate of one ``anpr`` event."""

    text: str
    frame: int
    """Index of the frame, from 0."""
    plate: Box
    """Left, top, right, bottom as fractions of the frame."""


@dataclass(slots=True)
class VideoCounts:
    """Counts over the vehicles of many videos."""

    vehicles: int = 0
    right: int = 0
    """Vehicles emitted with the exact text."""
    once: int = 0
    """Vehicles with exactly one event, of any text."""
    missed: int = 0
    misread: int = 0
    """Events at a labelled plate with a different text."""
    invented: int = 0
    """Events at positions without a labelled plate."""
    faults: list[str] = field(default_factory=list[str])

    def add(self, name: str, plate: str, about: Sequence[EmittedPlate], elsewhere: Sequence[EmittedPlate] = ()) -> None:
        """Add one vehicle with the events at its plate and those elsewhere."""
        texts = [emitted.text for emitted in about]
        self.vehicles += 1
        self.right += plate in texts
        self.once += len(about) == 1
        self.missed += not about
        self.misread += sum(text != plate for text in texts)
        self.invented += len(elsewhere)
        if texts != [plate] or elsewhere:
            said = " and ".join(texts) or "nothing"
            more = f"; elsewhere {', '.join(emitted.text for emitted in elsewhere)}" if elsewhere else ""
            self.faults.append(f"{name}: {plate} emitted as {said}{more}")

    def lines(self, name: str, *, about_invented: str) -> list[Line]:
        return [
            share_line(f"{name}: right text", self.right, self.vehicles, at_least=MIN_RIGHT),
            share_line(f"{name}: exactly one event", self.once, self.vehicles, at_least=MIN_RIGHT),
            number_line(f"{name}: missed", self.missed, "vehicles"),
            number_line(f"{name}: emitted with a different text", self.misread, "events"),
            number_line(f"{name}: invented", self.invented, "events", target=0, detail=about_invented),
        ]


def video_lines(shared: Path, limit: int | None, step: Step, report: Step) -> list[Line]:
    """Pan and zoom over photographs of every country's set."""
    lines: list[Line] = []
    whole = VideoCounts()
    for country in COUNTRIES:
        counts = VideoCounts()
        for picture in few(photographs(shared, country), limit):
            play_photograph(picture, (counts, whole))
            step(f"{country}/{picture.path.name}")
        lines.append(share_line(f"videos over `{country}`: right text", counts.right, counts.vehicles))
        for fault in counts.faults:
            report(f"video {country}/{fault}")
    return whole.lines("videos, all", about_invented="a plate elsewhere in the photograph counts too") + lines


def play_photograph(picture: LabelledPlate, all_counts: Iterable[VideoCounts]) -> None:
    """Make a video of one photograph, replay it and update the counts."""
    assert picture.xyxy is not None
    path = CameraPath(picture.load(), picture.xyxy, seed=seed_of(picture.path.name), frames=VIDEO_FRAMES)
    views = list(path.views())
    emitted = replay_frames((view.image for view in views), width=path.width, height=path.height)
    places = [_shares(view.plate, path.width, path.height) for view in views]
    about = [each for each in emitted if box_iou(each.plate, places[min(each.frame, len(places) - 1)]) >= ABOUT_IT_IOU]
    elsewhere = [each for each in emitted if each not in about]
    for counts in all_counts:
        counts.add(f"{picture.path.name} ({path.kind})", picture.plate, about, elsewhere)


def gate_lines(seeds: Sequence[int], step: Step, report: Step) -> list[Line]:
    """Replay the synthetic gate: every vehicle is emitted once, with its plate."""
    counts = VideoCounts()
    for seed in seeds:
        gate = SyntheticGate(seed=seed)
        emitted = replay_source(f"synthetic:gate?seed={seed}")
        plates = [normalize_plate(vehicle.plate) for vehicle in gate.trips]
        owners = [owner_of(each, gate) for each in emitted]
        for index, plate in enumerate(plates):
            counts.add(
                f"gate, seed {seed}, vehicle {index + 1}",
                plate,
                [each for each, owner in zip(emitted, owners, strict=True) if owner == index],
            )
        counts.invented += owners.count(None)
        step(f"seed {seed}")
    for fault in counts.faults:
        report(fault)
    name = f"`synthetic:gate`, {len(seeds)} seeds"
    return counts.lines(name, about_invented="where no vehicle has its plate")


def owner_of(emitted: EmittedPlate, gate: SyntheticGate) -> int | None:
    """Return the index of the vehicle whose plate an event shows, by position; None if there is none."""
    for truth in gate.truth(emitted.frame):
        if truth.plate_quad is not None:
            low, high = truth.plate_quad.min(axis=0), truth.plate_quad.max(axis=0)
            place = _shares((*low.tolist(), *high.tolist()), gate.width, gate.height)
            if box_iou(emitted.plate, place) >= ABOUT_IT_IOU:
                return truth.track - 1
    return None


def replay_frames(images: Iterable[Image], *, width: int, height: int) -> list[EmittedPlate]:
    """Return the emitted plates of a video of these frames."""
    with tempfile.TemporaryDirectory(prefix="vedette-anpr-") as folder:
        video = Path(folder) / "video.mp4"
        write_video(video, images, width=width, height=height)
        return replay_source(str(video))


def replay_source(source: str) -> list[EmittedPlate]:
    """Return the ``anpr`` events of a replay with blob detection, as on a camera without a model."""
    camera = CameraSettings.model_validate(
        {"id": "camera-1", "source": source, "model": {"name": "none"}, "anpr": {"enabled": True}}
    )
    with tempfile.TemporaryDirectory(prefix="vedette-anpr-") as folder:
        out = Path(folder)
        job = ReplayJob(source=source, out=out, camera=camera, site_id="bench", device_id="bench")
        replay(job, places=ModelPlaces(location=None, cache_dir=out))
        events = [json.loads(line) for line in (out / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    return [_emitted_plate(event) for event in events if event["event_type"] == "anpr"]


def write_video(path: Path, images: Iterable[Image], *, width: int, height: int) -> None:
    """Encode BGR frames as H.264, as a camera would at good quality."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "23", "preset": "veryfast", "threads": "1"}
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def _emitted_plate(event: dict[str, Any]) -> EmittedPlate:
    data = event["event_data"]
    box = BoundingBox.model_validate(data["plate_box"])
    return EmittedPlate(
        data["plate_normalized"], event["frame_number"] - 1, (box.x, box.y, box.x + box.width, box.y + box.height)
    )


def _shares(box: Box, width: int, height: int) -> Box:
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height
