"""The basic features: named, finite whatever the picture, the same again, and about what they say."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from returnsd.errors import BundleError
from returnsd.vision import features
from returnsd.vision.features import SIDE, Basic, Image, Vector, Views, canvas
from tests.plain import BLANK, PICTURES

PALETTE = (np.arange(4096).reshape(16, 16, 16) // 512).astype(np.uint8)
BASIC = Basic(PALETTE, 8)


def basic(picture: Image) -> Vector:
    """Return the basic features of a picture."""
    views = Views.of(canvas(picture))
    return BASIC(views, BASIC.colour_of_pixel(views))


def seen(picture: NDArray[np.uint8]) -> dict[str, float]:
    return dict(zip(BASIC.names, basic(picture).tolist(), strict=True))


def coloured(colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a box of that colour (B, G, R) on white."""
    picture = np.full((100, 100, 3), 255, np.uint8)
    picture[30:70, 20:60] = colour
    return picture


# --- the canvas


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_fits_the_canvas(name: str) -> None:
    assert canvas(PICTURES[name]).shape == (SIDE, SIDE, 3)
    assert canvas(PICTURES[name]).dtype == np.uint8


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_picture_lies_whole_and_centred_on_white_and_keeps_its_shape(height: int, width: int) -> None:
    found = canvas(np.zeros((height, width, 3), np.uint8))

    dark = found[:, :, 0] == 0
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    scale = min(1.0, SIDE / max(height, width))
    assert len(rows) == max(1, round(height * scale))
    assert len(columns) == max(1, round(width * scale))
    assert abs(rows[0] - (SIDE - 1 - rows[-1])) <= 1
    assert abs(columns[0] - (SIDE - 1 - columns[-1])) <= 1
    assert dark.sum() == len(rows) * len(columns)
    assert (found[~dark] == 255).all()


def test_a_picture_of_the_right_size_is_left_as_it_is() -> None:
    assert canvas(PICTURES["noise"]) is PICTURES["noise"]


# --- the vector


@pytest.mark.parametrize("name", PICTURES)
def test_features_are_finite_named_and_the_same_again(name: str) -> None:
    first, second = (basic(PICTURES[name]) for _ in range(2))

    assert first.shape == (len(BASIC.names),)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert np.abs(first).max() <= 100
    assert first.tobytes() == second.tobytes()


def test_names_are_different_and_families_cover_them() -> None:
    covered = [number for family in BASIC.families.values() for number in range(family.start, family.stop)]

    assert len(set(BASIC.names)) == len(BASIC.names)
    assert covered == list(range(len(BASIC.names)))
    for family, place in BASIC.families.items():
        assert all(name.startswith(f"{family}_") for name in BASIC.names[place])


@pytest.mark.parametrize("name", BLANK)
def test_a_blank_picture_has_no_edges(name: str) -> None:
    found = seen(PICTURES[name])

    inside = [value for feature, value in found.items() if feature.startswith(("edges", "directions"))]
    assert max(inside) == 0


def test_an_all_white_picture_has_no_foreground() -> None:
    found = seen(PICTURES["white"])

    assert found["shape_0"] == 0  # its area
    assert all(found[f"palette_{number}"] == 0 for number in range(8))


def test_the_palette_tells_colours_apart() -> None:
    blue, red = seen(coloured((250, 10, 10))), seen(coloured((10, 10, 250)))

    assert blue["palette_7"] > 0.99
    assert red["palette_0"] > 0.99


def test_shares_are_square_roots_that_sum_to_one_when_squared() -> None:
    found = seen(PICTURES["ordinary"])

    for family, size in (("palette", 8), ("hue", 12), ("saturation", 8), ("value", 8)):
        assert sum(found[f"{family}_{number}"] ** 2 for number in range(size)) == pytest.approx(1, abs=1e-5)


def test_the_shape_of_a_box_is_its_box() -> None:
    found = seen(coloured((0, 0, 0)))

    area, width, height, aspect, x, y, left, top = (found[f"shape_{number}"] for number in range(8))
    assert (area, width, height, aspect) == pytest.approx((0.16, 0.4, 0.4, 1.0))
    assert (x, y, left, top) == pytest.approx((0.395, 0.495, 0.2, 0.3))


def test_a_circle_is_rounder_than_a_star() -> None:
    round_one, star = np.full((100, 100, 3), 255, np.uint8), np.full((100, 100, 3), 255, np.uint8)
    cv2.circle(round_one, (50, 50), 30, (0, 0, 0), -1)
    for angle in range(0, 180, 45):
        turn = np.deg2rad(angle)
        ends = [(round(50 + sign * 35 * np.cos(turn)), round(50 + sign * 35 * np.sin(turn))) for sign in (-1, 1)]
        cv2.line(star, ends[0], ends[1], (0, 0, 0), 6)

    _, _, circularity, solidity, _ = features.outline(Views.of(round_one).mask)
    _, _, star_circularity, star_solidity, _ = features.outline(Views.of(star).mask)

    assert circularity > 0.85 > 0.5 > star_circularity
    assert solidity > 0.95 > star_solidity


def test_parts_are_counted() -> None:
    picture = np.full((100, 100, 3), 255, np.uint8)
    for x in (10, 40, 70):
        picture[40:60, x : x + 15] = 0

    assert features.outline(Views.of(picture).mask)[4] == pytest.approx(0.3)


def test_patterns_and_directions_are_shares() -> None:
    views = Views.of(PICTURES["ordinary"])

    assert features.local_binary_patterns(views.grey).sum() == pytest.approx(1)
    assert features.directions(views).sum() == pytest.approx(1)


def test_vertical_stripes_point_sideways() -> None:
    picture = np.full((100, 100, 3), 255, np.uint8)
    picture[:, ::10] = 0

    found = features.directions(Views.of(picture))

    assert found[[0, 5, 6, 11]].sum() > 0.95


def test_a_mirrored_picture_is_as_symmetric_as_itself() -> None:
    half = PICTURES["noise"][:, :50]

    symmetric = features.whole(Views.of(np.ascontiguousarray(np.hstack([half, half[:, ::-1]]))))

    assert symmetric[9] == 0
    assert features.whole(Views.of(PICTURES["noise"]))[9] > 0.1


@pytest.mark.parametrize(
    ("palette", "colours"),
    [(np.zeros((16, 16, 15), np.uint8), 8), (np.full((16, 16, 16), 8, np.uint8), 8)],
)
def test_a_damaged_palette_is_refused(palette: NDArray[np.uint8], colours: int) -> None:
    with pytest.raises(BundleError, match="palette is damaged"):
        Basic(palette, colours)
