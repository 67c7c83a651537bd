"""The plate detector with a fake network for bright regions: coordinates, letterbox, second stage, second pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.anpr.detection.plate_detector import NetworkPlateDetector, PlateSearch, letterboxed_crop
from edge_agent.detect.runtimes.base import TensorSpec
from shared.errors import ConfigurationError
from tests.support.anpr.plate_scenes import BrightNetwork, picture_with


def whole(**more: float) -> BrightNetwork:
    return BrightNetwork(width=640, height=384, **more)


def near(**more: float) -> BrightNetwork:
    return BrightNetwork(width=256, height=160, **more)


def box_at(x: float, y: float, wide: float, tall: float) -> list[tuple[float, float]]:
    return [(x, y), (x + wide, y), (x + wide, y + tall), (x, y + tall)]


@pytest.mark.parametrize("size", [(1280, 720), (640, 384), (500, 900), (320, 200), (3000, 1000)])
def test_boxes_are_in_image_pixels(size: tuple[int, int]) -> None:
    """This holds for images of any size and aspect ratio."""
    width, height = size
    x, y, wide, tall = width * 0.3, height * 0.6, width * 0.2, width * 0.05
    found = NetworkPlateDetector(whole(), close=near()).find(
        picture_with(box_at(x, y, wide, tall), width=width, height=height)
    )
    assert len(found) == 1
    tolerance = max(1.5, width / 300)
    assert (found[0].left, found[0].top) == pytest.approx((x, y), abs=tolerance)
    assert (found[0].right, found[0].bottom) == pytest.approx((x + wide, y + tall), abs=tolerance)


def test_the_second_stage_refines_the_corners() -> None:
    """Corners are taken from the enlarged crop."""
    image = picture_with(box_at(1001, 601, 47, 11), width=1920, height=1080)
    exact = np.array(box_at(1001, 601, 47, 11))

    def error(detector: NetworkPlateDetector) -> float:
        corners = detector.find(image)[0].corners
        assert corners is not None
        return float(np.abs(corners - exact).max())

    assert error(NetworkPlateDetector(whole(), close=near())) < 0.7
    assert error(NetworkPlateDetector(whole())) > 0.9


def test_an_unconfirmed_candidate_is_dropped() -> None:
    """The second model does not detect it."""
    image = picture_with(box_at(300, 300, 100, 25), width=1280, height=720)
    assert NetworkPlateDetector(whole()).find(image)
    assert not NetworkPlateDetector(whole(), close=near(logit=-6.0)).find(image)


def test_the_score_is_the_geometric_mean_of_both_stages() -> None:
    """Both models contribute equally."""
    image = picture_with(box_at(300, 300, 100, 25), width=1280, height=720)
    found = NetworkPlateDetector(whole(logit=2.0), close=near(logit=1.0)).find(image)
    assert found[0].score == pytest.approx(np.sqrt(1 / (1 + np.exp(-2.0)) / (1 + np.exp(-1.0))), abs=1e-4)


def test_raising_the_threshold_drops_plates() -> None:
    """A threshold above the score leaves no plate."""
    image = picture_with(box_at(300, 300, 100, 25), width=1280, height=720)
    strict = PlateSearch(threshold=0.9)
    assert not NetworkPlateDetector(whole(logit=1.0), search=strict).find(image)
    assert NetworkPlateDetector(whole(logit=3.0), search=strict).find(image)


def test_a_candidate_that_cannot_reach_the_threshold_is_not_confirmed() -> None:
    """With a first score of 0.27 the final score is at most 0.52."""
    image = picture_with(box_at(300, 300, 100, 25), width=640, height=384)
    for threshold, inputs in ((0.5, 2), (0.6, 1)):
        close = near(min_px=60.0, logit=6.0)
        search = PlateSearch(threshold=threshold, candidate_threshold=0.1, search_again=False)
        found = NetworkPlateDetector(whole(logit=-1.0), close=close, search=search).find(image)
        assert len(close.inputs) == inputs
        assert len(found) == inputs - 1


def test_the_reduced_image_is_searched_only_without_a_confident_plate() -> None:
    """A first score of 0.88 is confident, one of 0.62 is not."""
    image = picture_with(box_at(300, 300, 100, 25), width=640, height=384)
    for logit, inputs in ((2.0, 1), (0.5, 2)):
        close = near(min_px=60.0, logit=6.0)
        assert NetworkPlateDetector(whole(logit=logit), close=close).find(image)
        assert len(close.inputs) == inputs


def test_distant_plates_are_detected_in_the_second_pass() -> None:
    """It searches enlarged parts of the image."""
    image = picture_with(box_at(1500, 900, 50, 12), width=1920, height=1080)
    blind = {"min_px": 22.0}
    assert NetworkPlateDetector(whole(**blind)).find(image)
    assert not NetworkPlateDetector(whole(**blind), search=PlateSearch(search_again=False)).find(image)


@pytest.mark.parametrize(("logit", "inputs"), [(0.5, 5), (2.0, 1)])
def test_the_second_pass_runs_without_a_confident_plate(logit: float, inputs: int) -> None:
    """A score of 0.62 is not confident, so the quarters are searched too; a score of 0.88 is."""
    network = whole(logit=logit)
    found = NetworkPlateDetector(network).find(picture_with(box_at(300, 300, 100, 25), width=1280, height=720))
    assert len(found) == 1
    assert len(network.inputs) == inputs + (logit < 1)  # without the small network, the reduced image is searched too


def test_a_plate_that_fills_the_image_is_detected_in_the_reduced_image() -> None:
    """It is too large for the network at full size."""
    image = picture_with(box_at(40, 100, 560, 140), width=640, height=360)
    for close in (None, near()):
        found = NetworkPlateDetector(whole(max_px=450.0), close=close).find(image)
        assert len(found) == 1
        assert found[0].right - found[0].left == pytest.approx(560, abs=5)


def test_the_small_network_searches_the_reduced_image() -> None:
    """Both networks search the whole image; then the large one searches four quarters."""
    networks = whole(), near()
    assert NetworkPlateDetector(networks[0], close=networks[1]).find(np.full((720, 1280, 3), 40, np.uint8)) == []
    assert len(networks[0].inputs) == 5
    assert len(networks[1].inputs) == 1


def test_small_images_are_not_searched_in_parts() -> None:
    """Parts of an image no larger than the input add no resolution."""
    networks = whole(), near()
    small = np.full((360, 640, 3), 40, np.uint8)
    assert NetworkPlateDetector(networks[0], close=networks[1]).find(small) == []
    assert [len(network.inputs) for network in networks] == [1, 1]


def test_a_plate_in_two_quarters_is_one_plate() -> None:
    """Duplicates from overlapping parts are merged."""
    image = picture_with(box_at(940, 530, 40, 20), width=1920, height=1080)
    assert len(NetworkPlateDetector(whole(min_px=20.0)).find(image)) == 1


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(20, 900), st.integers(20, 700)),
    start=st.tuples(st.floats(-300, 500), st.floats(-300, 400)),
    extent=st.tuples(st.floats(30, 900), st.floats(20, 800)),
)
def test_letterboxed_points_match_scale_and_origin(
    size: tuple[int, int], start: tuple[float, float], extent: tuple[float, float]
) -> None:
    """A square of the image inside the region is at (point - origin) * scale in the crop."""
    width, height = size
    region = start[0], start[1], start[0] + extent[0], start[1] + extent[1]
    visible = max(region[0], 0) + 12 < min(region[2], width), max(region[1], 0) + 12 < min(region[3], height)
    if not all(visible):
        return
    x = int((max(region[0], 0) + min(region[2], width)) / 2) - 4
    y = int((max(region[1], 0) + min(region[3], height)) / 2) - 4
    image = np.full((height, width, 3), 114, np.uint8)
    image[y : y + 8, x : x + 8] = 255
    luma, scale, origin = letterboxed_crop(image, region, width=256, height=160)
    assert luma.shape == (160, 256)
    bright = luma.astype(np.float64) - 114
    assert np.all(bright >= -1)
    if bright.max() < 60 or bright.sum() == 0:
        return
    rows, columns = np.mgrid[0:160, 0:256] + 0.5
    centre = np.array(((columns * bright).sum(), (rows * bright).sum())) / bright.sum()
    np.testing.assert_allclose(centre / scale + origin, (x + 4, y + 4), atol=0.6 / min(scale.min(), 1.0) + 0.3)


def test_a_float_model_gets_unscaled_luma() -> None:
    """The input values are 0..255."""
    seen: list[np.ndarray] = []

    class Plain(BrightNetwork):
        def run(self, picture: np.ndarray) -> tuple[np.ndarray, ...]:
            seen.append(picture)
            return super().run(picture.astype(np.int16) - 128)

    network = Plain(width=640, height=384)
    network.input = TensorSpec("luma", (1, 384, 640, 1), np.dtype(np.float32))
    assert NetworkPlateDetector(network).find(picture_with(box_at(100, 100, 100, 25), width=640, height=384))
    assert seen[0].dtype == np.float32
    assert seen[0].max() == 250


def test_the_input_quantisation_is_applied() -> None:
    """A model with a scale of 2 gets half the values."""
    seen: list[np.ndarray] = []

    class Half(BrightNetwork):
        def run(self, picture: np.ndarray) -> tuple[np.ndarray, ...]:
            seen.append(picture)
            return super().run(picture.astype(np.int16) * 2 - 128)

    network = Half(width=640, height=384)
    network.input = TensorSpec("luma", (1, 384, 640, 1), np.dtype(np.uint8), scale=2.0, zero_point=0)
    assert NetworkPlateDetector(network).find(picture_with(box_at(100, 100, 100, 25), width=640, height=384))
    assert seen[0].dtype == np.uint8
    assert seen[0].max() == 125


@pytest.mark.parametrize("shape", [(1, 384, 640, 3), (1, 380, 640, 1), (384, 640)])
def test_a_model_with_another_input_is_rejected(shape: tuple[int, ...]) -> None:
    """The error states the input of a plate detector."""
    network = whole()
    network.input = TensorSpec("luma", shape, np.dtype(np.int8), scale=1.0, zero_point=-128)
    with pytest.raises(ConfigurationError, match="plate detector's input"):
        NetworkPlateDetector(network)


def test_a_model_with_other_outputs_is_rejected() -> None:
    """The error states the expected shapes."""
    network = whole()
    network.outputs = network.outputs[:2]
    with pytest.raises(ConfigurationError, match="plate detector's outputs"):
        NetworkPlateDetector(network)


def test_close_releases_both_models() -> None:
    """Neither stays loaded."""
    networks = whole(), near()
    NetworkPlateDetector(networks[0], close=networks[1]).close()
    assert networks[0].closed
    assert networks[1].closed
