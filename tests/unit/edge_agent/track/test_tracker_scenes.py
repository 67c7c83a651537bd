"""The tracker on synthetic scenes with known results."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from edge_agent.track.settings import TrackSettings
from edge_agent.track.tracker import ByteTracker
from edge_agent.types import Detections
from tests.support.edge.track_builders import FPS, Box, ended, frame, id_at, ids, person, play

EMPTY = frame([])
LABELS = ("person", "car", "truck", "bicycle", "motorcycle")


def test_one_person_is_one_track_from_the_second_strong_detection_on() -> None:
    """There is no track in the first frame, then one id to the end, at the position of the person."""
    results = play(ByteTracker(), [frame([person(50 + 6 * n)]) for n in range(30)])
    assert [len(tracks) for tracks in results] == [0] + [1] * 29
    assert ids(results) == {1}
    np.testing.assert_allclose(results[-1].xyxy[0], person(50 + 6 * 29), atol=2.0)
    assert results[-1].detection_index.tolist() == [0]
    assert results[-1].score == pytest.approx([0.9])


@pytest.mark.parametrize(("score", "frames_needed"), [(0.95, 2), (0.8, 2), (0.6, 3), (0.5, 4), (0.45, None)])
def test_weaker_detections_confirm_a_track_later(score: float, frames_needed: int | None) -> None:
    """Two strong or four weak detections confirm a track; detections below the threshold never do."""
    results = play(ByteTracker(), [frame([person(100)], score)] * 12)
    shown = [number + 1 for number, tracks in enumerate(results) if len(tracks)]
    assert (shown[0] if shown else None) == frames_needed


def test_noise_uses_no_ids() -> None:
    """Isolated false detections use no ids and end no tracks."""
    rng = np.random.default_rng(5)
    flashes = [frame([person(*rng.uniform((50, 100), (1200, 600)))], 0.7) if n % 4 == 0 else EMPTY for n in range(80)]
    tracker = ByteTracker()
    results = play(tracker, flashes)
    assert ids(results) == set()
    assert ended(results) == []
    later = play(tracker, [frame([person(400)])] * 3, start_s=20.0)
    assert ids(later) == {1}


@pytest.mark.parametrize("hidden", range(3, 9))
def test_two_people_who_cross_keep_their_ids(hidden: int) -> None:
    """Only one of them is detected while one hides the other."""
    frames = []
    for n in range(60):
        near, far = person(100 + 8 * n, 210, height=120), person(572 - 8 * n, 200)
        behind = abs(n - 29.5) < hidden / 2
        frames.append(frame([near] if behind else [near, far]))
    results = play(ByteTracker(), frames)
    assert ids(results) == {1, 2}
    first = id_at(results[5], 140)
    assert id_at(results[-1], 100 + 8 * 59) == first


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.0, 3.0])
def test_occlusion_is_bridged(seconds: float) -> None:
    """A person walks behind a pillar and reappears on the other side."""
    gone = int(seconds * FPS)
    frames = [frame([person(50 + 5 * n)]) if not 20 <= n < 20 + gone else EMPTY for n in range(60 + gone)]
    results = play(ByteTracker(), frames)
    assert ids(results) == {1}
    assert ended(results) == []


def test_seated_person_keeps_one_id() -> None:
    """For twenty seconds the box jitters, is partly hidden, and is missing twice for 2.5 seconds."""
    rng = np.random.default_rng(2)
    frames = []
    for n in range(200):
        whole = np.array(person(300, 220, width=120, height=260)) + rng.normal(0, 9, 4)
        if n % 7 == 3:
            whole[3] -= 120
        frames.append(EMPTY if 40 <= n < 65 or 120 <= n < 145 or rng.random() < 0.1 else frame([whole.tolist()], 0.7))
    results = play(ByteTracker(), frames)
    assert ids(results) == {1}


def test_track_ends_once_and_its_id_is_not_reused() -> None:
    """A track ends four seconds after its last detection; the next object gets id 2."""
    tracker = ByteTracker()
    results = play(tracker, [frame([person(300)])] * 10 + [EMPTY] * 60)
    assert ended(results) == [1]
    last_seen, ended_at = 9, next(n for n, tracks in enumerate(results) if tracks.ended)
    assert (ended_at - last_seen) / FPS == pytest.approx(4.1, abs=0.11)
    assert ids(play(tracker, [frame([person(300)])] * 5, start_s=20.0)) == {2}


def test_person_who_leaves_the_image_is_dropped_soon() -> None:
    """An object that enters there three seconds later gets a new track."""
    walk = [frame([(max(x - 20.0, 0.0), 150, min(x + 20.0, 640.0), 250)]) for x in np.arange(20, 656, 8.0)]
    results = play(ByteTracker(), [*walk, *[EMPTY] * 30, *[frame([(600, 150, 640, 250)])] * 5])
    assert ended(results) == [1]
    assert ids(results) == {1, 2}


@pytest.mark.parametrize("cadence_s", [1 / 30, 0.1, 0.5, 1.0])
def test_update_rate_has_no_influence(cadence_s: float) -> None:
    """A slow person is one track from 30 updates per second down to 1."""
    steps = int(12 / cadence_s)
    results = play(ByteTracker(), [frame([person(60 + 40 * n * cadence_s)]) for n in range(steps)], fps=1 / cadence_s)
    assert ids(results) == {1}


def test_slow_updates_keep_a_track_for_a_number_of_misses() -> None:
    """A track survives at least four updates without a detection, although each takes two seconds."""
    settings = TrackSettings(lost_s=1.0, lost_updates=4)
    results = play(ByteTracker(settings), [frame([person(300)])] * 3 + [EMPTY] * 6, fps=0.5)
    assert [n for n, tracks in enumerate(results) if tracks.ended] == [6]


def test_pause_of_the_detector_does_not_end_tracks() -> None:
    """A pause of ten minutes without updates ends no track."""
    tracker = ByteTracker()
    before = play(tracker, [frame([person(300)])] * 10)
    assert ids([*before, *play(tracker, [frame([person(302)])] * 10, start_s=600.0)]) == {1}


def test_pause_counts_at_most_max_gap_s() -> None:
    """Each pause counts as one second, so the fifth miss ends a track that is kept for four seconds."""
    tracker = ByteTracker(TrackSettings(lost_updates=0, lost_s=4.0, max_gap_s=1.0))
    play(tracker, [frame([person(300)])] * 10)
    assert ended(play(tracker, [EMPTY] * 4, fps=0.001, start_s=1000.0)) == []
    assert ended(play(tracker, [EMPTY], start_s=5000.0)) == [1]


@pytest.mark.parametrize(
    "times", [[5.0, 4.0, 3.0, 2.0], [1.0, 1.0, 1.0, 1.0], [0.0, 1e9, 2e9, 3e9], [5.0, -1e12, 0.0, 1.0]]
)
def test_irregular_clocks_are_tolerated(times: list[float]) -> None:
    """Times decrease, repeat, or jump."""
    tracker = ByteTracker()
    results = [tracker.update(frame([person(300)]), time_s=time_s) for time_s in times]
    assert ids(results) == {1}
    assert np.isfinite(results[-1].xyxy).all()


@pytest.mark.parametrize("time_s", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_time_counts_as_no_elapsed_time(time_s: float) -> None:
    """The next finite time is compared with the last finite one."""
    tracker = ByteTracker()
    times = [0.0, 0.1, time_s, 0.2, 0.3]
    results = [tracker.update(frame([person(300)]), time_s=update_s) for update_s in times]
    assert ids(results) == {1}
    assert np.isfinite(results[-1].xyxy).all()


BAD_BOXES: list[Box] = [
    (float("nan"), 0, 10, 10),
    (0, 0, float("inf"), 10),
    (float("-inf"), 0, float("inf"), 10),
    (10, 10, 10, 10),
    (20, 20, 10, 10),
    (0, 0, 0.2, 50),
    (1e30, 0, 2e30, 10),
]


@pytest.mark.parametrize("bad", BAD_BOXES)
def test_invalid_boxes_are_ignored(bad: Box) -> None:
    """Invalid boxes start no track, and detection indices still refer to the given rows."""
    results = play(ByteTracker(), [frame([bad, person(300)])] * 5)
    assert ids(results) == {1}
    assert results[-1].detection_index.tolist() == [1]
    assert ids(play(ByteTracker(), [frame([bad])] * 5)) == set()


@pytest.mark.parametrize(
    ("score", "class_id"), [(float("nan"), 0), (float("inf"), 0), (-1.0, 0), (0.9, -1), (0.9, 2**30)]
)
def test_invalid_scores_and_classes_are_ignored(score: float, class_id: int) -> None:
    """Detection indices still refer to the given rows."""
    results = play(ByteTracker(), [frame([person(300), person(600)], [score, 0.9], [class_id, 0])] * 5)
    assert results[-1].detection_index.tolist() == [1]


def test_scores_above_one_count_as_one() -> None:
    """With a detector of another scale, all detections count as strong."""
    results = play(ByteTracker(), [frame([person(300), person(600)], [37.5, 1.2])] * 3)
    assert ids(results) == {1, 2}
    assert results[-1].score.tolist() == [1.0, 1.0]


def test_two_boxes_on_one_person_are_one_track() -> None:
    """The upper half, which is also detected in every frame, never gets an id."""
    whole = person(300, 200, width=60, height=160)
    half = (272.0, 122.0, 328.0, 200.0)
    results = play(ByteTracker(), [frame([whole, half], [0.9, 0.85])] * 20)
    assert ids(results) == {1}
    assert {int(tracks.detection_index[0]) for tracks in results[1:]} == {0}


def test_two_people_who_separate_get_two_ids() -> None:
    """A person who was treated as a second box of another one gets an id after they separate."""
    apart = [frame([person(300), person(306 + max(0, n - 10) * 4, width=34, height=92)]) for n in range(30)]
    assert ids(play(ByteTracker(), apart)) == {1, 2}


@pytest.mark.parametrize(("classes", "track_count"), [((1, 2), 1), ((3, 4), 1), ((0, 1), 2)])
def test_confusable_classes_share_a_track(classes: tuple[int, int], track_count: int) -> None:
    """A car that is sometimes detected as a truck stays one track; a person and a car are two."""
    frames = [frame([person(300)], 0.9, classes[1] if n % 3 == 2 else classes[0]) for n in range(30)]
    results = play(ByteTracker(labels=LABELS), frames)
    assert len(ids(results)) == track_count
    if track_count == 1:
        assert {int(tracks.class_id[0]) for tracks in results if len(tracks)} == {classes[0]}


def test_class_is_voted_weighted_by_score() -> None:
    """Three weak truck detections do not outvote two strong car detections; five do."""
    seen = [(1, 0.95)] * 2 + [(2, 0.5)] * 3
    results = play(ByteTracker(labels=LABELS), [frame([person(300)], score, kind) for kind, score in seen])
    assert results[-1].class_id.tolist() == [1]
    results = play(ByteTracker(labels=LABELS), [frame([person(300)], s, k) for k, s in [*seen, *[(2, 0.5)] * 2]])
    assert results[-1].class_id.tolist() == [2]


def test_weak_detections_continue_tracks_and_never_start_one() -> None:
    """This is the second stage of ByteTrack."""
    strong, weak = frame([person(300)], 0.9), frame([person(301)], 0.3)
    results = play(ByteTracker(), [strong] * 3 + [weak] * 80)
    assert ids(results) == {1}
    assert len(results[-1]) == 1
    assert ids(play(ByteTracker(), [weak] * 20)) == set()


def test_weak_part_of_one_person_does_not_continue_another_track() -> None:
    """A weak box inside the box of another person does not continue the track of a person who left."""
    two = frame([person(300), person(318)])
    part = frame([person(300), (282.0, 160.0, 318.0, 240.0)], [0.9, 0.3])
    results = play(ByteTracker(TrackSettings(lost_s=1.0)), [two] * 3 + [part] * 20)
    assert ended(results) == [2]


def test_person_who_jumps_is_recovered() -> None:
    """After a stall there is no overlap, but the distance is plausible for the elapsed time."""
    tracker = ByteTracker()
    before = play(tracker, [frame([person(100 + 8 * n)]) for n in range(10)])
    jumped = tracker.update(frame([person(172 + 100)]), time_s=0.9 + 1.2)
    assert ids([*before, jumped]) == {1}


def test_track_at_the_same_place_has_priority_over_a_lost_track() -> None:
    """A pair of headlights becomes a car: it continues its own track, not that of a car that left nearby."""
    gone = [frame([(690 - n / 2, 76 - n / 2, 794 - n / 2, 152 - n / 2)]) for n in range(30)]
    lamps, car = frame([(520, 116, 624, 144)]), frame([(516, 60, 622, 152)])
    tracker = ByteTracker()
    play(tracker, gone, fps=25.0)
    results = play(tracker, [*[EMPTY] * 60, *[lamps] * 15, *[car] * 15], fps=25.0, start_s=1.2)
    assert ids(results) == {2}
    assert [len(tracks) for tracks in results[62:]] == [1] * 28


def test_nearby_track_has_no_priority_over_a_lost_track() -> None:
    """A person who reappears next to a person who is missed in that frame keeps their own id."""
    there, back = person(300, 200), person(332, 250)
    walk = [frame([there, person(480 - 8 * n, 250)]) for n in range(8)]
    tracker = ByteTracker()
    play(tracker, [*walk, *[frame([there])] * 8])
    assert tracker.update(frame([back]), time_s=1.6).track_id.tolist() == [2]


def test_recovery_requires_a_similar_size() -> None:
    """A child does not continue the track of a bus."""
    tracker = ByteTracker()
    bus = (100.0, 100.0, 500.0, 300.0)
    play(tracker, [frame([bus])] * 5)
    results = play(tracker, [frame([person(560, 250, width=20, height=50)])] * 4, start_s=1.5)
    assert ids(results) == {2}


def test_finish_ends_open_tracks_once() -> None:
    """``finish`` returns the ids of confirmed tracks only, ascending, once."""
    tracker = ByteTracker()
    play(tracker, [frame([person(100), person(300)])] * 3 + [frame([person(100), person(300), person(600)])])
    assert tracker.finish() == (1, 2)
    assert tracker.finish() == ()
    assert ids(play(tracker, [frame([person(100)])] * 3)) == {3}


def test_reset_forgets_without_reusing_ids() -> None:
    """A source that is opened again starts with new ids."""
    tracker = ByteTracker()
    play(tracker, [frame([person(100)])] * 3)
    tracker.reset()
    results = play(tracker, [frame([person(100)])] * 3)
    assert ids(results) == {2}
    assert ended(results) == []


def test_trackers_count_ids_independently() -> None:
    """Two cameras in one process have independent ids."""
    first, second = ByteTracker(), ByteTracker()
    assert ids(play(first, [frame([person(100)])] * 3)) == {1}
    assert ids(play(second, [frame([person(100)])] * 3)) == {1}


def test_empty_scene_gives_empty_tracks() -> None:
    """The empty arrays have the right shapes and types."""
    tracks = ByteTracker().update(Detections(), time_s=0.0)
    assert len(tracks) == 0
    assert tracks.xyxy.shape == (0, 4)
    assert (tracks.xyxy.dtype, tracks.track_id.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize(
    "wrong", [{"low_score": 0.8, "high_score": 0.5}, {"lost_s": -1}, {"confirm_hits": 0}, {"iou": 0.5}]
)
def test_invalid_settings_are_rejected(wrong: dict[str, float]) -> None:
    """Validation fails when the settings are read."""
    with pytest.raises(ValidationError):
        TrackSettings.model_validate(wrong)
