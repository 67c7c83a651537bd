"""The complete plate stage on the synthetic gate: one event per vehicle, with the right text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest

from edge_agent.anpr.types import FrameTracks
from edge_agent.boxes import Box, box_iou
from edge_agent.camera.synthetic.gate import SyntheticGate
from edge_agent.events.occurrences import AnprOccurrence
from shared.plates import normalize_plate
from tests.support.anpr.gate_harness import CodedPlates, NoisyReader, gate_frame, make_stage, tracked_objects

FPS = 10.0
VEHICLES = 5


@dataclass
class GateResult:
    """The events of a stage on the synthetic gate."""

    gate: SyntheticGate
    emitted: list[AnprOccurrence]
    detector: CodedPlates
    reader: NoisyReader

    def texts(self) -> list[str]:
        return [found.candidates[0].text for found in self.emitted]

    def truth(self) -> dict[int, str]:
        return {vehicle.track: normalize_plate(vehicle.plate) for vehicle in self.gate.trips}


@cache
def run_gate(*, seed: int = 1, noise: float = 1.0, vehicles: bool = True, **settings: object) -> GateResult:
    """Run a stage on five vehicles that pass the gate, with perfect tracks or without."""
    gate = SyntheticGate(seed=seed, fps=FPS, vehicles=VEHICLES)
    detector = CodedPlates()
    reader = NoisyReader({p.track: normalize_plate(p.plate) for p in gate.trips}, seed=seed, noise=noise)
    stage = make_stage(detector, reader, detects_vehicles=vehicles, **settings)
    emitted: list[AnprOccurrence] = []
    for index in range(gate.frame_count):
        truths = gate.truth(index)
        if not truths and index % 5:
            continue  # empty frames: one in five is enough
        seen = tracked_objects(truths) if vehicles else []
        tracked = FrameTracks(seen, frozenset(each.track_id for each in seen))
        emitted += stage.observe(gate_frame(gate, index), tracked, moving=bool(truths))
    return GateResult(gate, emitted + stage.finish(), detector, reader)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_vehicle_is_emitted_once_with_the_right_text(seed: int) -> None:
    """Five vehicles give five correct events, although the reader misreads one in five small characters."""
    result = run_gate(seed=seed)
    assert {found.track_id: found.candidates[0].text for found in result.emitted} == result.truth()
    assert len(result.emitted) == VEHICLES


@pytest.mark.parametrize("search", ["frame", "auto"])
def test_without_vehicles_plates_are_tracked_by_themselves(search: str) -> None:
    """A plate camera, or a device without a model, emits the same events without a vehicle."""
    result = run_gate(vehicles=False, search=search)
    assert sorted(result.texts()) == sorted(result.truth().values())
    assert {(found.track_id, found.vehicle, found.vehicle_type) for found in result.emitted} == {(None, None, None)}
    assert len({found.track_uid for found in result.emitted}) == VEHICLES


def test_an_unreliable_reader_causes_few_wrong_events() -> None:
    """If every second character is misread, wrong texts are rare and have a low confidence."""
    result = run_gate(noise=2.5)
    wrong = [found for found in result.emitted if found.candidates[0].text not in result.truth().values()]
    assert len(wrong) <= 1
    assert all(found.candidates[0].confidence < 0.8 for found in wrong)


def test_the_fields_of_an_event_match_the_ground_truth() -> None:
    """Direction, type, boxes, candidates, number of readings, latency and frame are correct."""
    result = run_gate()
    for found in result.emitted:
        vehicle = result.gate.trips[(found.track_id or 0) - 1]
        truth = next(t for t in result.gate.truth(found.frame.number - 1) if t.track == vehicle.track)
        assert found.direction == ("approaching" if vehicle.heading == "in" else "receding")
        assert found.vehicle_type == truth.class_name
        assert found.track_uid == f"gate-test-{vehicle.track}"
        assert truth.plate_quad is not None
        corners: Box = (*truth.plate_quad.min(axis=0).tolist(), *truth.plate_quad.max(axis=0).tolist())
        assert box_iou(found.plate, corners) > 0.6
        assert found.vehicle is not None
        assert box_iou(found.vehicle, tuple(truth.xyxy.tolist())) > 0.9
        assert found.reads >= 3
        assert sum(each.confidence for each in found.candidates) <= 1.0 + 1e-9
        assert 0.0 < found.quality <= 1.0
        assert 0.0 <= found.latency_s < 6.0


def test_a_plate_is_emitted_when_its_vote_settles() -> None:
    """The vehicle waits at the barrier for four seconds; its event is emitted before it leaves."""
    gate = SyntheticGate(fps=FPS)
    reader = NoisyReader({p.track: normalize_plate(p.plate) for p in gate.trips})
    stage = make_stage(CodedPlates(), reader)
    waiting = next(vehicle for vehicle in gate.trips if vehicle.wait_s)
    for index in range(round(waiting.start_s * FPS), round(waiting.end_s * FPS)):
        seen = tracked_objects(gate.truth(index))
        if stage.observe(gate_frame(gate, index), FrameTracks(seen, {each.track_id for each in seen}), moving=True):
            assert index / FPS < waiting.end_s - 4.0
            reads = reader.reads
            break
    else:
        pytest.fail("no event was emitted")
    for later in range(index + 1, round(waiting.end_s * FPS)):
        seen = [each for each in tracked_objects(gate.truth(later)) if each.track_id == waiting.track]
        assert stage.observe(gate_frame(gate, later), FrameTracks(seen, {waiting.track}), moving=True) == []
    assert reader.reads == reads, "a vehicle whose plate is known is not read again"


def test_with_one_search_and_one_reading_per_frame_all_plates_are_read() -> None:
    """Events are emitted later, with the same texts."""
    result = run_gate(max_searches=1, max_reads=1, search="vehicles")
    assert sorted(result.texts()) == sorted(result.truth().values())
    assert len(result.detector.searched) <= result.gate.frame_count
    assert result.reader.reads <= result.gate.frame_count


def test_search_in_vehicles_never_searches_the_whole_frame() -> None:
    """No searched region has the size of the frame."""
    result = run_gate(search="vehicles")
    assert (result.gate.width, result.gate.height) not in result.detector.searched
    assert len(result.emitted) == VEHICLES


@pytest.mark.parametrize("settings", [{"min_glyph_px": 200}, {"min_sharpness": 1.0}, {"min_detection_score": 0.95}])
def test_small_blurred_and_uncertain_plates_are_not_read(settings: dict[str, object]) -> None:
    """The reader is not called, and nothing is emitted."""
    result = run_gate(**settings)
    assert result.reader.reads == 0
    assert result.emitted == []
