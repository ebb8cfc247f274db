"""Decisions as pure functions: arrivals, the accuracy promise, verdicts, names on the shelves."""

import math
import os
import re
from collections.abc import Callable
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import PurePath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import beta, binom

from returnsd import policy
from returnsd.policy import Rule, Sighting
from returnsd.records import Prediction, Shelf
from tests.examples import NOON, example_id, example_item, example_rejection, example_verdict

SEEN = Sighting(size=10, mtime_ns=1, inode=7, at=100.0)
CATEGORIES = tuple("abcdefghij")
RAW_NAMES = st.binary(min_size=1, max_size=255).map(
    lambda raw: os.fsdecode(raw.translate(bytes.maketrans(b"/\0", b"__")))
)
LONG_NAMES = st.text(st.sampled_from("aü語🎁.\u202e\n "), min_size=1, max_size=255).map(
    lambda text: text.encode()[:255].decode(errors="ignore")
)
NAMES = (RAW_NAMES | LONG_NAMES).filter(lambda name: name not in ("", ".", ".."))


def prediction(confidence: float) -> Prediction:
    return Prediction("dots", confidence, "noise", 0.1, ("dots", "noise"))


# --- arriving


@pytest.mark.parametrize(
    ("now", "settled"),
    [
        (Sighting(10, 1, 7, 101.9), False),
        (Sighting(10, 1, 7, 102.0), True),
        (Sighting(11, 1, 7, 102.0), False),
        (Sighting(10, 2, 7, 102.0), False),
        (Sighting(10, 1, 8, 102.0), False),
    ],
)
def test_a_file_is_settled_when_nothing_about_it_changed_for_long_enough(now: Sighting, settled: bool) -> None:
    assert policy.settled(SEEN, now, settle_s=2.0) is settled


@pytest.mark.parametrize(
    ("name", "left_alone"),
    [
        ("a.jpg", False),
        (".a.jpg", True),
        ("a.jpg.tmp", True),
        ("A.JPG.TMP", True),
        ("a.tmp.jpg", False),
        ("THUMBS.DB", True),
        ("~a.jpg", True),
        ("a\n.part", True),
        ("x[1].part", True),
    ],
)
def test_names_that_match_a_pattern_are_left_alone_in_upper_and_lower_case(name: str, left_alone: bool) -> None:
    assert policy.ignored(name, (".*", "*.tmp", "*.part", "~*", "Thumbs.db")) is left_alone


def test_without_patterns_no_name_is_left_alone() -> None:
    assert not policy.ignored("", ())
    assert not policy.ignored(".hidden", ())


@given(st.text("ab.*?[]!", max_size=8), st.lists(st.text("ab.*?[]!", max_size=6), max_size=4))
def test_patterns_mean_what_they_mean_in_a_shell(name: str, patterns: list[str]) -> None:
    found = policy.ignored(name, tuple(patterns))

    assert found is any(fnmatchcase(name, pattern) for pattern in patterns)


@given(st.integers(0, 30), st.integers(0, 12))
def test_a_fair_share_is_full_holds_no_one_twice_and_serves_both_ends(waiting: int, places: int) -> None:
    names = [str(number) for number in range(waiting)]

    chosen = policy.fair_share(names[:places], names[::-1][:places], places)

    assert len(chosen) == len(set(chosen)) == min(waiting, places)
    assert set(names[: (places + 1) // 2]) <= set(chosen)
    assert set(names[waiting - min(waiting, places // 2) :]) <= set(chosen)


def test_who_waits_longest_is_first() -> None:
    chosen = policy.fair_share(["old", "older than new"], ["new", "newish"], 2)

    assert chosen == ["old", "new"]


# --- the accuracy promise


@given(st.data(), st.integers(1, 3000), st.floats(0.001, 0.5))
def test_the_binomial_tail_is_scipys(data: st.DataObject, count: int, rate: float) -> None:
    likely = min(count, int(3 * count * rate) + 3)
    errors = data.draw(st.integers(0, likely) | st.integers(0, count))

    found = policy.binomial_tail(errors, count, rate)

    assert found == pytest.approx(binom.cdf(errors, count, rate), rel=1e-8, abs=1e-12)


def test_the_certified_error_is_within_clopper_and_pearsons_bound() -> None:
    confidence = np.linspace(1, 0.5, 400)
    correct = np.arange(400) % 40 != 39  # an error in every forty
    threshold = policy.choose_threshold(confidence, correct, 0.94)
    assert threshold is not None

    accepted = confidence >= threshold
    errors = int((~correct[accepted]).sum())
    upper = beta.ppf(1 - policy.RISK / 4, errors + 1, int(accepted.sum()) - errors)

    assert upper <= 1 - 0.94


Accuracy = Callable[[NDArray[np.float64]], NDArray[np.float64]]

# How often predictions of each confidence are right; the target is 0.9. `level` misses it everywhere by a hair: all
# that is certified there is wrong, and each start has its own chance to err. `steep` reaches it down to some
# confidence. `conceited` is worst where it is surest. `steps` has long stretches just below the target.
WORLDS: dict[str, Accuracy] = {
    "level": lambda c: np.full_like(c, 0.8999),
    "steep": lambda c: 0.3 + 0.7 * c**0.25,
    "conceited": lambda c: np.where(c > 0.97, 0.8, 0.96) - 0.4 * (c < 0.5),
    "steps": lambda c: np.where(c > 0.8, 0.97, np.where(c > 0.5, 0.86, 0.8)),
}
SIMULATIONS, PICTURES = 500, 400


@pytest.fixture(scope="module", params=WORLDS)
def chosen(request: pytest.FixtureRequest) -> tuple[str, list[float | None], list[float | None]]:
    """A world's name, the threshold chosen in each simulation of it, and the true error of what that archives."""
    accuracy = WORLDS[request.param]
    dice = np.random.default_rng(20260301)
    levels = np.arange(1, 101) / 100
    confidence = dice.choice(levels, (SIMULATIONS, PICTURES))
    correct = dice.random(confidence.shape) < accuracy(confidence)
    truth = 1 - np.cumsum(accuracy(levels)[::-1])[::-1] / np.arange(100, 0, -1)
    true_error = dict(zip(levels.tolist(), truth.tolist(), strict=True))
    thresholds = [policy.choose_threshold(c, r, 0.9) for c, r in zip(confidence, correct, strict=True)]
    return request.param, thresholds, [None if t is None else true_error[t] for t in thresholds]


def test_what_is_archived_misses_the_target_in_at_most_one_of_twenty_installations(
    chosen: tuple[str, list[float | None], list[float | None]],
) -> None:
    _, _, errors = chosen

    missed = sum(error is not None and error > 0.1 for error in errors)

    assert missed <= binom.ppf(0.9999, SIMULATIONS, policy.RISK)


def test_a_threshold_is_found_where_there_is_one_and_not_where_there_is_none(
    chosen: tuple[str, list[float | None], list[float | None]],
) -> None:
    world, thresholds, _ = chosen

    found = sum(threshold is not None for threshold in thresholds) / SIMULATIONS

    assert (found < 0.07) if world == "level" else (found > 0.2)


def test_nothing_is_certified_from_nothing() -> None:
    assert policy.choose_threshold(np.empty(0), np.empty(0, bool), 0.94) is None


def test_even_without_error_too_few_pictures_prove_nothing() -> None:
    enough = math.ceil(math.log(policy.RISK / 4) / math.log(0.94))

    def chosen(count: int) -> float | None:
        return policy.choose_threshold(np.linspace(1, 0.5, count), np.ones(count, bool), 0.94)

    assert chosen(enough - 1) is None
    assert chosen(enough) == 0.5


def test_pictures_of_equal_confidence_are_archived_together_or_not_at_all() -> None:
    confidence = np.repeat([0.9, 0.6], [200, 100])
    correct = np.repeat([True, True, False], [200, 50, 50])

    assert policy.choose_threshold(confidence, correct, 0.94) == 0.9


def test_one_error_at_the_very_top_does_not_spoil_the_rest() -> None:
    correct = np.ones(600, bool)
    correct[:3] = False

    threshold = policy.choose_threshold(np.linspace(1, 0.4, 600), correct, 0.94)

    assert threshold == pytest.approx(0.4)


def test_the_order_of_the_calibration_pictures_does_not_matter() -> None:
    dice = np.random.default_rng(3)
    confidence = dice.random(500)
    correct = dice.random(500) < 0.8 + 0.2 * confidence
    shuffled = dice.permutation(500)

    found = policy.choose_threshold(confidence, correct, 0.9)

    assert found is not None
    assert policy.choose_threshold(confidence[shuffled], correct[shuffled], 0.9) == found


@pytest.mark.parametrize("coverage", [0.5, 0.75, 0.94])
def test_the_shortlist_holds_the_right_category_as_often_as_promised(coverage: float) -> None:
    # the model's probabilities are not those that nature draws from: the promise does not rest on them
    dice = np.random.default_rng(20260302)
    simulations, pictures, asked = 400, 199, 40
    probabilities = dice.dirichlet(np.full(len(CATEGORIES), 0.6), (simulations, pictures + asked))
    nature = probabilities**0.5 / (probabilities**0.5).sum(axis=-1, keepdims=True)
    truth = (nature.cumsum(axis=-1) > dice.random((*nature.shape[:2], 1))).argmax(axis=-1)
    true_probability = np.take_along_axis(probabilities, truth[..., np.newaxis], axis=-1)[..., 0]

    held = 0
    for simulation in range(simulations):
        floor = policy.shortlist_floor(true_probability[simulation, :pictures], coverage)
        for picture in range(pictures, pictures + asked):
            shortlist = policy.predict(CATEGORIES, probabilities[simulation, picture], floor).shortlist
            held += CATEGORIES[truth[simulation, picture]] in shortlist

    assert held / (simulations * asked) == pytest.approx(coverage, abs=0.01)


def test_too_few_calibration_pictures_list_every_category() -> None:
    floor = policy.shortlist_floor(np.array([0.9, 0.8]), 0.75)

    assert policy.predict(("a", "b"), np.array([1.0, 0.0]), floor).shortlist == ("a", "b")


def test_the_floor_is_the_true_probability_of_the_rank_that_leaves_enough_above() -> None:
    assert policy.shortlist_floor(np.array([0.7, 0.1, 0.4]), 0.75) == 0.1
    assert policy.shortlist_floor(np.array([0.7, 0.1, 0.4]), 0.5) == 0.4


# --- predictions and verdicts


def test_a_prediction_names_the_best_the_runner_up_and_those_above_the_floor_best_first() -> None:
    found = policy.predict(("a", "b", "c", "d"), np.array([0.1, 0.5, 0.02, 0.38]), 0.1)

    assert found == Prediction("b", 0.5, "d", 0.38, ("b", "d", "a"))


def test_a_shortlist_is_never_empty() -> None:
    assert policy.predict(("a", "b"), np.array([0.4, 0.6]), 0.9).shortlist == ("b",)


def test_a_model_of_one_category_has_no_runner_up() -> None:
    assert policy.predict(("a",), np.array([1.0]), 0.1) == Prediction("a", 1.0, None, None, ("a",))


def test_equal_probabilities_keep_the_order_of_the_categories() -> None:
    assert policy.predict(("a", "b", "c"), np.full(3, 1 / 3), 0.1).shortlist == ("a", "b", "c")


@pytest.mark.parametrize(
    ("confidence", "threshold", "expected"),
    [
        (0.9, 0.9, (Shelf.ARCHIVE, "confident")),
        (0.8999, 0.9, (Shelf.REVIEW, "below_threshold")),
        (1.0, None, (Shelf.REVIEW, "no_certified_threshold")),
        (0.0, 0.0, (Shelf.ARCHIVE, "confident")),
    ],
)
def test_the_shelf_follows_the_threshold(
    confidence: float, threshold: float | None, expected: tuple[Shelf, str]
) -> None:
    assert policy.choose_shelf(prediction(confidence), Rule(threshold, 0.1)) == expected


def test_a_verdict_holds_all_that_was_said_of_the_item() -> None:
    expected = example_verdict(1, confidence=0.625, runner_up_confidence=0.1, duplicate_of=example_id(0))

    verdict = policy.judge(
        example_item(1),
        prediction(0.625),
        Rule(0.9, 0.05),
        judged_at=expected.judged_at,
        return_id=expected.return_id,
        duplicate_of=expected.duplicate_of,
        model=expected.model,
        sha256=str(expected.sha256),
    )

    assert verdict == expected


def test_a_rejection_says_why_and_claims_nothing() -> None:
    expected = example_rejection(1, reason="empty")

    verdict = policy.reject(
        example_item(1),
        "empty",
        judged_at=expected.judged_at,
        return_id=expected.return_id,
        duplicate_of=None,
        model=expected.model,
        sha256=expected.sha256,
    )

    assert verdict == expected


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        (r"^(RMA-[0-9]+)", "RMA-17 front.jpg", "RMA-17"),
        (r"^(RMA-[0-9]+)", "front RMA-17.jpg", None),
        (r"_([0-9]+)_(\d)", "a_12_3.jpg", "12"),
        (r"^(RMA-[0-9]+)?", "front.jpg", None),
        (r"^([0-9]*)", "front.jpg", None),
        (r"(.*)\.jpg", os.fsdecode(b"\xff.jpg"), "\\xff"),
    ],
)
def test_the_return_id_is_what_the_first_group_finds(pattern: str, name: str, found: str | None) -> None:
    assert policy.find_return_id(re.compile(pattern), name) == found


def test_without_a_pattern_there_is_no_return_id() -> None:
    assert policy.find_return_id(None, "RMA-17.jpg") is None


# --- names on the shelves


@given(NAMES)
def test_a_shelf_name_begins_with_the_id_is_harmless_and_fits(name: str) -> None:
    made = policy.shelf_name(example_id(1), name)

    assert made.startswith(example_id(1) + "_")
    assert len(made.encode()) <= 255
    assert len(PurePath(made).parts) == 1
    assert all(ord(letter) >= 32 and letter not in "\x7f\u202e" for letter in made)


@given(NAMES)
def test_a_name_that_was_made_harmless_once_is_not_changed_again(name: str) -> None:
    made = policy.shelf_name(example_id(1), name)

    assert policy.shelf_name(example_id(1), made.removeprefix(example_id(1) + "_")) == made


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Größe 3 (front).JPG", "Größe 3 (front).JPG"),
        ("line\nbreak\x1b.jpg", "line_break_.jpg"),
        ("\u202egpj.exe", "_gpj.exe"),
        (os.fsdecode(b"\xff\xfe.jpg"), "__.jpg"),
        ("a" * 251 + ".jpg", "a" * 224 + ".jpg"),
        ("ü" * 125 + ".jpg", "ü" * 112 + ".jpg"),
        ("a." + "b" * 253, "a." + "b" * 226),
    ],
)
def test_a_shelf_name_keeps_what_a_person_can_read_and_the_suffix(name: str, kept: str) -> None:
    assert policy.shelf_name(example_id(1), name) == f"{example_id(1)}_{kept}"


def test_the_archive_is_ordered_by_local_day_and_category() -> None:
    late = NOON.replace(hour=23, minute=59) + timedelta(minutes=1)
    verdict = example_verdict(1, shelf=Shelf.ARCHIVE, category="Home/Kitchen", judged_at=late)

    assert policy.shelf_place(verdict) == PurePath("2026-03-02/Home_Kitchen", f"{example_id(1)}_1.jpg")


@pytest.mark.parametrize("verdict", [example_verdict(1), example_rejection(1)])
def test_the_other_shelves_are_flat(verdict: object) -> None:
    assert policy.shelf_place(verdict) == PurePath(f"{example_id(1)}_1.jpg")  # type: ignore[arg-type]


# --- a pilot tells where to begin


def drawn(dice: np.random.Generator, count: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    confidence = dice.random(count)
    return confidence, dice.random(count) < 0.5 + 0.5 * confidence**2


def test_with_a_pilot_too_the_accepted_error_exceeds_the_target_in_one_of_twenty_at_most() -> None:
    dice = np.random.default_rng(20260401)
    simulations, target = 500, 0.9
    missed = found = 0

    for _ in range(simulations):
        threshold = policy.choose_threshold(*drawn(dice, 1500), target, pilot=drawn(dice, 400))
        if threshold is not None:
            found += 1
            accepted = np.linspace(threshold, 1, 1000)
            missed += float((0.5 + 0.5 * accepted**2).mean()) < target

    assert found > 0.5 * simulations
    assert missed <= binom.ppf(0.999, simulations, policy.RISK)


def test_a_pilot_finds_a_threshold_where_an_early_error_hides_it_from_every_other_start() -> None:
    confidence = np.linspace(1, 0, 3000)
    correct = np.ones(3000, bool)
    correct[[3, 70, 140, 141]] = False
    correct[300:] = np.arange(2700) % 2 == 0
    pilot = (np.linspace(1, 0, 1000), np.arange(1000) < 90)

    assert policy.choose_threshold(confidence, correct, 0.96) is None
    assert policy.choose_threshold(confidence, correct, 0.96, pilot=pilot) is not None


@pytest.mark.parametrize("pictures", [0, 40])
def test_a_pilot_of_few_pictures_changes_nothing(pictures: int) -> None:
    dice = np.random.default_rng(5)
    confidence, correct = drawn(dice, 2000)

    found = policy.choose_threshold(confidence, correct, 0.9, pilot=drawn(dice, pictures))

    assert found == policy.choose_threshold(confidence, correct, 0.9)


# --- categories that nearly coincide

GROUPED = ("hat", "cap", "shoe")


def grouped(probabilities: list[float]) -> Prediction:
    return policy.predict(GROUPED, np.array(probabilities), 0.4, [(0, 1)])


def test_a_group_that_is_best_is_named_best_first() -> None:
    found = grouped([0.4, 0.45, 0.15])

    assert (found.category, found.group) == ("cap", ("cap", "hat"))
    assert found.group_confidence == pytest.approx(0.85)


def test_a_category_on_its_own_that_is_better_than_every_group_leaves_no_group() -> None:
    assert grouped([0.2, 0.2, 0.6]).group == ()


@pytest.mark.parametrize(
    ("probabilities", "threshold", "group_threshold", "expected"),
    [
        ([0.5, 0.48, 0.02], 0.9, 0.95, (Shelf.REVIEW, "ambiguous_within_group")),
        ([0.95, 0.04, 0.01], 0.9, 0.95, (Shelf.ARCHIVE, "confident")),
        ([0.5, 0.3, 0.2], 0.9, 0.95, (Shelf.REVIEW, "below_threshold")),
        ([0.5, 0.48, 0.02], 0.9, None, (Shelf.REVIEW, "below_threshold")),
        ([0.5, 0.48, 0.02], None, 0.95, (Shelf.REVIEW, "ambiguous_within_group")),
        ([0.01, 0.01, 0.98], 0.99, 0.95, (Shelf.REVIEW, "below_threshold")),
    ],
)
def test_a_certain_group_of_uncertain_categories_is_told(
    probabilities: list[float], threshold: float | None, group_threshold: float | None, expected: tuple[Shelf, str]
) -> None:
    assert policy.choose_shelf(grouped(probabilities), Rule(threshold, 0.4, ((0, 1),), group_threshold)) == expected


def test_a_person_is_offered_the_categories_of_the_certain_group() -> None:
    found = grouped([0.5, 0.48, 0.02])

    assert policy.shortlist(found, "ambiguous_within_group") == ("hat", "cap")
    assert policy.shortlist(found, "below_threshold") == found.shortlist


def test_merging_moves_a_groups_probability_to_its_first_category() -> None:
    found = policy.merged(np.array([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]]), [(0, 1)])

    assert found == pytest.approx(np.array([[0.3, 0.0, 0.7], [0.9, 0.0, 0.1]]))
