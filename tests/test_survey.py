"""What is amiss in review, and what its folders mean."""

import time

import pytest

from returnsd.ledger import Ledger
from returnsd.spool import Spool
from returnsd.survey import Meaning, Meanings, Survey, survey
from tests.examples import example_id, file_away

MEANINGS = Meanings(["Toys & Games", "Books", "Pet Supplies", "dots"])


# --- what folders mean


@pytest.mark.parametrize(
    ("folder", "category"),
    [
        ("Toys & Games", "Toys & Games"),
        ("toys and games", "Toys & Games"),
        ("ToysAndGames", "Toys & Games"),
        ("toys_&_games", "Toys & Games"),
        ("PET supplies ", "Pet Supplies"),
        ("BOOKS", "Books"),
        ("Boks", None),
        ("Games", None),
        ("", None),
    ],
)
def test_a_folder_means_the_category_that_a_person_would_read(folder: str, category: str | None) -> None:
    found = MEANINGS.of(folder)

    assert (found and found.category) == category


@pytest.mark.parametrize("folder", ["not_a_product", "Not a product", "notaproduct"])
def test_the_folders_of_reasons_reject(folder: str) -> None:
    assert MEANINGS.of(folder) == Meaning(None, "not_a_product")


def test_a_folder_that_could_mean_two_categories_means_none() -> None:
    ambiguous = Meanings(["Arts & Crafts", "Arts and Crafts"])

    assert ambiguous.of("arts&crafts") is None
    assert ambiguous.of("arts & crafts") == Meaning("Arts & Crafts", None)
    assert ambiguous.of("Arts and Crafts") == Meaning("Arts and Crafts", None)


def test_the_closest_folder_is_named_as_it_is_spelt() -> None:
    assert MEANINGS.closest("boks") == "Books"
    assert MEANINGS.closest("xyz") is None


# --- what is amiss


def test_where_all_is_well_nothing_is_found(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1)
    (spool.paths.review / "Books").mkdir()
    (spool.paths.review / ".hidden").write_text("")

    assert survey(spool.paths, ledger, MEANINGS) == Survey()


def test_an_item_without_its_file_is_missing(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1)
    file_away(spool, ledger, 2).unlink()

    assert survey(spool.paths, ledger, MEANINGS).missing == (example_id(2),)


def test_an_item_that_was_just_moved_into_a_folder_is_not_missing(spool: Spool, ledger: Ledger) -> None:
    place = file_away(spool, ledger, 1)
    (spool.paths.review / "Books").mkdir()
    place.rename(spool.paths.review / "Books" / place.name)

    assert survey(spool.paths, ledger, MEANINGS) == Survey()
    assert survey(spool.paths, ledger, MEANINGS, now=time.time() + 61).left == (f"Books/{place.name}",)


def test_what_belongs_to_no_item_or_category_is_named(spool: Spool, ledger: Ledger) -> None:
    (spool.paths.review / "note.txt").write_text("")
    (spool.paths.review / "Toyz").mkdir()
    (spool.paths.review / "Toyz" / "a.jpg").write_text("")
    (spool.paths.review / "empty").mkdir()

    found = survey(spool.paths, ledger, MEANINGS)

    assert (found.strangers, found.unknown) == (("note.txt",), ("Toyz",))
