"""Plate reading in the pipeline: its input from motion and tracks, and its settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent.anpr.settings import AnprSettings
from edge_agent.anpr.stage import PlateStage
from edge_agent.camera.synthetic.gate import SyntheticGate
from edge_agent.cli.main import main
from edge_agent.config import CameraSettings, load_config
from edge_agent.detect.blobs import BlobDetector
from edge_agent.detect.composite import BlobFrameDetector
from edge_agent.detect.gate import DetectionGate
from edge_agent.events.builder import BuiltEvent
from edge_agent.events.rules.stationary import Stationarity
from edge_agent.events.rules.track_lifecycle import TrackLifecycle
from edge_agent.motion.adaptive import AdaptiveBackground
from edge_agent.pipeline.build import build_plate_stage
from edge_agent.pipeline.context import CameraContext, DeviceContext
from edge_agent.pipeline.pipeline import CameraPipeline, TrackingStage
from edge_agent.pipeline.timing import StageTimer
from edge_agent.track.tracker import ByteTracker
from shared.errors import ConfigurationError
from shared.events import AnprEvent, TrackingEvent, parse_event
from shared.ids import Uuid7Generator
from shared.plates import normalize_plate
from tests.support.anpr.gate_harness import CodedPlates, NoisyReader, gate_frame

FPS = 10.0


def _pipeline(plates: PlateStage, published: list[BuiltEvent], timer: StageTimer) -> CameraPipeline:
    """Build the pipeline of a camera without a model: blobs, tracks and plates."""
    camera = CameraSettings(id="gate", source="synthetic:gate")
    detector = BlobFrameDetector(BlobDetector())
    lifecycle = TrackLifecycle(
        settings=camera.events, labels=detector.labels, uid_prefix="gate-run", stationarity=Stationarity()
    )
    objects = TrackingStage(
        detector=detector,
        tracker=ByteTracker(camera.track, labels=detector.labels),
        lifecycle=lifecycle,
        gate=DetectionGate(camera.gate),
        timer=timer,
        plates=plates,
    )
    device = DeviceContext(site_id="hq", device_id="box", publish=published.append, new_id=Uuid7Generator())
    context = CameraContext(device=device, timer=timer)
    return CameraPipeline(
        motion=AdaptiveBackground(settings=camera.motion),
        episodes=None,
        objects=objects,
        builder=context.event_builder(camera),
        context=context,
    )


def test_the_synthetic_gate_emits_each_plate_once_without_a_model() -> None:
    """Motion, blobs and plates on rendered frames give one event per vehicle with the right text."""
    gate = SyntheticGate(fps=FPS, vehicles=4)
    texts = {vehicle.track: normalize_plate(vehicle.plate) for vehicle in gate.trips}
    detector = CodedPlates()
    stage = PlateStage(
        settings=AnprSettings(enabled=True),
        detector=detector,
        reader=NoisyReader(texts),
        uid_prefix="gate-run",
        detects_vehicles=False,
    )
    published: list[BuiltEvent] = []
    timer = StageTimer()
    pipeline = _pipeline(stage, published, timer)
    for index in range(gate.frame_count):
        pipeline.process(gate_frame(gate, index, rendered=True))
    pipeline.finish()
    pipeline.close()
    plates = [built for built in published if isinstance(built.event, AnprEvent)]
    assert [built.event.event_data.plate_normalized for built in plates] == list(texts.values())
    assert all(built.snapshot is not None and built.event.snapshot is not None for built in plates)
    assert all("/anpr_" in built.event.snapshot.key for built in plates if built.event.snapshot is not None)
    assert any(isinstance(built.event, TrackingEvent) for built in published)
    assert timer.seconds["plates"] > 0
    assert len(detector.searched) < gate.frame_count * 0.9, "frames without a vehicle are not searched"


def test_plate_reading_is_disabled_by_default() -> None:
    """Plates are personal data, and reading them takes time."""
    camera = CameraSettings(id="gate", source="synthetic:gate")
    assert not camera.anpr.enabled
    assert build_plate_stage(camera, ("car",), uid_prefix="x", live=False) is None


def test_the_shipped_models_are_opened_when_plates_are_enabled() -> None:
    """Nothing is downloaded."""
    camera = CameraSettings(id="gate", source="synthetic:gate", anpr=AnprSettings(enabled=True))
    stage = build_plate_stage(camera, ("car",), uid_prefix="x", live=True)
    assert stage is not None
    stage.close()


CONFIG = """
site_id = "hq"
device_id = "gate-01"
[mqtt]
host = "broker.example"
[[cameras]]
id = "gate"
source = "synthetic:gate"
mode = "{mode}"
[cameras.anpr]
enabled = true
[cameras.anpr.rules]
regions = ["de", "ro"]
[cameras.anpr.direction]
by = "line"
start = [0.0, 0.6]
end = [1.0, 0.6]
"""


def test_the_plate_section_of_the_configuration_is_read(tmp_path: Path) -> None:
    """All parts are read, and plates without tracking are rejected."""
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG.format(mode="tracking"), encoding="utf-8")
    anpr = load_config(path).cameras[0].anpr
    assert (anpr.enabled, anpr.rules.regions, anpr.direction.by) == (True, ["de", "ro"], "line")
    path.write_text(CONFIG.format(mode="motion"), encoding="utf-8")
    with pytest.raises(ConfigurationError, match='anpr needs mode = "tracking"'):
        load_config(path)
    path.write_text(CONFIG.format(mode="tracking").replace("enabled = true", "engine = 'x'"), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"cameras\[1\] \(gate\)\.anpr\.engine"):
        load_config(path)


def test_replay_rejects_plates_without_tracking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--plates`` for a camera in motion mode is an error."""
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG.format(mode="motion").replace("enabled = true", ""), encoding="utf-8")
    arguments = ["replay", "synthetic:gate", "--out", str(tmp_path), "--config", str(path), "--camera-id", "gate"]
    assert main([*arguments, "--plates"]) == 2
    assert '--plates needs mode = "tracking"; camera gate has' in capsys.readouterr().err


def test_the_synthetic_gate_is_read_with_the_shipped_models(tmp_path: Path) -> None:
    """`replay synthetic:gate` reads at least seven of eight plates without a detection model."""
    assert main(["replay", "synthetic:gate", "--out", str(tmp_path), "--model", "none", "--json"]) == 0
    lines = (tmp_path / "events.jsonl").read_bytes().splitlines()
    events = [event for event in map(parse_event, lines) if isinstance(event, AnprEvent)]
    truth = {normalize_plate(vehicle.plate) for vehicle in SyntheticGate().trips}
    read = [event.event_data.plate_normalized for event in events]
    assert len(read) == len(set(read)) <= len(truth)
    assert len(truth & set(read)) >= 7
    for event in events:
        assert event.snapshot is not None
        assert (tmp_path / "snapshots" / event.snapshot.key).is_file()
    assert json.loads(lines[0])["camera_id"] == "camera-1"
