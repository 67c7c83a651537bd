"""The adaptive background on painted scenes: what moves, what stops, and frames of all kinds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_agent.motion.adaptive import AdaptiveBackground
from edge_agent.motion.detector import MotionDetector
from edge_agent.motion.settings import MotionSettings
from edge_agent.types import Motion
from shared.geometry import Point
from tests.support.edge.motion_scenes import (
    FPS,
    HEIGHT,
    WIDTH,
    Camera,
    Picture,
    Scene,
    active_frames,
    every_scene,
    furnished,
    plain,
    put,
    textured,
    watch,
)


def crossing(
    scene: Scene, *, frames: int = 70, enters: int = 20, size: int = 60, speed: float = 8.0, contrast: float = 70.0
) -> list[Picture]:
    """A box that comes in at the left and goes across, 20 frames after the start."""
    empty = scene()
    level = float(empty[150 : 150 + size].max() if scene is furnished else empty.mean()) + contrast
    return [
        empty
        if i < enters
        else put(empty, x=(i - enters + 1) * speed - size, y=150, width=size, height=size, level=level)
        for i in range(frames)
    ]


def overlap(box: np.ndarray, truth: tuple[float, float, float, float]) -> float:
    """Intersection over union."""
    width = min(box[2], truth[2]) - max(box[0], truth[0])
    height = min(box[3], truth[3]) - max(box[1], truth[1])
    both = max(0.0, width) * max(0.0, height)
    return both / ((box[2] - box[0]) * (box[3] - box[1]) + (truth[2] - truth[0]) * (truth[3] - truth[1]) - both)


# What moves


@every_scene
def test_something_that_comes_in_is_seen_within_two_frames_and_all_the_way(scene: Scene) -> None:
    """An object is motion from its second frame at the latest, and nothing is before it."""
    active = active_frames(watch(crossing(scene)))
    assert active[0] in (20, 21, 22)
    assert active == list(range(active[0], 70))


def test_one_object_is_one_region_that_fits_it() -> None:
    """The region follows the object's outline in full-frame pixels."""
    motions = watch(crossing(plain))
    for i in range(35, 65):
        x = (i - 19) * 8 - 60
        assert len(motions[i].regions) == 1
        assert overlap(motions[i].regions[0], (x, 150, x + 60, 210)) > 0.7


def test_two_objects_side_by_side_are_two_regions_the_larger_first() -> None:
    """Two cars next to each other stay apart."""
    empty = plain()
    pictures = [empty] * 15
    for i in range(15):
        picture = put(empty, x=100, y=300 - i * 12, width=90, height=160, level=190)
        pictures.append(put(picture, x=215, y=300 - i * 12, width=70, height=120, level=40))
    last = watch(pictures)[-1]
    assert len(last.regions) == 2
    assert overlap(last.regions[0], (100, 132, 190, 292)) > 0.7
    assert overlap(last.regions[1], (215, 132, 285, 252)) > 0.7


def test_a_box_with_a_dull_middle_is_one_region() -> None:
    """Fragments of one object, with a gap in between that looks like the ground, are merged."""
    empty = plain()
    pictures = [empty] * 15
    for i in range(12):
        top = put(empty, x=60 + i * 10, y=100, width=60, height=60, level=200)
        pictures.append(put(top, x=60 + i * 10, y=166, width=60, height=50, level=30))
    assert len(watch(pictures)[-1].regions) == 1


@pytest.mark.parametrize("size", [12, 16, 24])
def test_small_far_things_are_seen(size: int) -> None:
    """Something of 12 pixels in 640 is motion, while it moves on by a few pixels a frame."""
    pictures = crossing(textured, size=size, speed=4.0, contrast=80.0)
    active = active_frames(watch(pictures))
    assert len([i for i in active if i >= 25]) >= 40
    assert active[0] >= 20


def test_intensity_and_area_say_how_strongly_and_how_much() -> None:
    """A larger and more different object gives larger figures, as shares of one."""
    faint = watch(crossing(plain, size=40, contrast=40))[50]
    strong = watch(crossing(plain, size=120, contrast=120))[50]
    assert faint.intensity == pytest.approx(40 / 255, rel=0.25)
    assert strong.intensity == pytest.approx(120 / 255, rel=0.25)
    assert faint.area_ratio == pytest.approx(40 * 40 / (WIDTH * HEIGHT), rel=0.4)
    assert strong.area_ratio == pytest.approx(120 * 120 / (WIDTH * HEIGHT), rel=0.2)


def test_the_mask_shows_what_moves_and_is_absent_when_nothing_does() -> None:
    """255 inside the object, 0 elsewhere, at the working size."""
    motions = watch(crossing(plain, size=80))
    mask = motions[50].mask
    assert mask is not None
    assert mask.shape == (180, 320)
    assert set(np.unique(mask)) == {0, 255}
    x = (50 - 19) * 8 - 80
    assert mask[95, (x + 40) // 2] == 255
    assert mask[20, 20] == 0
    assert motions[10].mask is None


def test_a_short_gap_is_held_but_an_exit_through_the_edge_is_not() -> None:
    """Something that vanishes inside the picture is held for ``hold_s``; something that drove out is gone at once."""
    settings = MotionSettings(hold_s=0.4)
    empty = plain()
    inside = [empty] * 15 + [put(empty, x=100 + i * 9, y=100, width=60, height=60, level=200) for i in range(10)]
    motions = watch(inside + [empty] * 15, settings=settings)
    assert active_frames(motions)[-1] == 24 + 6
    assert not len(motions[27].regions)
    out = [empty] * 15 + [put(empty, x=WIDTH - 100 + i * 12, y=100, width=60, height=60, level=200) for i in range(9)]
    assert active_frames(watch(out + [empty] * 15, settings=settings))[-1] <= 23


def test_a_shadow_is_not_part_of_the_region() -> None:
    """The soft shadow beside a car on plain ground is left out; the car is found."""
    empty = plain()
    pictures = [empty] * 15
    for i in range(15):
        shade = np.ones((HEIGHT, WIDTH), np.float32)
        shade[100:220, 100 + i * 8 : 300 + i * 8] = 0.6
        picture = empty * cv2.GaussianBlur(shade, (61, 61), 0)
        pictures.append(put(picture, x=180 + i * 8, y=110, width=100, height=90, level=220))
    last = watch(pictures)[-1]
    assert len(last.regions) == 1
    assert overlap(last.regions[0], (292, 110, 392, 200)) > 0.7


def test_ignored_areas_see_nothing_and_the_rest_still_does() -> None:
    """Motion within a polygon is not reported; the area is a share of what is watched."""
    left_half = (Point(0, 0), Point(0.5, 0), Point(0.5, 1), Point(0, 1))
    settings = MotionSettings(ignore=(left_half,))
    motions = watch(crossing(plain, frames=90), settings=settings)
    active = active_frames(motions)
    assert active[0] >= 20 + WIDTH // 2 // 8
    assert motions[80].area_ratio == pytest.approx(2 * 60 * 60 / (WIDTH * HEIGHT), rel=0.4)


# What stops, and what was there at the start


@every_scene
def test_what_stops_becomes_background_and_its_leaving_leaves_no_ghost(scene: Scene) -> None:
    """A van parks: motion until the absorption time; it drives off: motion while it goes, none where it stood."""
    empty = scene()
    parked_at, leaves_at, end = 25, 110, 150

    def picture(i: int) -> Picture:
        x = min(i, parked_at) * 10.0 - 100 + max(0, i - leaves_at) * 25.0
        return put(empty, x=x, y=140, width=100, height=80, level=225) if i >= 10 else empty

    motions = watch([picture(i) for i in range(end)], settings=MotionSettings(absorb_time_s=3.0))
    active = active_frames(motions)
    assert set(range(14, 60)) <= set(active)
    assert not set(range(80, leaves_at)) & set(active)
    assert leaves_at + 2 in active
    assert not set(range(leaves_at + 32, end)) & set(active)


def test_a_ghost_heals_when_what_was_there_at_the_start_leaves() -> None:
    """Where a car stood in the very first frame, motion ends within a second of its leaving."""
    empty = furnished()
    pictures = [put(empty, x=120 + max(0, i - 20) * 12.0, y=150, width=90, height=70, level=235) for i in range(90)]
    motions = watch(pictures)
    assert active_frames(motions)[0] in (21, 22, 23)
    gone = 20 + (WIDTH - 120) // 12
    assert not [i for i in active_frames(motions) if i > gone + 8]
    assert all(len(motions[i].regions) == 1 for i in range(45, gone - 8))


def test_an_even_panel_that_glides_over_a_line_is_no_ghost() -> None:
    """A lorry cut by the picture's lower edge: its trailer, little brighter than the road, hides a line for a second
    and stays in the mask; afterwards the line is as it was.
    """
    empty = plain()
    empty[:, 300:312] = 190.0
    first, last = 15, 75

    def picture(i: int) -> Picture:
        x = -300 + (i - first) * 16
        lorry = put(empty, x=x, y=100, width=300, height=HEIGHT, level=128)
        lorry = put(lorry, x=x, y=200, width=300, height=30, level=40)
        return put(lorry, x=x + 240, y=100, width=60, height=HEIGHT, level=220) if i >= first else empty

    motions = watch([picture(i) for i in range(last + 12)])
    for i in range(38, 52):
        x = -300 + (i - first) * 16
        assert overlap(motions[i].regions[0], (x, 100, min(WIDTH, x + 300), HEIGHT)) > 0.8
        mask = motions[i].mask
        assert mask is not None
        assert (mask[60:170, max(0, x // 2 + 10) : x // 2 + 140] > 0).mean() > 0.9
    assert not [i for i in active_frames(motions) if i > last + 3]


def test_an_object_is_still_seen_while_the_light_jumps() -> None:
    """The exposure changes as a van fills a part of the picture; the episode is not broken and no other begins."""
    pictures = [p * (0.7 if i >= 40 else 1.0) for i, p in enumerate(crossing(furnished, size=100))]
    motions = watch(pictures)
    active = active_frames(motions)
    assert active == list(range(active[0], 70))
    assert all(len(motions[i].regions) <= 2 for i in range(30, 70))


# The way it is called


def run(detector: MotionDetector, pictures: list[Picture], *, start_s: float = 0.0) -> list[Motion]:
    camera = Camera()
    return [detector.update(camera.shoot(p), time_s=start_s + i / FPS) for i, p in enumerate(pictures)]


def test_the_same_frames_give_the_same_motion() -> None:
    """Two detectors, one after the other, agree to the last bit."""
    first, second = run(AdaptiveBackground(), crossing(furnished)), run(AdaptiveBackground(), crossing(furnished))
    for one, other in zip(first, second, strict=True):
        assert (one.active, one.intensity, one.area_ratio) == (other.active, other.intensity, other.area_ratio)
        assert np.array_equal(one.regions, other.regions)


def test_padded_rows_change_nothing_and_the_frame_is_not_kept() -> None:
    """A decoder's plane is a view into a buffer that it fills again: neither its padding nor its reuse shows."""
    tight, padded = AdaptiveBackground(), AdaptiveBackground()
    buffer = np.full((HEIGHT, WIDTH + 64), 255, np.uint8)
    camera = Camera()
    for i, picture in enumerate(crossing(furnished, frames=40)):
        frame = camera.shoot(picture)
        buffer[:, :WIDTH] = frame
        one, other = tight.update(frame, time_s=i / FPS), padded.update(buffer[:, :WIDTH], time_s=i / FPS)
        assert np.array_equal(one.regions, other.regions)
        buffer[:] = 0


@pytest.mark.parametrize("shape", [(720, 1280), (1080, 1920), (1920, 1080), (333, 517), (90, 160), (9, 16), (1, 1)])
def test_any_size_of_frame_is_taken(shape: tuple[int, int]) -> None:
    """Large, upright, odd, tiny: boxes come back in the frame's own pixels and inside it."""
    detector = AdaptiveBackground()
    height, width = shape
    frame = np.full(shape, 90, np.uint8)
    for i in range(12):
        painted = frame.copy()
        if i > 5:
            painted[height // 4 : height // 2, width // 4 + i : width // 2 + i] = 230
        motion = detector.update(painted, time_s=i / FPS)
    if min(shape) >= 90:
        assert motion.active
        left, top, right, bottom = motion.regions[0]
        assert left == pytest.approx(width // 4 + 11, abs=0.03 * width)
        assert bottom == pytest.approx(height // 2, abs=0.03 * height)
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height


@pytest.mark.parametrize("size", [(960, 540), (1280, 720), (320, 180), (640, 480), (360, 640)])
@every_scene
def test_edge_12_a_frame_of_another_size_goes_on_with_the_scene(scene: Scene, size: tuple[int, int]) -> None:
    """The camera's resolution or aspect was changed: no motion by it, and what comes later is motion at once."""
    detector = AdaptiveBackground()
    assert active_frames(run(detector, crossing(scene, frames=15))) == []
    other = [cv2.resize(p, size) for p in crossing(scene, frames=50)]
    motions = run(detector, other, start_s=1.0)
    assert active_frames(motions)[0] in (20, 21, 22)
    change = motions[0].view_change
    assert change is not None
    assert not change.shifted
    assert (change.scale_x * WIDTH, change.scale_y * HEIGHT) == pytest.approx(size)
    assert all(motion.view_change is None for motion in motions[1:])


@every_scene
def test_edge_12_motion_goes_on_through_a_change_of_size(scene: Scene) -> None:
    """Somebody crosses while the resolution changes: one episode, with regions in the new frame's pixels."""
    detector = AdaptiveBackground()
    pictures = crossing(scene)
    run(detector, pictures[:45])
    larger = [cv2.resize(p, (1280, 720), interpolation=cv2.INTER_LINEAR) for p in pictures[45:]]
    motions = run(detector, larger, start_s=45 / FPS)
    assert all(motion.active for motion in motions)
    x = 2 * ((55 - 19) * 8 - 60)
    assert overlap(motions[10].regions[0], (x, 300, x + 120, 420)) > 0.6


def test_reset_forgets_the_scene() -> None:
    """After a reset, another view is not motion."""
    detector = AdaptiveBackground(settings=MotionSettings(lighting_jump_ratio=1.0))
    run(detector, [plain()] * 20)
    detector.reset()
    assert active_frames(run(detector, [furnished()] * 20, start_s=2.0)) == []


def test_time_that_stands_still_or_runs_back_does_no_harm() -> None:
    """A camera with broken time stamps is still watched."""
    detector = AdaptiveBackground()
    camera = Camera()
    times = [0.0, 0.0, 5.0, 4.0, 1e9, 3.0]
    motions = [
        detector.update(camera.shoot(picture), time_s=times[i % len(times)])
        for i, picture in enumerate(crossing(plain, frames=60))
    ]
    assert any(motion.active for motion in motions[25:])
    assert all(0.0 <= motion.intensity <= 1.0 and 0.0 <= motion.area_ratio <= 1.0 for motion in motions)
