"""Coarse grids: what is where, finite whatever the picture."""

import numpy as np
import pytest
from numpy.typing import NDArray

from returnsd.vision.features import Views, canvas
from returnsd.vision.grids import grids
from tests.plain import PICTURES

COLOURS = 8
# oriented gradients in 6x6, 3x3 and 12x12 cells, colours in 3x3 regions, a small picture and its foreground
PARTS = {"fine": 36 * 8, "coarse": 9 * 8, "finest": 144 * 4, "colours": 9 * COLOURS, "small": 432, "mask": 144}


def seen(picture: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Return each part of a picture's grids."""
    views = Views.of(canvas(picture))
    vector = grids(views, (views.grey // 32).astype(np.uint8), COLOURS)
    return dict(zip(PARTS, np.split(vector, np.cumsum(list(PARTS.values()))[:-1]), strict=True))


@pytest.mark.parametrize("name", PICTURES)
def test_they_are_finite_of_one_length_and_the_same_again(name: str) -> None:
    first, second = (np.concatenate(list(seen(PICTURES[name]).values())) for _ in range(2))

    assert len(first) == sum(PARTS.values())
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert first.min() >= 0
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("name", ["white", "black", "grey"])
def test_a_blank_picture_has_no_gradients(name: str) -> None:
    found = seen(PICTURES[name])

    assert all(found[part].max() == 0 for part in ("fine", "coarse", "finest"))


def test_gradients_are_found_where_they_are() -> None:
    picture = np.full((100, 100, 3), 255, np.uint8)
    picture[5:28, 70:95] = PICTURES["noise"][:23, :25]

    cells = seen(picture)["coarse"].reshape(3, 3, 8).sum(axis=2)

    assert cells.argmax() == 2
    assert cells[2].max() == 0


def test_colours_are_counted_by_region() -> None:
    picture = np.full((100, 100, 3), 255, np.uint8)
    picture[67:, :33] = 0

    regions = seen(picture)["colours"].reshape(9, COLOURS)

    assert regions[6, 0] == pytest.approx(1, abs=0.1)
    assert regions[[0, 1, 2, 3, 4, 5, 7, 8], 0].max() < 0.2
    assert regions[0, 7] == pytest.approx(1, abs=0.05)


def test_the_small_pictures_show_picture_and_foreground() -> None:
    picture = np.full((100, 100, 3), 255, np.uint8)
    picture[50:] = 0

    found = seen(picture)

    lightness = found["small"].reshape(12, 12, 3)[:, :, 0]
    mask = found["mask"].reshape(12, 12)
    assert (lightness[:5] > 0.95).all()
    assert (lightness[7:] < 0.05).all()
    assert (mask[:5] == 0).all()
    assert (mask[7:] == 1).all()
