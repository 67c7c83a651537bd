"""What the tracker makes of scenes whose truth is plain."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from edge_agent.track.settings import TrackSettings
from edge_agent.track.tracker import ByteTracker
from edge_agent.types import Detections
from tests.support.edge.track_builders import FPS, Box, ended, frame, id_at, ids, person, play

NOBODY = frame([])
LABELS = ("person", "car", "truck", "bicycle", "motorcycle")


def test_one_walker_is_one_track_from_the_second_sure_frame_on() -> None:
    """Nothing is shown on the first frame, and then the same id to the end, where the walker is."""
    results = play(ByteTracker(), [frame([person(50 + 6 * n)]) for n in range(30)])
    assert [len(tracks) for tracks in results] == [0] + [1] * 29
    assert ids(results) == {1}
    np.testing.assert_allclose(results[-1].xyxy[0], person(50 + 6 * 29), atol=2.0)
    assert results[-1].detection_index.tolist() == [0]
    assert results[-1].score == pytest.approx([0.9])


@pytest.mark.parametrize(("score", "frames_needed"), [(0.95, 2), (0.8, 2), (0.6, 3), (0.5, 4), (0.45, None)])
def test_the_fainter_the_later_confirmed(score: float, frames_needed: int | None) -> None:
    """Two sure detections are enough, four faint ones are, and below the threshold none ever are."""
    results = play(ByteTracker(), [frame([person(100)], score)] * 12)
    shown = [number + 1 for number, tracks in enumerate(results) if len(tracks)]
    assert (shown[0] if shown else None) == frames_needed


def test_noise_takes_no_ids() -> None:
    """Ghosts that flash here and there leave no gap in the numbering, and end nothing."""
    rng = np.random.default_rng(5)
    flashes = [frame([person(*rng.uniform((50, 100), (1200, 600)))], 0.7) if n % 4 == 0 else NOBODY for n in range(80)]
    tracker = ByteTracker()
    results = play(tracker, flashes)
    assert ids(results) == set()
    assert ended(results) == []
    later = play(tracker, [frame([person(400)])] * 3, start_s=20.0)
    assert ids(later) == {1}


@pytest.mark.parametrize("hidden", range(3, 9))
def test_two_who_cross_keep_their_ids(hidden: int) -> None:
    """While one is behind the other only one of them is found."""
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
def test_an_occlusion_is_bridged(seconds: float) -> None:
    """Somebody walks behind a pillar and comes out on the other side."""
    gone = int(seconds * FPS)
    frames = [frame([person(50 + 5 * n)]) if not 20 <= n < 20 + gone else NOBODY for n in range(60 + gone)]
    results = play(ByteTracker(), frames)
    assert ids(results) == {1}
    assert ended(results) == []


def test_somebody_at_a_table_stays_one() -> None:
    """Twenty seconds with a jittering box, half bodies and two gaps of two and a half seconds."""
    rng = np.random.default_rng(2)
    frames = []
    for n in range(200):
        whole = np.array(person(300, 220, width=120, height=260)) + rng.normal(0, 9, 4)
        if n % 7 == 3:
            whole[3] -= 120
        frames.append(NOBODY if 40 <= n < 65 or 120 <= n < 145 or rng.random() < 0.1 else frame([whole.tolist()], 0.7))
    results = play(ByteTracker(), frames)
    assert ids(results) == {1}


def test_a_track_ends_once_and_its_id_is_not_used_again() -> None:
    """Four seconds after it was last seen, and the next comer is number two."""
    tracker = ByteTracker()
    results = play(tracker, [frame([person(300)])] * 10 + [NOBODY] * 60)
    assert ended(results) == [1]
    last_seen, gave_up = 9, next(n for n, tracks in enumerate(results) if tracks.ended)
    assert (gave_up - last_seen) / FPS == pytest.approx(4.1, abs=0.11)
    assert ids(play(tracker, [frame([person(300)])] * 5, start_s=20.0)) == {2}


def test_who_walks_out_of_the_picture_is_given_up_soon() -> None:
    """An object that enters there three seconds later gets a new track."""
    walk = [frame([(max(x - 20.0, 0.0), 150, min(x + 20.0, 640.0), 250)]) for x in np.arange(20, 656, 8.0)]
    results = play(ByteTracker(), [*walk, *[NOBODY] * 30, *[frame([(600, 150, 640, 250)])] * 5])
    assert ended(results) == [1]
    assert ids(results) == {1, 2}


@pytest.mark.parametrize("cadence_s", [1 / 30, 0.1, 0.5, 1.0])
def test_cadence_does_not_matter(cadence_s: float) -> None:
    """A slow walker is one track from thirty updates a second down to one."""
    steps = int(12 / cadence_s)
    results = play(ByteTracker(), [frame([person(60 + 40 * n * cadence_s)]) for n in range(steps)], fps=1 / cadence_s)
    assert ids(results) == {1}


def test_at_one_update_a_second_a_lifetime_is_also_a_number_of_looks() -> None:
    """At least four updates without a detection, although each counts a second and more."""
    settings = TrackSettings(lost_s=1.0, lost_updates=4)
    results = play(ByteTracker(settings), [frame([person(300)])] * 3 + [NOBODY] * 6, fps=0.5)
    assert [n for n, tracks in enumerate(results) if tracks.ended] == [6]


def test_a_pause_of_the_detector_does_not_age_tracks() -> None:
    """A pause of ten minutes without updates ends no track."""
    tracker = ByteTracker()
    before = play(tracker, [frame([person(300)])] * 10)
    assert ids([*before, *play(tracker, [frame([person(302)])] * 10, start_s=600.0)]) == {1}


def test_each_pause_counts_for_no_more_than_the_setting() -> None:
    """One second each here, so that the fifth look in vain ends a track that is kept for four."""
    tracker = ByteTracker(TrackSettings(lost_updates=0, lost_s=4.0, max_gap_s=1.0))
    play(tracker, [frame([person(300)])] * 10)
    assert ended(play(tracker, [NOBODY] * 4, fps=0.001, start_s=1000.0)) == []
    assert ended(play(tracker, [NOBODY], start_s=5000.0)) == [1]


@pytest.mark.parametrize(
    "times", [[5.0, 4.0, 3.0, 2.0], [1.0, 1.0, 1.0, 1.0], [0.0, 1e9, 2e9, 3e9], [5.0, -1e12, 0.0, 1.0]]
)
def test_odd_clocks_break_nothing(times: list[float]) -> None:
    """Backwards, standing still, and leaping."""
    tracker = ByteTracker()
    results = [tracker.update(frame([person(300)]), time_s=time_s) for time_s in times]
    assert ids(results) == {1}
    assert np.isfinite(results[-1].xyxy).all()


@pytest.mark.parametrize("time_s", [float("nan"), float("inf"), float("-inf")])
def test_a_time_that_is_none_counts_as_no_time(time_s: float) -> None:
    """And the next good one goes on from the last good one."""
    tracker = ByteTracker()
    times = [0.0, 0.1, time_s, 0.2, 0.3]
    results = [tracker.update(frame([person(300)]), time_s=each) for each in times]
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
def test_bad_boxes_are_left_out(bad: Box) -> None:
    """They start nothing and harm nobody, and indices still point at the rows given."""
    results = play(ByteTracker(), [frame([bad, person(300)])] * 5)
    assert ids(results) == {1}
    assert results[-1].detection_index.tolist() == [1]
    assert ids(play(ByteTracker(), [frame([bad])] * 5)) == set()


@pytest.mark.parametrize(
    ("score", "class_id"), [(float("nan"), 0), (float("inf"), 0), (-1.0, 0), (0.9, -1), (0.9, 2**30)]
)
def test_bad_scores_and_classes_are_left_out(score: float, class_id: int) -> None:
    """Likewise."""
    results = play(ByteTracker(), [frame([person(300), person(600)], [score, 0.9], [class_id, 0])] * 5)
    assert results[-1].detection_index.tolist() == [1]


def test_scores_beyond_one_count_as_one() -> None:
    """A detector with another scale works, all its detections being taken as sure."""
    results = play(ByteTracker(), [frame([person(300), person(600)], [37.5, 1.2])] * 3)
    assert ids(results) == {1, 2}
    assert results[-1].score.tolist() == [1.0, 1.0]


def test_two_boxes_on_one_person_are_one_track() -> None:
    """The upper half, found as well in every frame, never gets an id of its own."""
    whole = person(300, 200, width=60, height=160)
    half = (272.0, 122.0, 328.0, 200.0)
    results = play(ByteTracker(), [frame([whole, half], [0.9, 0.85])] * 20)
    assert ids(results) == {1}
    assert {int(tracks.detection_index[0]) for tracks in results[1:]} == {0}


def test_two_who_part_are_two() -> None:
    """Who was held for a second box on the same person gets an id once apart."""
    apart = [frame([person(300), person(306 + max(0, n - 10) * 4, width=34, height=92)]) for n in range(30)]
    assert ids(play(ByteTracker(), apart)) == {1, 2}


@pytest.mark.parametrize(("classes", "tracks"), [((1, 2), 1), ((3, 4), 1), ((0, 1), 2)])
def test_classes_that_detectors_confuse_share_a_track(classes: tuple[int, int], tracks: int) -> None:
    """A car that is a truck now and then stays one; a person who is a car is another object."""
    frames = [frame([person(300)], 0.9, classes[1] if n % 3 == 2 else classes[0]) for n in range(30)]
    results = play(ByteTracker(labels=LABELS), frames)
    assert len(ids(results)) == tracks
    if tracks == 1:
        assert {int(one.class_id[0]) for one in results if len(one)} == {classes[0]}


def test_the_class_is_a_vote_weighted_by_score() -> None:
    """Three doubtful trucks do not outvote two sure cars; more of them do."""
    seen = [(1, 0.95)] * 2 + [(2, 0.5)] * 3
    results = play(ByteTracker(labels=LABELS), [frame([person(300)], score, kind) for kind, score in seen])
    assert results[-1].class_id.tolist() == [1]
    results = play(ByteTracker(labels=LABELS), [frame([person(300)], s, k) for k, s in [*seen, *[(2, 0.5)] * 2]])
    assert results[-1].class_id.tolist() == [2]


def test_weak_detections_continue_a_track_and_start_none() -> None:
    """The second stage of ByteTrack."""
    strong, weak = frame([person(300)], 0.9), frame([person(301)], 0.3)
    results = play(ByteTracker(), [strong] * 3 + [weak] * 80)
    assert ids(results) == {1}
    assert len(results[-1]) == 1
    assert ids(play(ByteTracker(), [weak] * 20)) == set()


def test_a_weak_part_of_somebody_continues_nobody_else() -> None:
    """The one who left is not kept alive by a doubtful box within another's."""
    two = frame([person(300), person(318)])
    part = frame([person(300), (282.0, 160.0, 318.0, 240.0)], [0.9, 0.3])
    results = play(ByteTracker(TrackSettings(lost_s=1.0)), [two] * 3 + [part] * 20)
    assert ended(results) == [2]


def test_somebody_who_jumps_is_found_again() -> None:
    """A stalled stream: no overlap with where anybody was, but a plausible distance for the time."""
    tracker = ByteTracker()
    before = play(tracker, [frame([person(100 + 8 * n)]) for n in range(10)])
    jumped = tracker.update(frame([person(172 + 100)]), time_s=0.9 + 1.2)
    assert ids([*before, jumped]) == {1}


def test_who_is_seen_at_the_place_goes_before_who_could_have_come_there() -> None:
    """A car in a dark garage is a pair of lamps, then a whole car: not the one that drove off nearby seconds ago."""
    gone = [frame([(690 - n / 2, 76 - n / 2, 794 - n / 2, 152 - n / 2)]) for n in range(30)]
    lamps, car = frame([(520, 116, 624, 144)]), frame([(516, 60, 622, 152)])
    tracker = ByteTracker()
    play(tracker, gone, fps=25.0)
    results = play(tracker, [*[NOBODY] * 60, *[lamps] * 15, *[car] * 15], fps=25.0, start_s=1.2)
    assert ids(results) == {2}
    assert [len(tracks) for tracks in results[62:]] == [1] * 28


def test_to_be_seen_nearby_is_not_to_be_seen_at_the_place() -> None:
    """Who comes back beside somebody whom the detector just then overlooks is who came back."""
    there, back = person(300, 200), person(332, 250)
    walk = [frame([there, person(480 - 8 * n, 250)]) for n in range(8)]
    tracker = ByteTracker()
    play(tracker, [*walk, *[frame([there])] * 8])
    assert tracker.update(frame([back]), time_s=1.6).track_id.tolist() == [2]


def test_size_counts_when_somebody_is_found_again() -> None:
    """A child does not take over where a bus was lost."""
    tracker = ByteTracker()
    bus = (100.0, 100.0, 500.0, 300.0)
    play(tracker, [frame([bus])] * 5)
    results = play(tracker, [frame([person(560, 250, width=20, height=50)])] * 4, start_s=1.5)
    assert ids(results) == {2}


def test_finish_ends_what_is_open_and_starts_over() -> None:
    """Confirmed ones only, ascending, once."""
    tracker = ByteTracker()
    play(tracker, [frame([person(100), person(300)])] * 3 + [frame([person(100), person(300), person(600)])])
    assert tracker.finish() == (1, 2)
    assert tracker.finish() == ()
    assert ids(play(tracker, [frame([person(100)])] * 3)) == {3}


def test_reset_forgets_without_reusing_ids() -> None:
    """A source that was opened anew begins with new ids."""
    tracker = ByteTracker()
    play(tracker, [frame([person(100)])] * 3)
    tracker.reset()
    results = play(tracker, [frame([person(100)])] * 3)
    assert ids(results) == {2}
    assert ended(results) == []


def test_two_trackers_count_apart() -> None:
    """Two cameras in one process have ids of their own."""
    first, second = ByteTracker(), ByteTracker()
    assert ids(play(first, [frame([person(100)])] * 3)) == {1}
    assert ids(play(second, [frame([person(100)])] * 3)) == {1}


def test_an_empty_scene_stays_empty() -> None:
    """Empty arrays of the right shapes and kinds."""
    tracks = ByteTracker().update(Detections(), time_s=0.0)
    assert len(tracks) == 0
    assert tracks.xyxy.shape == (0, 4)
    assert (tracks.xyxy.dtype, tracks.track_id.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize(
    "wrong", [{"low_score": 0.8, "high_score": 0.5}, {"lost_s": -1}, {"confirm_hits": 0}, {"iou": 0.5}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    """At once, by name."""
    with pytest.raises(ValidationError):
        TrackSettings.model_validate(wrong)
