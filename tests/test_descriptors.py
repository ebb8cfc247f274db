"""Local descriptors: squares that show something, each a share of what it shows, and where it lies."""

import numpy as np
import pytest
from numpy.typing import NDArray

from returnsd.vision import descriptors
from returnsd.vision.descriptors import STEP
from returnsd.vision.features import DIRECTIONS, SIDE, Views, canvas
from tests.plain import BLANK, PICTURES

KINDS = {"gradients": (descriptors.gradients, (4, 6, 8), 128), "colours": (descriptors.colours, (4, 8), 96)}


def views(name: str) -> Views:
    return Views.of(canvas(PICTURES[name]))


def described(kind: str, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    describe, sizes, _ = KINDS[kind]
    return describe(views(name), sizes)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("kind", KINDS)
def test_they_are_finite_of_one_form_and_the_same_again(kind: str, name: str) -> None:
    squares, places = described(kind, name)
    again, again_places = described(kind, name)

    assert squares.shape == (len(places), KINDS[kind][2])
    assert places.shape[1:] == (5,)
    assert squares.dtype == places.dtype == np.float32
    assert np.isfinite(squares).all()
    assert np.isfinite(places).all()
    assert squares.tobytes() == again.tobytes()
    assert places.tobytes() == again_places.tobytes()


@pytest.mark.parametrize("name", BLANK)
@pytest.mark.parametrize("kind", KINDS)
def test_a_blank_picture_gives_no_squares(kind: str, name: str) -> None:
    squares, places = described(kind, name)

    assert len(squares) == len(places) == 0


def test_noise_fills_the_grid_at_every_size() -> None:
    squares, places = described("gradients", "noise")

    expected = sum(((SIDE - 4 * size) // STEP + 1) ** 2 for size in (4, 6, 8))
    assert len(squares) == expected
    assert np.abs(places[:, :2]).max() <= 0.5
    assert places[:, 2:].min() >= 0
    assert places[:, 2:].max() <= 1


def test_a_gradient_descriptor_holds_square_roots_of_shares() -> None:
    squares, _ = described("gradients", "ordinary")

    np.testing.assert_allclose((squares**2).sum(axis=1), 1, rtol=1e-4)
    assert squares.min() >= 0


def test_squares_lie_where_there_is_something() -> None:
    picture = np.full((100, 100, 3), 255, np.uint8)
    picture[10:30, 10:30] = PICTURES["noise"][:20, :20]

    _, places = descriptors.gradients(Views.of(picture), (4,))

    assert len(places)
    assert places[:, :2].max() < 0


def test_the_mean_colour_of_a_place_is_that_of_its_square() -> None:
    _, places = descriptors.gradients(views("noise"), (4,))

    lab = views("noise").lab[:16, :16].astype(np.float64).mean(axis=(0, 1)) / 255
    np.testing.assert_allclose(places[0, 2:], lab, atol=2e-2)


def test_maps_share_every_pixels_magnitude_between_two_directions() -> None:
    seen = views("ordinary")

    maps = seen.maps

    assert maps.shape == (SIDE, SIDE, DIRECTIONS)
    np.testing.assert_allclose(maps.sum(axis=2), seen.magnitude, rtol=1e-4, atol=1e-2)
    assert int((maps > 0).sum(axis=2).max()) <= 2


def test_a_brighter_picture_has_the_same_gradients() -> None:
    dark = (PICTURES["noise"] // 2).astype(np.uint8)

    squares, _ = descriptors.gradients(Views.of(dark), (8,))
    brighter, _ = descriptors.gradients(Views.of(dark + np.uint8(60)), (8,))

    np.testing.assert_allclose(squares, brighter, atol=0.03)


@pytest.mark.parametrize("size", [2, 4, 6, 8, 24])
def test_a_cells_sum_is_that_of_its_pixels(size: int) -> None:
    maps = np.random.default_rng(1).random((SIDE, SIDE, 3)).astype(np.float32)

    sums = descriptors._sums(descriptors._halved(maps), size)

    assert sums.shape == ((SIDE - size) // 2 + 1, (SIDE - size) // 2 + 1, 3)
    for place in (0, 3, len(sums) - 1):
        pixels = maps[2 * place : 2 * place + size, 4 : 4 + size]
        np.testing.assert_allclose(sums[place, 2], pixels.sum(axis=(0, 1)), rtol=1e-4)


def test_cells_are_of_even_sizes_that_fit_the_picture() -> None:
    assert [size for size in range(-2, 40) if descriptors.fits(size)] == list(range(2, 26, 2))
