"""Evaluation: figures that agree with their definitions, intervals that hold, curves and a report of them."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from returnsd import policy
from returnsd.bundle import Bundle
from returnsd.vision.decode import DecodeLimits, decode
from returnsd.vision.extractor import Extractor
from tests.tiny import CATEGORIES, tiny_jpeg
from training import curves, evaluate
from training.pages import evaluation

TARGET = 0.9


def example(count: int = 400, categories: int = 4, seed: int = 1) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return probabilities that know something of the truth, and the truth."""
    dice = np.random.default_rng(seed)
    truth = dice.integers(0, categories, count)
    scores = dice.normal(0, 1, (count, categories))
    scores[np.arange(count), truth] += 1.2
    shares = np.exp(scores)
    return shares / shares.sum(axis=1, keepdims=True), truth


@pytest.fixture(scope="module")
def bundle(tiny: Path) -> Bundle:
    return Bundle.load(tiny)


@pytest.fixture(scope="module")
def tested(bundle: Bundle) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows of pictures that the tiny bundle has not seen, and what they are."""
    extractor = Extractor.load(bundle.directory)
    pictures = [tiny_jpeg(category, seed) for category in CATEGORIES for seed in range(40)]
    rows = np.stack([extractor(decode(picture, DecodeLimits())) for picture in pictures])
    return rows, np.repeat(np.arange(len(CATEGORIES)), 40)


# --- figures


def test_the_figures_are_those_of_scikit_learn() -> None:
    probabilities, truth = example()
    best = probabilities.argmax(axis=1)

    figures = evaluate.figures_of(probabilities, truth, 0.6)

    archived = probabilities.max(axis=1) >= 0.6
    assert figures.accuracy == pytest.approx((best == truth).mean())
    assert figures.macro_f1 == pytest.approx(f1_score(truth, best, average="macro"))
    assert figures.macro_auc == pytest.approx(roc_auc_score(truth, probabilities, multi_class="ovr"))
    assert figures.archived == pytest.approx(archived.mean())
    assert figures.archived_accuracy == pytest.approx((best == truth)[archived].mean())


def test_the_top_three_hold_the_right_category_more_often_than_the_first() -> None:
    probabilities, truth = example()
    order = np.argsort(-probabilities, axis=1)[:, :3]

    figures = evaluate.figures_of(probabilities, truth, None)

    assert figures.top_3 == pytest.approx((order == truth[:, np.newaxis]).any(axis=1).mean())


def test_without_a_threshold_nothing_is_archived() -> None:
    figures = evaluate.figures_of(*example(), None)

    assert (figures.archived, figures.archived_accuracy) == (0.0, None)


def test_by_category_it_is_scikit_learns_table(
    bundle: Bundle, tested: tuple[NDArray[np.float32], NDArray[np.int64]]
) -> None:
    found = evaluate.evaluate(bundle, *tested, TARGET)
    best = found.probabilities.argmax(axis=1)

    assert [one.precision for one in found.by_category] == pytest.approx(
        precision_score(tested[1], best, average=None)
    )
    assert [one.recall for one in found.by_category] == pytest.approx(recall_score(tested[1], best, average=None))
    assert [one.f1 for one in found.by_category] == pytest.approx(f1_score(tested[1], best, average=None))
    assert [one.count for one in found.by_category] == [40, 40, 40]
    assert found.confusion.sum() == 120
    assert (found.confusion.sum(axis=1) == 40).all()


def test_a_category_without_pictures_is_told_as_unknown() -> None:
    probabilities, truth = example(60, 3)
    truth = np.minimum(truth, 1)

    rows = evaluate._by_category(("a", "b", "c"), probabilities, truth, None)

    assert rows[2].count == 0
    assert rows[2].recall is None
    assert rows[2].recall_interval == (0.0, 1.0)


def test_what_is_archived_is_what_the_service_would_archive(
    bundle: Bundle, tested: tuple[NDArray[np.float32], NDArray[np.int64]]
) -> None:
    found = evaluate.evaluate(bundle, *tested, TARGET)

    threshold = bundle.threshold(TARGET)
    assert threshold is not None
    assert found.threshold == threshold
    assert found.figures.archived == pytest.approx((found.probabilities.max(axis=1) >= threshold).mean())


def test_grouped_categories_count_as_one() -> None:
    truth = np.array([0, 1, 2, 1])
    probabilities = np.array([[0.4, 0.3, 0.3], [0.5, 0.2, 0.3], [0.3, 0.3, 0.4], [0.2, 0.2, 0.6]])

    together = policy.merged(probabilities, ((0, 1),))
    figures = evaluate.figures_of(together, evaluate.group_truth(truth, ((0, 1),)), None)

    assert evaluate.figures_of(probabilities, truth, None).accuracy == 0.5
    assert figures.accuracy == 0.5  # the third looks like the group now, the second is right
    assert evaluate.group_truth(truth, ((0, 1),)).tolist() == [0, 0, 2, 0]


# --- intervals


@given(st.integers(1, 5000), st.data())
def test_wilsons_interval_is_scipys(count: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, count))

    low, high = evaluate.wilson(hits, count)

    expected = binomtest(hits, count).proportion_ci(0.95, "wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert low <= hits / count + 1e-12
    assert high >= hits / count - 1e-12


def test_of_no_pictures_every_share_is_possible() -> None:
    assert evaluate.wilson(0, 0) == (0.0, 1.0)


def test_the_fast_macro_f1_is_scikit_learns() -> None:
    dice = np.random.default_rng(3)
    truth, best = dice.integers(0, 6, 200), dice.integers(0, 5, 200)

    assert evaluate._macro_f1(truth, best) == pytest.approx(f1_score(truth, best, average="macro"))


def test_intervals_hold_their_figures_and_narrow_with_more_pictures() -> None:
    few, many = (example(count) for count in (100, 3000))

    wide = evaluate.intervals(evaluate.figures_of(*few, 0.6), *few, seed=1)
    narrow = evaluate.intervals(evaluate.figures_of(*many, 0.6), *many, seed=1)

    figures = asdict(evaluate.figures_of(*many, 0.6))
    for name, (low, high) in narrow.items():
        assert high - low < wide[name][1] - wide[name][0]
        if name != "calibration_error":  # drawing again adds noise to it
            assert low <= figures[name] <= high


def test_the_bootstrap_repeats_itself() -> None:
    values = np.random.default_rng(1).normal(0, 1, 100)

    first, second = (evaluate.bootstrap(lambda drawn: float(values[drawn].mean()), 100, seed=7) for _ in range(2))

    assert first == second
    assert first[0] < values.mean() < first[1]
    assert first[1] - first[0] == pytest.approx(4 * values.std() / 10, rel=0.25)


# --- curves


def test_archiving_all_is_as_right_as_the_model() -> None:
    probabilities, truth = example(1000)
    correct = probabilities.argmax(axis=1) == truth

    curve = curves.coverage(probabilities.max(axis=1), correct)

    assert len(curve.share) <= 200
    assert (curve.share[-1], curve.accuracy[-1]) == (1.0, pytest.approx(correct.mean()))
    assert (np.diff(curve.share) > 0).all()
    assert ((curve.low <= curve.accuracy + 1e-9) & (curve.accuracy <= curve.high + 1e-9)).all()


def test_longer_shortlists_hold_the_right_category_more_often() -> None:
    calibration, theirs = example(2000, seed=2)
    probabilities, truth = example(2000, seed=3)

    lists = curves.shortlists(
        calibration[np.arange(len(theirs)), theirs], probabilities, truth, (0.5, 0.7, 0.9, 0.99)
    )

    assert [one.size for one in lists] == sorted(one.size for one in lists)
    for one in lists[1:]:  # a list is never empty, which helps the shortest
        assert one.coverage == pytest.approx(one.promised, abs=0.03)


def test_reliability_bins_are_equally_full_and_rise() -> None:
    probabilities, truth = example(1000)

    bins = curves.reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == truth, 10)

    assert [one.count for one in bins] == [100] * 10
    assert [one.confidence for one in bins] == sorted(one.confidence for one in bins)


def test_a_roc_curve_has_the_area_that_is_told() -> None:
    probabilities, truth = example(300)

    for curve in curves.roc_curves(probabilities, truth, ("a", "b", "c", "d")):
        assert np.trapezoid(curve.found, curve.false_alarms) == pytest.approx(curve.area, abs=0.01)


def test_the_worst_are_wrong_and_the_surest_come_first() -> None:
    confidence = np.array([0.9, 0.8, 0.95, 0.5])
    correct = np.array([False, True, False, False])

    assert curves.worst(confidence, correct, 2).tolist() == [2, 0]


# --- the report


def test_the_report_tells_it_all(
    bundle: Bundle, tested: tuple[NDArray[np.float32], NDArray[np.int64]], tmp_path: Path
) -> None:
    paths = []
    for number in range(120):
        paths.append(str(tmp_path / f"{number}.jpg"))
        Path(paths[-1]).write_bytes(tiny_jpeg(CATEGORIES[number // 40], number % 40))
    found = evaluate.evaluate(bundle, *tested, TARGET)

    text = evaluation.page(found, bundle, paths, TARGET).html()

    for words in (*CATEGORIES, "What needs no person", "Precision", "ROC", "ECE", "macro AUC", "The worst errors"):
        assert words in text
    assert text.count("data:image/svg+xml") == 5
    assert text.count("data:image/jpeg") == min(24, int((~_correct(found)).sum()))


def test_few_test_pictures_are_called_few(
    bundle: Bundle, tested: tuple[NDArray[np.float32], NDArray[np.int64]]
) -> None:
    rows, truth = tested
    found = evaluate.evaluate(bundle, rows[::10], truth[::10], TARGET)

    text = evaluation.page(found, bundle, [""] * 12, TARGET).html()

    assert "These figures are rough" in text


def test_that_nothing_is_certified_is_said(
    bundle: Bundle, tested: tuple[NDArray[np.float32], NDArray[np.int64]]
) -> None:
    found = evaluate.evaluate(bundle, *tested, 0.999)

    assert found.threshold is None
    assert "No threshold is certified for 99.9 %" in evaluation.page(found, bundle, [""] * 120, 0.999).html()


def test_the_json_can_be_read_back(bundle: Bundle, tested: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    found = evaluate.evaluate(bundle, *tested, TARGET)

    told = json.loads(json.dumps(evaluate.as_json(found, bundle, TARGET)))

    assert told["figures"]["accuracy"] == found.figures.accuracy
    assert told["bundle"] == bundle.id
    assert set(told["intervals_95"]) == set(told["figures"]) - {"count"}


def _correct(found: evaluate.Evaluation) -> NDArray[np.bool_]:
    return np.asarray(found.probabilities.argmax(axis=1) == found.truth)


def test_few_test_pictures_and_a_missing_certificate_are_told_in_words(tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    truth = np.arange(51) % 3
    figures = evaluate.figures_of(np.full((51, 3), 1 / 3), truth, None)

    few, uncertified = evaluate.remarks(figures, bundle, 0.94)

    assert few.startswith(
        "51 test pictures tell little: the accuracy on others may well be anywhere from 22% to 47%"
    )
    assert "Of the 240 calibration pictures, too few of those that it is surest of are right" in uncertified
    (*_, short) = evaluate.remarks(figures, bundle, 0.999)
    assert "takes at least 2995 calibration pictures, all right; there are 240" in short


def test_many_test_pictures_and_a_certificate_need_no_remark(tiny: Path) -> None:
    truth = np.arange(600) % 3
    figures = evaluate.figures_of(np.eye(3)[truth] * 0.98 + 0.01, truth, 0.9)

    assert evaluate.remarks(figures, Bundle.load(tiny), 0.94) == []
