"""The extractor: one picture in, one vector out; a bundle that does not fit is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from returnsd.bundle import Bundle
from returnsd.errors import BundleError
from returnsd.vision.extractor import FEATURE_VERSION, Extractor, finite, rounded
from tests.plain import PICTURES
from tests.shop import shop_picture

Parts = tuple[dict[str, NDArray[Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def parts(shop_work: Path) -> Parts:
    """The arrays and settings of a model of kind best."""
    bundle = Bundle.load(shop_work / "model")
    with np.load(bundle.directory / "features.npz") as stored:
        return dict(stored), dict(bundle.card["features"])


@pytest.fixture(scope="module")
def extractor(parts: Parts) -> Extractor:
    return Extractor(*parts)


@pytest.mark.parametrize("name", PICTURES)
def test_a_vector_is_finite_of_float16_values_named_and_the_same_again(name: str, extractor: Extractor) -> None:
    first, second = extractor(PICTURES[name]), extractor(PICTURES[name].copy())

    assert first.shape == (len(extractor.names),)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert (first == first.astype(np.float16)).all()
    assert first.tobytes() == second.tobytes()


def test_names_are_different_and_families_cover_them(extractor: Extractor) -> None:
    covered = [n for family in extractor.families.values() for n in range(family.start, family.stop)]

    assert len(set(extractor.names)) == len(extractor.names)
    assert covered == list(range(len(extractor.names)))


def test_blocks_cover_a_row(extractor: Extractor) -> None:
    row = extractor.row(PICTURES["ordinary"])

    assert row.shape == (extractor.width,)
    assert extractor.columns(list(extractor.blocks)).tolist() == list(range(extractor.width))


def test_a_blank_picture_has_empty_fisher_vectors_and_is_still_described(extractor: Extractor) -> None:
    row = extractor.row(PICTURES["white"])

    for block in ("gradients", "colours"):
        assert (row[extractor.columns([block])] == 0).all()
    assert np.isfinite(extractor.weigh(row)).all()


def test_many_rows_are_weighed_as_each_alone(extractor: Extractor) -> None:
    rows = np.stack([extractor.row(shop_picture("Mugs", seed)) for seed in range(5)])

    together = extractor.weigh(rows)

    alone = np.stack([extractor.weigh(row) for row in rows])
    np.testing.assert_allclose(together, alone, rtol=2e-3, atol=2e-3)  # one float16 step apart at most


def test_a_direction_has_length_one(extractor: Extractor, parts: Parts) -> None:
    near = [family for name, family in extractor.families.items() if name.startswith("near_")]

    vector = extractor(PICTURES["ordinary"])

    assert len(near) == len(parts[1]["near"])
    assert sum(family.stop - family.start for family in near) == extractor.directions
    assert np.linalg.norm(vector[-extractor.directions :]) == pytest.approx(1, abs=0.01)


def test_a_bundle_with_basic_features_alone_is_a_fast_one(tiny: Path) -> None:
    extractor = Extractor.load(tiny)

    assert list(extractor.blocks) == ["basic"]
    assert extractor.width == len(extractor.names)
    for picture in PICTURES.values():
        assert (extractor(picture) == rounded(extractor.row(picture))).all()


# --- what does not fit


def test_features_of_another_version_are_refused(parts: Parts) -> None:
    arrays, settings = parts

    with pytest.raises(BundleError, match=f"this returnsd makes {FEATURE_VERSION}: train it again"):
        Extractor(arrays, settings | {"version": FEATURE_VERSION + 1})


def test_a_map_that_does_not_fit_its_block_is_refused(parts: Parts) -> None:
    arrays, settings = parts
    swapped = {f"near_grids_{part}": arrays[f"near_basic_{part}"] for part in ("mean", "scale", "weights", "gains")}

    with pytest.raises(BundleError, match=r"map 'near_grids' does not fit grids"):
        Extractor(arrays | swapped, settings)


@pytest.mark.parametrize("part", ["mean", "scale", "gains"])
def test_a_map_whose_parts_differ_is_refused(part: str, parts: Parts) -> None:
    arrays, settings = parts
    short = {f"near_grids_{part}": arrays[f"near_grids_{part}"][:-1]}

    with pytest.raises(BundleError, match="'near_grids' is damaged"):
        Extractor(arrays | short, settings)


@pytest.mark.parametrize("size", [0, 5, 26])
def test_squares_that_do_not_fit_a_picture_are_refused(size: int, parts: Parts) -> None:
    arrays, settings = parts
    sizes = settings["sizes"] | {"colours": [4, size]}

    with pytest.raises(BundleError, match="squares of colours do not fit"):
        Extractor(arrays, settings | {"sizes": sizes})


@pytest.mark.parametrize("card", [None, "no json", "{}", '{"features": 3}', '{"features": {"version": 2}}'])
def test_a_directory_that_is_no_bundle_is_a_clear_error(card: str | None, tiny: Path, tmp_path: Path) -> None:
    if card is not None:
        (tmp_path / "card.json").write_text(card)
        (tmp_path / "features.npz").write_bytes((tiny / "features.npz").read_bytes())

    with pytest.raises(BundleError, match="its features cannot be read"):
        Extractor.load(tmp_path)


# --- numbers


def test_infinities_and_what_is_no_number_are_replaced() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 1e30, 1.5], np.float32)

    assert finite(values).tolist() == [0.0, 65000.0, -65000.0, 65000.0, 1.5]


def test_rounding_gives_the_nearest_float16() -> None:
    values = np.random.default_rng(1).normal(0, 100, 1000).astype(np.float32)

    found = rounded(values.copy())

    assert (found == values.astype(np.float16)).all()
