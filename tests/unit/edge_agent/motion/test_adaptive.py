"""The adaptive background on synthetic scenes: moving and stopping objects, and frames of any size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_agent.motion.adaptive import AdaptiveBackground, MotionDetector
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
    """Return frames in which a box enters at the left after ``enters`` frames and crosses the image."""
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
    shared = max(0.0, width) * max(0.0, height)
    return shared / ((box[2] - box[0]) * (box[3] - box[1]) + (truth[2] - truth[0]) * (truth[3] - truth[1]) - shared)


# Moving objects


@every_scene
def test_entering_object_is_motion_within_two_frames_until_it_leaves(scene: Scene) -> None:
    """An object is motion from its second frame at the latest; no motion is reported before it."""
    active = active_frames(watch(crossing(scene)))
    assert active[0] in (20, 21, 22)
    assert active == list(range(active[0], 70))


def test_one_object_gives_one_fitting_region() -> None:
    """The region follows the object's outline in full-frame pixels."""
    motions = watch(crossing(plain))
    for i in range(35, 65):
        x = (i - 19) * 8 - 60
        assert len(motions[i].regions) == 1
        assert overlap(motions[i].regions[0], (x, 150, x + 60, 210)) > 0.7


def test_two_adjacent_objects_give_two_regions_largest_first() -> None:
    """Two cars next to each other are not merged."""
    empty = plain()
    pictures = [empty] * 15
    for i in range(15):
        picture = put(empty, x=100, y=300 - i * 12, width=90, height=160, level=190)
        pictures.append(put(picture, x=215, y=300 - i * 12, width=70, height=120, level=40))
    last = watch(pictures)[-1]
    assert len(last.regions) == 2
    assert overlap(last.regions[0], (100, 132, 190, 292)) > 0.7
    assert overlap(last.regions[1], (215, 132, 285, 252)) > 0.7


def test_object_with_background_coloured_middle_gives_one_region() -> None:
    """Fragments of one object, separated by a gap that looks like the ground, are merged."""
    empty = plain()
    pictures = [empty] * 15
    for i in range(12):
        top = put(empty, x=60 + i * 10, y=100, width=60, height=60, level=200)
        pictures.append(put(top, x=60 + i * 10, y=166, width=60, height=50, level=30))
    assert len(watch(pictures)[-1].regions) == 1


@pytest.mark.parametrize("size", [12, 16, 24])
def test_small_distant_objects_are_motion(size: int) -> None:
    """An object of 12 pixels in a 640-pixel image is motion while it moves by a few pixels per frame."""
    pictures = crossing(textured, size=size, speed=4.0, contrast=80.0)
    active = active_frames(watch(pictures))
    assert len([i for i in active if i >= 25]) >= 40
    assert active[0] >= 20


def test_intensity_and_area_ratio_measure_contrast_and_size() -> None:
    """Both are fractions from 0 to 1 and grow with the contrast and the size of the object."""
    faint = watch(crossing(plain, size=40, contrast=40))[50]
    strong = watch(crossing(plain, size=120, contrast=120))[50]
    assert faint.intensity == pytest.approx(40 / 255, rel=0.25)
    assert strong.intensity == pytest.approx(120 / 255, rel=0.25)
    assert faint.area_ratio == pytest.approx(40 * 40 / (WIDTH * HEIGHT), rel=0.4)
    assert strong.area_ratio == pytest.approx(120 * 120 / (WIDTH * HEIGHT), rel=0.2)


def test_mask_covers_the_object_and_is_none_without_motion() -> None:
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


def test_motion_is_held_after_an_object_vanishes_but_not_after_it_leaves() -> None:
    """Motion is held for ``hold_s`` if an object vanishes inside the image; it ends at once if the object leaves it."""
    settings = MotionSettings(hold_s=0.4)
    empty = plain()
    inside = [empty] * 15 + [put(empty, x=100 + i * 9, y=100, width=60, height=60, level=200) for i in range(10)]
    motions = watch(inside + [empty] * 15, settings=settings)
    assert active_frames(motions)[-1] == 24 + 6
    assert not len(motions[27].regions)
    out = [empty] * 15 + [put(empty, x=WIDTH - 100 + i * 12, y=100, width=60, height=60, level=200) for i in range(9)]
    assert active_frames(watch(out + [empty] * 15, settings=settings))[-1] <= 23


def test_shadow_is_not_part_of_the_region() -> None:
    """The region covers a car on plain ground without the soft shadow beside it."""
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


def test_motion_is_reported_only_outside_ignored_areas() -> None:
    """Motion inside a polygon is not reported; the area ratio is a fraction of the watched area."""
    left_half = (Point(0, 0), Point(0.5, 0), Point(0.5, 1), Point(0, 1))
    settings = MotionSettings(ignore=(left_half,))
    motions = watch(crossing(plain, frames=90), settings=settings)
    active = active_frames(motions)
    assert active[0] >= 20 + WIDTH // 2 // 8
    assert motions[80].area_ratio == pytest.approx(2 * 60 * 60 / (WIDTH * HEIGHT), rel=0.4)


# Objects that stop, and objects that are present at the start


@every_scene
def test_stopped_object_becomes_background_and_leaves_no_ghost(scene: Scene) -> None:
    """A parked van is motion until the absorption time; when it drives off, only the van is motion, not its place."""
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


def test_ghost_of_an_object_in_the_first_frame_is_removed() -> None:
    """Where a car stood in the first frame, motion ends within a second after it leaves."""
    empty = furnished()
    pictures = [put(empty, x=120 + max(0, i - 20) * 12.0, y=150, width=90, height=70, level=235) for i in range(90)]
    motions = watch(pictures)
    assert active_frames(motions)[0] in (21, 22, 23)
    gone = 20 + (WIDTH - 120) // 12
    assert not [i for i in active_frames(motions) if i > gone + 8]
    assert all(len(motions[i].regions) == 1 for i in range(45, gone - 8))


def test_uniform_panel_that_hides_a_line_is_not_a_ghost() -> None:
    """A lorry is truncated by the lower edge of the image. Its trailer, slightly brighter than the road, hides a line
    for a second and stays in the mask; afterwards the line is not motion.
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


def test_motion_continues_during_a_jump_of_exposure() -> None:
    """The exposure changes when a van fills a part of the image; the episode is not interrupted and no other begins."""
    pictures = [p * (0.7 if i >= 40 else 1.0) for i, p in enumerate(crossing(furnished, size=100))]
    motions = watch(pictures)
    active = active_frames(motions)
    assert active == list(range(active[0], 70))
    assert all(len(motions[i].regions) <= 2 for i in range(30, 70))


# Calls


def run(detector: MotionDetector, pictures: list[Picture], *, start_s: float = 0.0) -> list[Motion]:
    camera = Camera()
    return [detector.update(camera.shoot(p), time_s=start_s + i / FPS) for i, p in enumerate(pictures)]


def test_same_frames_give_identical_motion() -> None:
    """Two detectors give bit-identical results."""
    first, second = run(AdaptiveBackground(), crossing(furnished)), run(AdaptiveBackground(), crossing(furnished))
    for one, other in zip(first, second, strict=True):
        assert (one.active, one.intensity, one.area_ratio) == (other.active, other.intensity, other.area_ratio)
        assert np.array_equal(one.regions, other.regions)


def test_row_padding_is_ignored_and_frames_are_copied() -> None:
    """A decoder's plane is a view of a reused buffer: neither its padding nor its reuse changes the result."""
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
def test_any_frame_size_is_accepted(shape: tuple[int, int]) -> None:
    """For large, upright, odd and tiny frames, boxes are in frame pixels and inside the frame."""
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
def test_edge_12_background_is_kept_when_the_frame_size_changes(scene: Scene, size: tuple[int, int]) -> None:
    """A change of resolution or aspect ratio is not motion; an object that enters later is motion at once."""
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
def test_edge_12_motion_continues_when_the_frame_size_changes(scene: Scene) -> None:
    """A person crosses while the resolution changes: motion continues, with regions in pixels of the new frame."""
    detector = AdaptiveBackground()
    pictures = crossing(scene)
    run(detector, pictures[:45])
    larger = [cv2.resize(p, (1280, 720), interpolation=cv2.INTER_LINEAR) for p in pictures[45:]]
    motions = run(detector, larger, start_s=45 / FPS)
    assert all(motion.active for motion in motions)
    x = 2 * ((55 - 19) * 8 - 60)
    assert overlap(motions[10].regions[0], (x, 300, x + 120, 420)) > 0.6


def test_reset_forgets_the_scene() -> None:
    """After a reset, a different view is not motion."""
    detector = AdaptiveBackground(settings=MotionSettings(lighting_jump_ratio=1.0))
    run(detector, [plain()] * 20)
    detector.reset()
    assert active_frames(run(detector, [furnished()] * 20, start_s=2.0)) == []


def test_constant_or_decreasing_times_are_tolerated() -> None:
    """Motion is still detected for a camera with broken timestamps."""
    detector = AdaptiveBackground()
    camera = Camera()
    times = [0.0, 0.0, 5.0, 4.0, 1e9, 3.0]
    motions = [
        detector.update(camera.shoot(picture), time_s=times[i % len(times)])
        for i, picture in enumerate(crossing(plain, frames=60))
    ]
    assert any(motion.active for motion in motions[25:])
    assert all(0.0 <= motion.intensity <= 1.0 and 0.0 <= motion.area_ratio <= 1.0 for motion in motions)
