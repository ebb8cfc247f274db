"""What an administrator asks about bundles: which there are, what each promise costs, whether one works here."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from returnsd import config as configuration
from returnsd.bundle import CARD, Bundle
from returnsd.config import Config
from returnsd.errors import BundleError
from returnsd.models import check_bundle, describe, list_lines, sentences
from tests.tiny import CATEGORIES


@pytest.fixture
def search(tmp_path: Path, tiny: Path) -> Path:
    """A folder with two bundles, `shoes` and `toys`."""
    for name in ("shoes", "toys"):
        shutil.copytree(tiny, tmp_path / "var/state/bundles" / name)
    return tmp_path / "var/state/bundles"


@pytest.fixture
def config(tmp_path: Path, search: Path) -> Config:
    return configuration.parse("model: {bundle: toys, target_accuracy: 0.9}", tmp_path)


def using(config: Config, **changes: object) -> Config:
    return replace(config, model=replace(config.model, **changes))  # type: ignore[arg-type]


# --- list


def test_every_bundle_has_a_line_and_the_one_in_use_a_star(config: Config, search: Path) -> None:
    lines = list_lines(config, [search])

    identity = Bundle.load(search / "toys").id
    assert lines[:2] == [
        f"  shoes: {identity}, 3 categories, {search}/shoes",
        f"* toys: {identity}, 3 categories, {search}/toys",
    ]


def test_the_one_in_use_is_listed_wherever_it_lies(config: Config, search: Path, tiny: Path) -> None:
    lines = list_lines(using(config, bundle=str(tiny)), [search])

    assert lines[0].startswith("* tiny: ")
    assert [line[0] for line in lines[1:3]] == [" ", " "]


def test_a_bundle_given_by_path_bears_its_star_once(config: Config, search: Path) -> None:
    lines = list_lines(using(config, bundle=f"{search}/../bundles/shoes"), [search])

    assert [line[:7] for line in lines[:2]] == ["* shoes", "  toys:"]


def test_a_damaged_bundle_does_not_hide_the_others(config: Config, search: Path) -> None:
    (search / "shoes/forest.npz").write_bytes(b"damaged")

    lines = list_lines(config, [search])

    assert lines[0].startswith(f"  shoes: cannot be used: {search}/shoes/forest.npz is damaged")
    assert lines[1].startswith("* toys: tiny-1.0+")


# --- describe


def test_a_bundle_tells_what_it_knows_and_what_each_promise_costs(config: Config, search: Path) -> None:
    shown = describe(config, "shoes")

    targets: Any = shown["targets"]
    shares = [target["archived_share"] for target in targets]
    assert shown["categories"] == list(CATEGORIES)
    assert shown["directory"] == f"{search}/shoes"
    assert [target["target_accuracy"] for target in targets] == [0.8, 0.85, 0.9, 0.94, 0.96, 0.98, 0.99]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0
    assert (shown["threshold"], shown["archived_share"]) == (targets[2]["threshold"], shares[2])


def test_what_cannot_be_promised_archives_nothing(config: Config) -> None:
    shown = describe(using(config, target_accuracy=0.9999), "toys")

    assert (shown["threshold"], shown["archived_share"]) == (None, 0.0)


def test_a_threshold_that_the_operator_chose_counts_for_him_and_not_for_the_table(config: Config) -> None:
    chosen = describe(using(config, threshold=0.0), "toys")

    assert (chosen["threshold"], chosen["archived_share"]) == (0.0, 1.0)
    assert chosen["targets"] == describe(config, "toys")["targets"]


def test_the_share_is_of_the_calibration_pictures(config: Config, search: Path) -> None:
    confidence = Bundle.load(search / "toys").calibration.confidence

    shown = describe(using(config, threshold=0.9), "toys")

    assert shown["archived_share"] == pytest.approx((confidence >= 0.9).mean(), abs=1e-4)


def test_what_is_told_can_be_written_as_json(config: Config) -> None:
    assert json.loads(json.dumps(describe(config, "toys")))["bundle"].startswith("tiny-1.0+")


def test_a_person_reads_sentences_without_the_cards_many_numbers(config: Config) -> None:
    shown = describe(using(config, target_accuracy=0.9), "toys")
    shown["card"] = {
        "data": {"train": 300},
        "trained_by": "python -m training train",
        "groups": [["Bags", "Bags & Cases"]],
        "metrics": {"validation": {"count": 50, "accuracy": 0.5, "top_3": 0.625, "macro_f1": 0.4321}},
        "reference": {"mean": [0.123456] * 1000},
    }

    said = sentences(shown)

    assert "Learnt from 300 pictures by: python -m training train" in said
    assert "Nearly the same: Bags and Bags & Cases" in said
    assert (
        "Of 50 pictures held back meanwhile: 50.0 % right, 62.5 % with the right category among the best three,"
        " macro-F1 0.432"
    ) in said
    assert any(line.startswith("In force: archived without a person from confidence 0.") for line in said)
    assert "0.123456" not in "".join(said)


def test_a_card_that_tells_little_and_a_model_that_archives_nothing_are_told_too(config: Config) -> None:
    shown = describe(using(config, target_accuracy=0.9999), "toys")
    shown["card"] = {}

    assert any("In force: archived without a person never" in line for line in sentences(shown))


# --- check


def test_a_good_bundle_is_seen_through_by_real_decoders(config: Config, search: Path) -> None:
    said = check_bundle(config, "toys")

    assert said.startswith(f"{Bundle.load(search / 'toys').id}: whole, sees its known picture rightly")
    assert "at target_accuracy 0.9 it archives from 0." in said


def test_a_bundle_that_promises_too_little_says_so(config: Config) -> None:
    said = check_bundle(using(config, target_accuracy=0.9999), "toys")

    assert said.endswith("at target_accuracy 0.9999 it archives nothing by itself")


def test_a_bundle_that_sees_otherwise_here_is_told(config: Config, search: Path) -> None:
    card = json.loads((search / "toys" / CARD).read_text())
    card["calibration"] = {"method": "temperature", "temperature": 5.0, "smoothing": 0.1}
    (search / "toys" / CARD).write_text(json.dumps(card))

    with pytest.raises(BundleError, match="sees the known picture differently"):
        check_bundle(config, "toys")


def test_a_damaged_or_unknown_bundle_is_named(config: Config, search: Path) -> None:
    (search / "shoes/known.png").unlink()

    with pytest.raises(BundleError, match=r"shoes/known\.png cannot be read"):
        check_bundle(config, "shoes")
    with pytest.raises(BundleError, match=r"no bundle is called 'hats': there are .*shoes, toys"):
        describe(config, "hats")
