"""Export: a bundle is written whole or not at all, and says what scikit-learn's forest says."""

import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from returnsd.bundle import CARD, Bundle
from returnsd.errors import BundleError
from returnsd.vision.decode import DecodeLimits, decode
from returnsd.vision.extractor import Extractor
from tests.tiny import tiny_bundle
from training import export

Parts = dict[str, Any]


@pytest.fixture
def parts(tiny: Path) -> Parts:
    """What write_bundle wants, of the tiny bundle."""
    loaded = Bundle.load(tiny)
    with np.load(tiny / "forest.npz") as forest, np.load(tiny / "features.npz") as features:
        return {
            "card": {key: value for key, value in loaded.card.items() if key not in ("files", "format")},
            "forest": dict(forest),
            "features": dict(features),
            "memory": None,
            "probabilities": loaded.calibration.probabilities,
            "truth": loaded.calibration.truth,
        }


def test_the_same_parts_give_the_same_bytes(parts: Parts, tmp_path: Path) -> None:
    for name in "ab":
        export.write_bundle(tmp_path / name, **parts)

    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_an_older_bundle_is_replaced_and_nothing_else_is_left(parts: Parts, tmp_path: Path) -> None:
    export.write_bundle(tmp_path / "model", **parts)
    parts["card"]["version"] = "2.0"

    bundle = export.write_bundle(tmp_path / "model", **parts)

    assert bundle.id.startswith("tiny-2.0+")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_parts_that_make_no_bundle_leave_the_older_one(parts: Parts, tmp_path: Path) -> None:
    before = export.write_bundle(tmp_path / "model", **parts)
    parts["probabilities"] = parts["probabilities"][:, :2]

    with pytest.raises(BundleError, match="does not fit the card"):
        export.write_bundle(tmp_path / "model", **parts)

    assert Bundle.load(tmp_path / "model").id == before.id


def test_a_full_disk_leaves_the_older_bundle(parts: Parts, tmp_path: Path) -> None:
    before = export.write_bundle(tmp_path / "model", **parts)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            export.write_bundle(tmp_path / "model", **parts)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert Bundle.load(tmp_path / "model").id == before.id


def test_what_an_interrupted_export_left_does_no_harm(parts: Parts, tmp_path: Path) -> None:
    for leftover in (".model.draft", ".model.older"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / CARD).write_text("half")

    export.write_bundle(tmp_path / "model", **parts)

    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_card_names_the_hash_of_every_file(parts: Parts, tmp_path: Path) -> None:
    bundle = export.write_bundle(tmp_path / "model", **parts)

    card = json.loads((bundle.directory / CARD).read_text())
    assert set(card["files"]) == {path.name for path in bundle.directory.iterdir()} - {CARD}


def test_a_validation_pilot_is_kept_beside_the_calibration(parts: Parts, tmp_path: Path) -> None:
    pilot = parts["probabilities"][:20], parts["truth"][:20]

    bundle = export.write_bundle(tmp_path / "model", **parts, pilot=pilot)

    np.testing.assert_allclose(bundle.pilot.probabilities, pilot[0], atol=1e-7)
    assert (bundle.pilot.truth == pilot[1]).all()


def test_the_known_picture_can_be_seen_and_has_texture() -> None:
    picture = decode(export.known_picture(), DecodeLimits())

    assert picture.shape == (100, 100, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


def test_a_bundle_says_of_its_known_picture_what_the_card_says(tmp_path: Path) -> None:
    directory = tiny_bundle(tmp_path)

    bundle = Bundle.load(directory)

    bundle.check_known(Extractor.load(directory)(decode(bundle.known_picture, DecodeLimits())))


@pytest.mark.parametrize(("classes", "kind"), [(200, np.uint8), (300, np.uint16)])
def test_many_categories_find_room(classes: int, kind: type) -> None:
    rows = np.random.default_rng(1).normal(0, 1, (2 * classes, 3)).astype(np.float16).astype(np.float32)
    model = RandomForestClassifier(2, random_state=1).fit(rows, np.arange(2 * classes) % classes)

    arrays = export.forest_arrays(model)

    assert arrays["leaf_class"].dtype == kind
    assert int(arrays["leaf_class"].max()) >= classes - 50
