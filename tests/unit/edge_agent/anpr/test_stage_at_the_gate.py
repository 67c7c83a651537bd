"""The whole stage at the synthetic gate: one passage, one event, the right text, none invented."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest

from edge_agent.anpr.types import FrameTracks
from edge_agent.boxes import Box, box_iou
from edge_agent.camera.synthetic.gate import SyntheticGate
from edge_agent.events.occurrences import AnprOccurrence
from shared.plates import normalize_plate
from tests.support.anpr.gate_harness import CodedPlates, NoisyReader, followed, gate_frame, make_stage

FPS = 10.0
VEHICLES = 5


@dataclass
class Watched:
    """What a stage made of the gate."""

    gate: SyntheticGate
    told: list[AnprOccurrence]
    detector: CodedPlates
    reader: NoisyReader

    def texts(self) -> list[str]:
        return [found.candidates[0].text for found in self.told]

    def truth(self) -> dict[int, str]:
        return {passage.track: normalize_plate(passage.plate) for passage in self.gate.passages}


@cache
def watch(*, seed: int = 1, noise: float = 1.0, vehicles: bool = True, **settings: object) -> Watched:
    """Let a stage watch five passages through the gate, with perfect tracks or with none."""
    gate = SyntheticGate(seed=seed, fps=FPS, vehicles=VEHICLES)
    detector = CodedPlates()
    reader = NoisyReader({p.track: normalize_plate(p.plate) for p in gate.passages}, seed=seed, noise=noise)
    stage = make_stage(detector, reader, detects_vehicles=vehicles, **settings)
    told: list[AnprOccurrence] = []
    for index in range(gate.frame_count):
        truths = gate.truth(index)
        if not truths and index % 5:
            continue  # nobody there: half a second of that is soon told
        seen = followed(truths) if vehicles else []
        tracked = FrameTracks(seen, frozenset(each.track_id for each in seen))
        told += stage.observe(gate_frame(gate, index), tracked, moving=bool(truths))
    return Watched(gate, told + stage.finish(), detector, reader)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_passage_is_told_once_with_the_right_text(seed: int) -> None:
    """Five vehicles, a reader that misreads one character in five when they are small: five events, all right."""
    watched = watch(seed=seed)
    assert {found.track_id: found.candidates[0].text for found in watched.told} == watched.truth()
    assert len(watched.told) == VEHICLES


@pytest.mark.parametrize("search", ["frame", "auto"])
def test_without_vehicles_plates_are_followed_by_themselves(search: str) -> None:
    """A plate camera, or a box without a model: the same, on no vehicle."""
    watched = watch(vehicles=False, search=search)
    assert sorted(watched.texts()) == sorted(watched.truth().values())
    assert {(found.track_id, found.vehicle, found.vehicle_type) for found in watched.told} == {(None, None, None)}
    assert len({found.track_uid for found in watched.told}) == VEHICLES


def test_a_reader_that_guesses_is_not_believed() -> None:
    """Nearly every second character wrong: what is told at all is hardly ever wrong, and it says how doubtful it is."""
    watched = watch(noise=2.5)
    wrong = [found for found in watched.told if found.candidates[0].text not in watched.truth().values()]
    assert len(wrong) <= 1
    assert all(found.candidates[0].confidence < 0.8 for found in wrong)


def test_what_an_event_says_is_true() -> None:
    """Direction, type, boxes, candidates, readings, latency, and a frame in which the plate is where it is said."""
    watched = watch()
    for found in watched.told:
        passage = watched.gate.passages[(found.track_id or 0) - 1]
        truth = next(t for t in watched.gate.truth(found.frame.number - 1) if t.track == passage.track)
        assert found.direction == ("approaching" if passage.heading == "in" else "receding")
        assert found.vehicle_type == truth.class_name
        assert found.track_uid == f"gate-test-{passage.track}"
        assert truth.plate_quad is not None
        corners: Box = (*truth.plate_quad.min(axis=0).tolist(), *truth.plate_quad.max(axis=0).tolist())
        assert box_iou(found.plate, corners) > 0.6
        assert found.vehicle is not None
        assert box_iou(found.vehicle, tuple(truth.xyxy.tolist())) > 0.9
        assert found.reads >= 3
        assert sum(each.confidence for each in found.candidates) <= 1.0 + 1e-9
        assert 0.0 < found.quality <= 1.0
        assert 0.0 <= found.latency_s < 6.0


def test_it_is_told_when_settled_not_when_gone() -> None:
    """The vehicle at the barrier stands there for four seconds; it is told long before it has left."""
    gate = SyntheticGate(fps=FPS)
    reader = NoisyReader({p.track: normalize_plate(p.plate) for p in gate.passages})
    stage = make_stage(CodedPlates(), reader)
    waiting = next(passage for passage in gate.passages if passage.wait_s)
    for index in range(round(waiting.start_s * FPS), round(waiting.end_s * FPS)):
        seen = followed(gate.truth(index))
        if stage.observe(gate_frame(gate, index), FrameTracks(seen, {each.track_id for each in seen}), moving=True):
            assert index / FPS < waiting.end_s - 4.0
            reads = reader.reads
            break
    else:
        pytest.fail("it was never told")
    for later in range(index + 1, round(waiting.end_s * FPS)):
        seen = [each for each in followed(gate.truth(later)) if each.track_id == waiting.track]
        assert stage.observe(gate_frame(gate, later), FrameTracks(seen, {waiting.track}), moving=True) == []
    assert reader.reads == reads, "a vehicle whose plate is known is not read again"


def test_a_budget_is_kept_and_everybody_still_read() -> None:
    """One search and one reading a frame: later, but the same."""
    watched = watch(max_searches=1, max_reads=1, search="vehicles")
    assert sorted(watched.texts()) == sorted(watched.truth().values())
    assert len(watched.detector.searched) <= watched.gate.frame_count
    assert watched.reader.reads <= watched.gate.frame_count


def test_all_searches_are_in_vehicles_where_that_is_asked() -> None:
    """Never the whole picture."""
    watched = watch(search="vehicles")
    assert (watched.gate.width, watched.gate.height) not in watched.detector.searched
    assert len(watched.told) == VEHICLES


@pytest.mark.parametrize("settings", [{"min_glyph_px": 200}, {"min_sharpness": 1.0}, {"min_detection_score": 0.95}])
def test_what_is_too_small_too_blurred_or_too_doubtful_is_not_read(settings: dict[str, object]) -> None:
    """The reader is not even asked, and nothing is told."""
    watched = watch(**settings)
    assert watched.reader.reads == 0
    assert watched.told == []
