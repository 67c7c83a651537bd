"""The plate detector over a network that sees bright regions: places, letterbox, closer looks, second searches."""

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
def test_places_are_in_pixels_of_the_picture(size: tuple[int, int]) -> None:
    """Whatever the picture's size and shape, the box is where the plate is."""
    width, height = size
    x, y, wide, tall = width * 0.3, height * 0.6, width * 0.2, width * 0.05
    found = NetworkPlateDetector(whole(), close=near()).find(
        picture_with(box_at(x, y, wide, tall), width=width, height=height)
    )
    assert len(found) == 1
    tolerance = max(1.5, width / 300)
    assert (found[0].left, found[0].top) == pytest.approx((x, y), abs=tolerance)
    assert (found[0].right, found[0].bottom) == pytest.approx((x + wide, y + tall), abs=tolerance)


def test_the_closer_look_is_more_exact() -> None:
    """Corners come from the enlarged view where there is one."""
    image = picture_with(box_at(1001, 601, 47, 11), width=1920, height=1080)
    exact = np.array(box_at(1001, 601, 47, 11))

    def error(detector: NetworkPlateDetector) -> float:
        corners = detector.find(image)[0].corners
        assert corners is not None
        return float(np.abs(corners - exact).max())

    assert error(NetworkPlateDetector(whole(), close=near())) < 0.7
    assert error(NetworkPlateDetector(whole())) > 0.9


def test_what_does_not_stand_a_closer_look_is_no_plate() -> None:
    """A candidate that the close network does not see is dropped, wherever it is looked for."""
    image = picture_with(box_at(300, 300, 100, 25), width=1280, height=720)
    assert NetworkPlateDetector(whole()).find(image)
    assert not NetworkPlateDetector(whole(), close=near(logit=-6.0)).find(image)


def test_both_looks_count_in_the_score() -> None:
    """The score is the geometric mean of the two looks'."""
    image = picture_with(box_at(300, 300, 100, 25), width=1280, height=720)
    found = NetworkPlateDetector(whole(logit=2.0), close=near(logit=1.0)).find(image)
    assert found[0].score == pytest.approx(np.sqrt(1 / (1 + np.exp(-2.0)) / (1 + np.exp(-1.0))), abs=1e-4)


def test_threshold_drops_doubtful_plates() -> None:
    """Raising the threshold above the score leaves nothing."""
    image = picture_with(box_at(300, 300, 100, 25), width=1280, height=720)
    strict = PlateSearch(threshold=0.9)
    assert not NetworkPlateDetector(whole(logit=1.0), search=strict).find(image)
    assert NetworkPlateDetector(whole(logit=3.0), search=strict).find(image)


def test_a_candidate_that_cannot_reach_the_threshold_costs_no_closer_look() -> None:
    """With a first score of 0.27 the best closer look gives 0.52: worth it for 0.5, in vain for 0.6."""
    image = picture_with(box_at(300, 300, 100, 25), width=640, height=384)
    for threshold, inputs in ((0.5, 2), (0.6, 1)):
        close = near(least_px=60.0, logit=6.0)
        search = PlateSearch(threshold=threshold, candidate_threshold=0.1, search_again=False)
        found = NetworkPlateDetector(whole(logit=-1.0), close=close, search=search).find(image)
        assert len(close.inputs) == inputs
        assert len(found) == inputs - 1


def test_the_picture_is_looked_at_from_afar_only_where_the_first_look_is_not_sure() -> None:
    """A first score of 0.88 needs a closer look at the plate alone, one of 0.62 the view from afar too."""
    image = picture_with(box_at(300, 300, 100, 25), width=640, height=384)
    for logit, inputs in ((2.0, 1), (0.5, 2)):
        close = near(least_px=60.0, logit=6.0)
        assert NetworkPlateDetector(whole(logit=logit), close=close).find(image)
        assert len(close.inputs) == inputs


def test_far_plates_are_found_in_a_second_search() -> None:
    """What is too small in the shrunken whole is found in an enlarged quarter, and only if asked for."""
    image = picture_with(box_at(1500, 900, 50, 12), width=1920, height=1080)
    blind = {"least_px": 22.0}
    assert NetworkPlateDetector(whole(**blind)).find(image)
    assert not NetworkPlateDetector(whole(**blind), search=PlateSearch(search_again=False)).find(image)


@pytest.mark.parametrize(("logit", "inputs"), [(0.5, 5), (2.0, 1)])
def test_the_second_search_adds_to_what_is_not_sure(logit: float, inputs: int) -> None:
    """A score of 0.62 may be a sign beside the plate: its quarters are searched too. One of 0.88 will do."""
    network = whole(logit=logit)
    found = NetworkPlateDetector(network).find(picture_with(box_at(300, 300, 100, 25), width=1280, height=720))
    assert len(found) == 1
    assert len(network.inputs) == inputs + (logit < 1)  # without the small network the view from afar is another


def test_a_plate_that_fills_the_picture_is_found_from_farther_away() -> None:
    """Too large for the network at first, it is found when the picture is shrunk."""
    image = picture_with(box_at(40, 100, 560, 140), width=640, height=360)
    for close in (None, near()):
        found = NetworkPlateDetector(whole(most_px=450.0), close=close).find(image)
        assert len(found) == 1
        assert found[0].right - found[0].left == pytest.approx(560, abs=5)


def test_the_view_from_afar_is_the_small_networks_work() -> None:
    """With both networks: the whole with each, then four quarters with the large one."""
    networks = whole(), near()
    assert NetworkPlateDetector(networks[0], close=networks[1]).find(np.full((720, 1280, 3), 40, np.uint8)) == []
    assert len(networks[0].inputs) == 5
    assert len(networks[1].inputs) == 1


def test_pictures_no_larger_than_the_input_are_not_cut_up() -> None:
    """An enlarged quarter would show nothing new: each network looks at the whole, and that is all."""
    networks = whole(), near()
    small = np.full((360, 640, 3), 40, np.uint8)
    assert NetworkPlateDetector(networks[0], close=networks[1]).find(small) == []
    assert [len(network.inputs) for network in networks] == [1, 1]


def test_a_plate_in_two_quarters_is_one_plate() -> None:
    """The quarters overlap, so a plate in the middle is seen up to four times."""
    image = picture_with(box_at(940, 530, 40, 20), width=1920, height=1080)
    assert len(NetworkPlateDetector(whole(least_px=20.0)).find(image)) == 1


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(20, 900), st.integers(20, 700)),
    start=st.tuples(st.floats(-300, 500), st.floats(-300, 400)),
    extent=st.tuples(st.floats(30, 900), st.floats(20, 800)),
)
def test_shown_points_are_where_the_scale_and_origin_say(
    size: tuple[int, int], start: tuple[float, float], extent: tuple[float, float]
) -> None:
    """A square of the picture that is inside the region is at (point - origin) * scale in what is shown."""
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


def test_a_float_network_is_given_plain_luma() -> None:
    """What is not quantised gets 0..255 as it is."""
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


def test_another_quantisation_is_kept_to() -> None:
    """A model that stores luma at half scale is given half the values."""
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
def test_another_kind_of_model_is_refused(shape: tuple[int, ...]) -> None:
    """The error says what a plate detector's input is."""
    network = whole()
    network.input = TensorSpec("luma", shape, np.dtype(np.int8), scale=1.0, zero_point=-128)
    with pytest.raises(ConfigurationError, match="plate detector's input"):
        NetworkPlateDetector(network)


def test_outputs_of_another_shape_are_refused() -> None:
    """A detector of something else has other outputs."""
    network = whole()
    network.outputs = network.outputs[:2]
    with pytest.raises(ConfigurationError, match="plate detector's outputs"):
        NetworkPlateDetector(network)


def test_closing_releases_both_networks() -> None:
    """Nothing stays loaded."""
    networks = whole(), near()
    NetworkPlateDetector(networks[0], close=networks[1]).close()
    assert networks[0].closed
    assert networks[1].closed
