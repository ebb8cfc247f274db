"""The bundle: a directory that is whole, plain and fits itself, or is refused with the file's name."""

import hashlib
import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from returnsd.bundle import CARD, FILES, FORMAT, KNOWN_TOLERANCE, Bundle, calibrated, find_bundle, list_bundles
from returnsd.errors import BundleError
from returnsd.vision.decode import DecodeLimits, decode
from returnsd.vision.extractor import Extractor
from tests.tiny import CATEGORIES, tiny_jpeg

Arrays = dict[str, NDArray[Any]]


@pytest.fixture
def directory(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle, to be damaged."""
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def card_of(directory: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((directory / CARD).read_bytes())
    return card


def rewrite(directory: Path, name: str, data: bytes) -> None:
    """Put other bytes into a file and their SHA-256 into the card: made wrong, not damaged on the way."""
    (directory / name).write_bytes(data)
    card = card_of(directory)
    card["files"][name] = hashlib.sha256(data).hexdigest()
    (directory / CARD).write_text(json.dumps(card))


def npz(arrays: Arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def arrays_of(directory: Path, name: str) -> Arrays:
    with np.load(directory / name) as stored:
        return {key: stored[key] for key in stored.files}


# --- a whole one


def test_a_whole_bundle_tells_what_it_is_and_what_it_knows(tiny: Path) -> None:
    bundle = Bundle.load(tiny)

    digest = hashlib.sha256((tiny / CARD).read_bytes()).hexdigest()
    assert bundle.id == f"tiny-1.0+{digest[:8]}"
    assert bundle.categories == CATEGORIES
    assert bundle.directory == tiny
    assert bundle.known_picture == (tiny / "known.png").read_bytes()


def test_its_calibration_is_told_by_confidence_rightness_and_the_truth(tiny: Path) -> None:
    bundle = Bundle.load(tiny)

    found = bundle.calibration

    count = len(found.truth)
    assert count == 3 * 80
    assert (found.confidence == found.probabilities.max(axis=1)).all()
    assert (found.correct == (found.probabilities.argmax(axis=1) == found.truth)).all()
    assert (found.true_probability == found.probabilities[range(count), found.truth]).all()


def test_its_probabilities_are_calibrated_and_sum_to_one(tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    extractor = Extractor.load(tiny)
    rows = np.stack([extractor(decode(tiny_jpeg(name, 5), DecodeLimits())) for name in CATEGORIES])

    found = bundle.predict_proba(rows)

    assert found.sum(axis=1) == pytest.approx(1.0)
    assert CATEGORIES[found[2].argmax()] == "stripes"
    assert (found == calibrated(bundle.forest.predict_proba(rows), bundle.card["calibration"])).all()


def test_it_is_told_when_this_machine_sees_the_known_picture_otherwise(tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    extractor = Extractor.load(tiny)
    seen = extractor(decode(bundle.known_picture, DecodeLimits()))
    other = next(
        row
        for seed in range(50)
        if abs(
            bundle.predict_proba((row := extractor(decode(tiny_jpeg("stripes", seed), DecodeLimits())))[np.newaxis])
            - bundle.known_probabilities
        ).max() > KNOWN_TOLERANCE
    )  # fmt: skip

    bundle.check_known(seen)
    with pytest.raises(BundleError, match="sees the known picture differently"):
        bundle.check_known(other)


# --- calibration


PROBABILITIES = st.lists(st.floats(0, 1), min_size=2, max_size=8).filter(lambda row: sum(row) > 0.01)


@given(PROBABILITIES, st.floats(0.3, 3), st.sampled_from([0.0, 0.001, 0.01]))
def test_a_temperature_keeps_the_order_and_the_sum(row: list[float], temperature: float, smoothing: float) -> None:
    before = np.array([row]) / sum(row)

    after = calibrated(before, {"temperature": temperature, "smoothing": smoothing})

    assert after.sum() == pytest.approx(1.0)
    assert (np.diff(after[0][np.argsort(before[0])]) >= 0).all()


def test_a_temperature_of_one_changes_nothing_and_a_lower_one_is_surer() -> None:
    before = np.array([[0.6, 0.3, 0.1]])

    same = calibrated(before, {"temperature": 1.0, "smoothing": 0.0})
    surer = calibrated(before, {"temperature": 0.5, "smoothing": 0.0})

    np.testing.assert_allclose(same, before)
    np.testing.assert_allclose(surer, np.array([[0.36, 0.09, 0.01]]) / 0.46)


# --- damage


@pytest.mark.parametrize("place", [0, 0.5, 1], ids=["first byte", "middle byte", "last byte"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_differs_in_one_byte_is_refused_by_name(name: str, place: float, directory: Path) -> None:
    path = directory / name
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    path.write_bytes(data)

    with pytest.raises(BundleError, match=rf"copy/{name} is damaged .*: get the bundle again"):
        Bundle.load(directory)


@pytest.mark.parametrize("name", [CARD, *FILES])
def test_a_file_that_is_missing_is_named(name: str, directory: Path) -> None:
    (directory / name).unlink()

    with pytest.raises(BundleError, match=rf"copy/{name} cannot be read \(No such file"):
        Bundle.load(directory)


@pytest.mark.parametrize("name", [CARD, *FILES])
def test_a_file_cut_off_is_refused_by_name(name: str, directory: Path) -> None:
    os.truncate(directory / name, (directory / name).stat().st_size // 2)

    with pytest.raises(BundleError, match=f"copy/{name} is"):
        Bundle.load(directory)


def test_a_file_of_absurd_size_is_not_even_read(directory: Path) -> None:
    os.truncate(directory / "forest.npz", 1 << 40)

    with pytest.raises(BundleError, match=r"forest\.npz is too large"):
        Bundle.load(directory)


def test_a_card_that_differs_in_one_byte_is_refused_or_is_another_bundle(directory: Path) -> None:
    whole = (directory / CARD).read_bytes()
    before = Bundle.load(directory)

    for place in range(0, len(whole), 11):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 7
        (directory / CARD).write_bytes(damaged)
        try:
            found = Bundle.load(directory)
        except BundleError as error:
            assert str(directory) in str(error)
        else:
            assert found.id != before.id


# --- made wrong


def test_a_card_of_another_format_names_both(directory: Path) -> None:
    card = card_of(directory)
    (directory / CARD).write_text(json.dumps({**card, "format": FORMAT + 1}))

    with pytest.raises(BundleError, match=f"format {FORMAT + 1}, this returnsd reads {FORMAT}: use the returnsd"):
        Bundle.load(directory)


@pytest.mark.parametrize("key", ["name", "version", "categories", "features", "calibration", "files"])
def test_what_a_card_lacks_is_named(key: str, directory: Path) -> None:
    card = card_of(directory)
    del card[key]
    (directory / CARD).write_text(json.dumps(card))

    with pytest.raises(BundleError, match=rf"card\.json lacks {key}"):
        Bundle.load(directory)


@pytest.mark.parametrize(
    "data", [b"", b"no JSON", b"[]", b"null", b"{}", b"[" * 100_000, b'{"format": 1', b'{"format": "\xff"}']
)
def test_what_is_no_card_is_refused(data: bytes, directory: Path) -> None:
    (directory / CARD).write_bytes(data)

    with pytest.raises(BundleError, match=r"card\.json is no card of a bundle"):
        Bundle.load(directory)


@pytest.mark.parametrize(
    "categories",
    [[], ["a", "a", "b"], ["a", "b", 3], "abc", None, ["a", "b", ""], ["a", "b", ".."], ["a", "b", "c" * 256],
     ["a", "b", "c\0"], ["a", "b", "\ud800"], ["a", ["b"], "c"]],
)  # fmt: skip
def test_categories_must_be_different_names_that_folders_can_bear(categories: object, directory: Path) -> None:
    card = card_of(directory)
    (directory / CARD).write_text(json.dumps({**card, "categories": categories}))

    with pytest.raises(BundleError, match=r"card\.json: categories must be different names"):
        Bundle.load(directory)


@pytest.mark.parametrize(
    "calibration",
    [
        {},
        {"temperature": 0.8},
        {"temperature": 0, "smoothing": 0.001},
        {"temperature": "hot", "smoothing": 0.001},
        {"temperature": 0.8, "smoothing": float("nan")},
        {"temperature": -1, "smoothing": 0},
        {"temperature": 0.8, "smoothing": [1, 2]},
    ],
)
def test_a_calibration_that_makes_no_probabilities_is_refused(calibration: object, directory: Path) -> None:
    card = card_of(directory)
    (directory / CARD).write_text(json.dumps({**card, "calibration": calibration}))

    with pytest.raises(BundleError, match=r"card\.json: calibration"):
        Bundle.load(directory)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_card_says_it_is_refused_or_can_be_asked(
    directory: Path, tiny: Path, data: st.DataObject
) -> None:
    card = card_of(tiny)
    place = card
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(JSON)
    (directory / CARD).write_text(json.dumps(card))

    try:
        bundle = Bundle.load(directory)
    except BundleError as error:
        assert str(directory) in str(error)
    else:
        found = bundle.predict_proba(np.zeros((1, bundle.forest.features), np.float32))
        assert found.sum() == pytest.approx(1.0)


def test_arrays_of_objects_are_never_unpickled(directory: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    file = io.BytesIO()
    np.savez(file, probabilities=np.array([Trap()], dtype=object))
    for data in (file.getvalue(), pickle.dumps(Trap())):
        rewrite(directory, "known.npz", data)

        with pytest.raises(BundleError, match=r"known\.npz holds no plain arrays"):
            Bundle.load(directory)

    assert not (tmp_path / "sprung").exists()


def npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def zipped(member: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("probabilities.npy", member)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 no archive",
        npz({"probabilities": np.ones(3)})[:-30],
        npy(np.ones(3)),
        zipped(b"no array"),
        zipped(npy(np.ones(3))[:-8]),
        zipped(npy(np.ones(3)).replace(b"(3,)", b"(-3,)"[:4])),
        zipped(npy(np.ones(3)).replace(b"(3,), ", b"(9**9)")),
        zipped(b"\x93NUMPY\x01\x00" + b"\xff\xff" + b"{" * 65535),
    ],
)
def test_what_holds_no_plain_arrays_is_refused_by_name(data: bytes, directory: Path) -> None:
    rewrite(directory, "known.npz", data)

    with pytest.raises(BundleError, match=r"known\.npz "):
        Bundle.load(directory)


@pytest.mark.parametrize("name", ["forest.npz", "calibration.npz", "known.npz"])
def test_arrays_that_are_missing_are_named(name: str, directory: Path) -> None:
    arrays = arrays_of(directory, name)
    missing = sorted(arrays)[-1]
    del arrays[missing]
    rewrite(directory, name, npz(arrays))

    with pytest.raises(BundleError, match=rf"{name}.* lacks {missing}"):
        Bundle.load(directory)


@pytest.mark.parametrize(
    ("name", "key", "change"),
    [
        ("known.npz", "probabilities", lambda array: array[:-1]),
        ("known.npz", "probabilities", lambda array: array.astype(str)),
        ("calibration.npz", "probabilities", lambda array: array[:-1]),
        ("calibration.npz", "probabilities", lambda array: array[:, :-1]),
        ("calibration.npz", "probabilities", lambda array: array * np.nan),
        ("calibration.npz", "probabilities", lambda array: array.astype(str)),
        ("calibration.npz", "truth", lambda array: array + np.uint8(3)),
        ("calibration.npz", "truth", lambda array: array.astype(np.int8) - 1),
        ("calibration.npz", "truth", lambda array: array[0]),
        ("calibration.npz", "truth", lambda array: array + 0.5),
        ("forest.npz", "feature", lambda array: array + np.int16(30_000)),
        ("forest.npz", "leaf_class", lambda array: array + np.uint8(3)),
    ],
)
def test_arrays_that_do_not_fit_the_card_are_refused_by_name(
    name: str, key: str, change: Callable[[NDArray[Any]], NDArray[Any]], directory: Path
) -> None:
    arrays = arrays_of(directory, name)
    rewrite(directory, name, npz({**arrays, key: change(arrays[key])}))

    with pytest.raises(BundleError, match=f"copy/{name}"):
        Bundle.load(directory)


def test_a_bundle_without_calibration_pictures_can_be_loaded_and_certifies_nothing(directory: Path) -> None:
    empty: Arrays = {"probabilities": np.empty((0, 3), np.float32), "truth": np.empty(0, np.uint8)}
    rewrite(directory, "calibration.npz", npz(empty))

    found = Bundle.load(directory).calibration

    assert len(found.confidence) == len(found.correct) == len(found.true_probability) == 0


# --- finding


def named(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / CARD).write_text("{}")
    return folder


def test_a_bundle_is_found_by_name_in_the_first_folder_that_has_it(tmp_path: Path) -> None:
    first, second = named(tmp_path / "first", "b"), named(tmp_path / "second", "a", "b")
    (first / "no bundle").mkdir()

    assert find_bundle("b", [first, second]) == first / "b"
    assert list_bundles([first, second])[:2] == [first / "b", second / "a"]


def test_a_bundle_is_found_by_path(tmp_path: Path) -> None:
    folder = named(tmp_path / "bundles", "a")

    assert find_bundle(f"{folder}/a", []) == folder / "a"


def test_a_bundle_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    folder = named(tmp_path / "bundles", "shoes", "toys")

    with pytest.raises(
        BundleError, match=rf"no bundle is called 'toy': there are .*shoes, toys.*looked in {folder}"
    ):
        find_bundle("toy", [folder])
    with pytest.raises(BundleError, match=r"missing: there is no bundle \(no card\.json\)"):
        find_bundle(f"{folder}/missing", [folder])
