"""Decisions with a file manager: files moved into the folders of review."""

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from returnsd import logs
from returnsd.audit import audit
from returnsd.bundle import Bundle
from returnsd.policy import Rule
from returnsd.web.deciding import Deciding
from returnsd.worker import Model
from tests.installation import HerePool, Installation, files_below
from tests.tiny import CATEGORIES, tiny_jpeg


class Desk:
    """An installation in which everything goes to review, and the side that decides."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.installation = Installation(folder, Bundle.load(bundle), HerePool(bundle))
        self.installation.worker.model = Model(self.installation.model.bundle, Rule(None, 0.05))
        self.deciding = Deciding(self.installation.config, logs.get_logger("test"))
        self.review = self.installation.paths.review

    def tend(self, times: int = 6) -> None:
        for _ in range(times):
            self.deciding.tend(CATEGORIES)

    def waiting(self, name: str = "photo.jpg", seed: int = 1) -> Path:
        """Bring a picture into review; return its file."""
        self.installation.drop(name, tiny_jpeg("stripes", seed))
        self.installation.work()
        (found,) = (path for path in self.review.iterdir() if path.name.endswith(name))
        return found

    def move(self, path: Path, folder: str) -> Path:
        (self.review / folder).mkdir(exist_ok=True)
        return path.rename(self.review / folder / path.name)

    def category(self, path: Path) -> str | None:
        decision = self.installation.ledger.decision(path.name[:26])
        return None if decision is None else decision.category or decision.reason

    def clean(self) -> bool:
        return audit(self.installation.spool, self.installation.ledger).clean


@pytest.fixture
def desk(tmp_path: Path, tiny: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, tiny)
    yield made
    made.deciding.close()
    made.installation.close()


def test_people_find_a_folder_for_every_category_and_reason(desk: Desk) -> None:
    desk.tend()

    assert {path.name for path in desk.review.iterdir()} == {*CATEGORIES, "not_a_product", "retake"}
    assert desk.clean()


@pytest.mark.parametrize("folder", ["dots", "Dots", "DOTS"])
def test_a_file_moved_into_a_categorys_folder_is_decided(folder: str, desk: Desk) -> None:
    path = desk.waiting()

    moved = desk.move(path, folder)
    desk.tend()

    decision = desk.installation.ledger.decision(path.name[:26])
    assert decision is not None
    assert (decision.category, decision.decided_by) == ("dots", "folder")
    assert not moved.exists()
    assert (desk.installation.paths.archive / decision.day / "dots" / path.name).exists()
    assert desk.clean()


@pytest.mark.parametrize(("folder", "reason"), [("not_a_product", "not_a_product"), ("Retake", "retake")])
def test_a_file_moved_into_a_reasons_folder_is_rejected(folder: str, reason: str, desk: Desk) -> None:
    path = desk.waiting()

    desk.move(path, folder)
    desk.tend()

    assert desk.category(path) == reason
    assert (desk.installation.paths.rejected / path.name).exists()
    assert desk.clean()


def test_a_copy_decides_nothing_as_long_as_the_file_is_in_review(desk: Desk) -> None:
    path = desk.waiting()
    desk.tend()

    copy = Path(shutil.copy(path, desk.review / "dots" / path.name))
    desk.tend()
    before = desk.category(path)
    path.unlink()  # a file manager that moves by copying ends so
    desk.tend()

    assert before is None
    assert desk.category(path) == "dots"
    assert not copy.exists()
    assert desk.clean()


def test_a_file_that_is_not_the_one_that_was_judged_is_left_alone(desk: Desk) -> None:
    path = desk.waiting()

    moved = desk.move(path, "dots")
    moved.write_bytes(tiny_jpeg("noise", 9))
    desk.tend()

    assert desk.category(path) is None
    assert moved.exists()


@pytest.mark.parametrize("name", ["holiday.jpg", "0" * 26 + "_unknown.jpg", ".hidden"])
def test_a_strangers_file_is_left_alone(name: str, desk: Desk) -> None:
    desk.tend()
    (desk.review / "dots" / name).write_bytes(tiny_jpeg("dots", 1))

    desk.tend()

    assert (desk.review / "dots" / name).exists()


def test_a_folder_of_no_category_decides_nothing(desk: Desk) -> None:
    path = desk.waiting()

    moved = desk.move(path, "dotz")
    desk.tend()

    assert moved.exists()
    assert desk.category(path) is None


@pytest.mark.parametrize("name", ["holiday.jpg", "dots (2).jpg", "0" * 26 + ".jpg"])
def test_a_file_that_was_renamed_while_it_was_moved_is_known_by_its_bytes(name: str, desk: Desk) -> None:
    path = desk.waiting()
    desk.tend()

    path.rename(desk.review / "dots" / name)
    desk.tend()

    assert desk.category(path) == "dots"
    assert [found.name for found in files_below(desk.installation.paths.archive)] == [path.name]
    assert desk.deciding.left == {}
    assert desk.clean()


def test_of_twins_each_renamed_file_settles_one(desk: Desk) -> None:
    first, second = (desk.waiting(f"{name}.jpg", seed=1) for name in ("a", "b"))
    desk.tend()

    first.rename(desk.review / "dots" / "one.jpg")
    desk.tend()
    between = [desk.category(path) for path in (first, second)]
    second.rename(desk.review / "noise" / "two.jpg")
    desk.tend()

    assert between == ["dots", None]
    assert [desk.category(path) for path in (first, second)] == ["dots", "noise"]
    assert desk.clean()


def test_a_renamed_copy_decides_nothing_and_is_told(desk: Desk) -> None:
    path = desk.waiting()
    desk.tend()

    shutil.copy(path, desk.review / "dots" / "copy.jpg")
    desk.tend()

    assert desk.category(path) is None
    assert desk.deciding.left == {"dots/copy.jpg": "a copy: its item lies elsewhere"}


def test_a_renamed_file_whose_decision_was_recorded_before_a_crash_is_carried_on(desk: Desk) -> None:
    path = desk.waiting()
    desk.tend()
    path.rename(desk.review / "dots" / "renamed.jpg")
    desk.installation.ledger.decide(path.name[:26], "dots", desk.installation.rows()[0].judged_at, "folder")

    desk.tend()

    assert files_below(desk.review) == []
    desk.deciding.close()
    desk.deciding = Deciding(desk.installation.config, logs.get_logger("test"))
    assert desk.clean()


def test_a_strangers_picture_is_told_until_it_is_gone(desk: Desk) -> None:
    desk.tend()
    (desk.review / "dots" / "holiday.jpg").write_bytes(tiny_jpeg("dots", 1))
    desk.tend()

    assert desk.deciding.left == {"dots/holiday.jpg": "no item's file"}
    (desk.review / "dots" / "holiday.jpg").unlink()
    desk.tend()
    assert desk.deciding.left == {}


def test_a_shelf_that_cannot_be_written_to_holds_up_no_decision(desk: Desk) -> None:
    path = desk.waiting()
    desk.tend()
    shelf = desk.installation.paths.archive
    shelf.rmdir()
    shelf.write_text("a file where a folder must be")

    moved = desk.move(path, "dots")
    desk.tend()
    between = (desk.category(path), moved.exists(), desk.deciding.left["dots/" + path.name])
    shelf.unlink()
    desk.tend()

    assert between[:2] == ("dots", True)
    assert "paths.archive" in between[2]
    assert not moved.exists()
    assert desk.clean()


def test_a_symbolic_link_is_never_followed(desk: Desk, tmp_path: Path) -> None:
    path = desk.waiting()
    elsewhere = path.rename(tmp_path / path.name)
    desk.tend()

    (desk.review / "dots" / path.name).symlink_to(elsewhere)
    desk.tend()

    assert desk.category(path) is None
    assert elsewhere.exists()


def test_a_file_whose_item_was_decided_on_the_page_meanwhile_goes_where_the_page_said(desk: Desk) -> None:
    path = desk.waiting()
    desk.move(path, "dots")
    item_id = path.name[:26]
    desk.installation.ledger.decide(item_id, "noise", desk.installation.rows()[0].judged_at, "Anna")

    desk.tend()

    assert desk.category(path) == "noise"
    assert [found.parent.name for found in files_below(desk.installation.paths.archive)] == ["noise"]
    desk.deciding.close()
    desk.deciding = Deciding(desk.installation.config, logs.get_logger("test"))
    assert desk.clean()


def test_a_decision_that_was_recorded_before_a_crash_is_carried_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = desk.waiting()
    desk.move(path, "dots")
    with monkeypatch.context() as patched:
        patched.setattr(desk.deciding.spool.__class__, "file_decision", _die)
        with pytest.raises(KeyboardInterrupt):
            desk.tend()

    desk.deciding.close()
    desk.deciding = Deciding(desk.installation.config, logs.get_logger("test"))
    desk.tend()

    assert desk.category(path) == "dots"
    assert [found.parent.name for found in files_below(desk.installation.paths.archive)] == ["dots"]
    assert desk.clean()


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_decision_by_folder_can_be_taken_back(desk: Desk) -> None:
    path = desk.waiting()
    desk.move(path, "dots")
    desk.tend()

    now = desk.installation.rows()[0].judged_at
    desk.deciding.withdraw([path.name[:26]], by="Anna", withdrawn_at=now)
    desk.tend()

    assert path.exists()
    assert desk.clean()


def test_what_is_decided_is_moved_out_of_a_folder_of_no_category(desk: Desk) -> None:
    moved = desk.move(desk.waiting(), "Strypes")
    desk.tend()
    now = datetime.now().astimezone()

    outcome = desk.deciding.decide(
        [moved.name[:26]], "stripes", reason=None, by="Anna", decided_at=now, categories=CATEGORIES
    )

    assert outcome.pending == []
    assert not moved.exists()
    assert [path.name for path in files_below(desk.installation.paths.archive)] == [moved.name]
    assert desk.clean()


def test_many_files_moved_at_once_are_all_decided(desk: Desk) -> None:
    for seed in range(20):
        desk.installation.drop(f"{seed}.jpg", tiny_jpeg("stripes", seed))
    desk.installation.work()
    desk.tend()

    for path in [path for path in desk.review.iterdir() if path.is_file()]:
        desk.move(path, "stripes")
    desk.tend()

    assert len(files_below(desk.installation.paths.archive)) == 20
    assert files_below(desk.review) == []
    assert desk.clean()
