"""The command line of training: clear errors for bad input, clear notes, nothing half-written."""

import os
import signal
import threading
from pathlib import Path

import pytest

from returnsd.bundle import Bundle
from tests.shop import CATEGORIES, draw_shop, shop_jpeg
from training import prepare
from training.__main__ import main

Capture = pytest.CaptureFixture[str]


def run(work: Path, *words: str) -> int:
    return main([*words, "--work", str(work), "--jobs", "1"])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return draw_shop(tmp_path / "pictures", 10, CATEGORIES[:3])


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


# --- bad input


@pytest.mark.parametrize("step", ["explore", "prepare"])
def test_missing_columns_are_named(step: str, pictures: Path, work: Path, capsys: Capture) -> None:
    (pictures.parent / "t.csv").write_text("file,kind\n000.jpg,Balls\n")

    assert run(work, step, str(pictures), "--csv", str(pictures.parent / "t.csv")) == 1

    said = capsys.readouterr().err
    assert "has no column ImgId or categories; it has file, kind" in said
    assert "give --image-column and --label-column" in said
    assert not work.exists()


def test_unknown_files_are_counted_and_the_rest_is_prepared(pictures: Path, work: Path, capsys: Capture) -> None:
    rows = [f"{path.relative_to(pictures)},{path.parent.name}" for path in sorted(pictures.rglob("*.jpg"))]
    rows += [f"gone-{number}.jpg,Balls" for number in range(30)]
    (pictures.parent / "t.csv").write_text("ImgId,categories\n" + "\n".join(rows))

    assert run(work, "prepare", str(pictures), "--csv", str(pictures.parent / "t.csv")) == 0

    said = capsys.readouterr().out
    assert f"line 32: gone-0.jpg is not in {pictures}" in said
    assert "30 labels without a picture" in said
    assert "30 pictures, 30 kept" in said


def test_one_category_only_is_a_clear_error(tmp_path: Path, work: Path, capsys: Capture) -> None:
    source = draw_shop(tmp_path / "one", 10, CATEGORIES[:1])

    assert run(work, "prepare", str(source)) == 1

    assert "at least two categories with 8 usable pictures each are needed" in capsys.readouterr().err
    assert not (work / "manifest.csv").exists()


def test_a_category_with_three_pictures_is_left_out_and_counted(
    pictures: Path, work: Path, capsys: Capture
) -> None:
    (pictures / "Rare").mkdir()
    for seed in range(3):
        (pictures / f"Rare/{seed}.jpg").write_bytes(shop_jpeg("Cables", 100 + seed))

    assert run(work, "prepare", str(pictures)) == 0

    assert "left out: 3 fewer than 8 pictures of Rare" in capsys.readouterr().out
    assert "Rare" in (work / "reports/prepare.html").read_text()


def test_unreadable_pictures_do_not_stop_any_step(pictures: Path, work: Path, capsys: Capture) -> None:
    (pictures / "Balls/half.jpg").write_bytes(shop_jpeg("Balls", 77)[:-100])
    assert run(work, "explore", str(pictures)) == 0
    assert run(work, "prepare", str(pictures)) == 0
    first = next(entry for entry in prepare.read(work / "manifest.csv") if entry.split == "train")
    Path(first.path).unlink()

    assert run(work, "extract", "--kind", "fast") == 0
    assert run(work, "train", "--kind", "fast", "--trees", "5") == 0

    said = capsys.readouterr().out
    assert "1 unreadable" in said
    assert "values each; 1 failed" in said
    assert (work / "failed.csv").read_text().startswith(f"path,reason\n{first.path},missing")
    assert "could not be seen any more" in (work / "reports/extract.html").read_text()


def test_a_category_whose_training_pictures_are_all_gone_is_a_clear_error(
    pictures: Path, work: Path, capsys: Capture
) -> None:
    assert run(work, "prepare", str(pictures)) == 0
    for entry in prepare.read(work / "manifest.csv"):
        if (entry.label, entry.split) == ("Books", "train"):
            Path(entry.path).unlink()
    assert run(work, "extract", "--kind", "fast") == 0

    assert run(work, "train", "--kind", "fast", "--trees", "5") == 1

    assert "no training picture of Books has features: see failed.csv" in capsys.readouterr().err
    assert not (work / "model").exists()


@pytest.mark.parametrize("step", [["extract"], ["train"], ["evaluate"], ["analyze"]])
def test_steps_out_of_order_say_which_comes_first(step: list[str], work: Path, capsys: Capture) -> None:
    assert run(work, *step) == 1

    assert "run `python -m training prepare` first" in capsys.readouterr().err


def test_training_before_extracting_says_what_to_run(pictures: Path, work: Path, capsys: Capture) -> None:
    assert run(work, "prepare", str(pictures)) == 0

    assert run(work, "train") == 1

    assert "run `python -m training extract --kind best` first" in capsys.readouterr().err


def test_a_bundle_of_other_categories_is_not_evaluated(
    pictures: Path, work: Path, tiny: Path, capsys: Capture
) -> None:
    assert run(work, "prepare", str(pictures)) == 0

    assert run(work, "evaluate", "--bundle", str(tiny)) == 1

    assert "have other categories (only in the manifest: Balls, Books, Cables; only in" in capsys.readouterr().err


@pytest.mark.parametrize("step", ["evaluate", "analyze"])
def test_without_a_bundle_the_error_says_where_it_was_sought(
    step: str, pictures: Path, work: Path, capsys: Capture
) -> None:
    assert run(work, "prepare", str(pictures)) == 0

    assert run(work, step) == 1

    assert f"there is no bundle in {work / 'model'}: give its directory with --bundle" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["features", "reports", "manifest.csv"])
def test_a_bundle_does_not_take_the_place_of_something_else(
    name: str, pictures: Path, work: Path, capsys: Capture
) -> None:
    assert run(work, "prepare", str(pictures)) == 0
    assert run(work, "extract", "--kind", "fast") == 0

    assert run(work, "train", "--kind", "fast", "--trees", "5", "--name", name) == 1

    assert "exists and is no bundle: give the new one another name" in capsys.readouterr().err
    assert run(work, "extract", "--kind", "fast") == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--name", "../evil"], "is no name of letters"),
        (["train", "--target-accuracy", "94"], "is no share between 0 and 1, like 0.94"),
        (["train", "--trees", "0"], "is no whole number from 1 up"),
        (["train", "--leaf", "-1"], "is no whole number from 1 up"),
        (["train", "--max-features", "0"], "is neither sqrt"),
        (["train", "--max-features", "2.5"], "is neither sqrt"),
        (["extract", "--jobs", "none"], "is no whole number from 1 up"),
        (["evaluate", "--target-accuracy", "1"], "is no share"),
        (["analyze", "--pictures", "0"], "is no whole number from 1 up"),
    ],
)
def test_values_out_of_range_are_told_before_anything_is_done(
    words: list[str], said: str, work: Path, capsys: Capture
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(work, *words)

    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_what_fails_fails_again_in_words(pictures: Path, work: Path, capsys: Capture) -> None:
    assert run(work, "prepare", str(pictures)) == 0
    Path(next(entry for entry in prepare.read(work / "manifest.csv") if entry.split == "train").path).unlink()
    assert run(work, "extract", "--kind", "fast") == 0

    assert run(work, "extract", "--kind", "fast") == 0

    assert capsys.readouterr().out.count("; 1 failed") == 2


@pytest.mark.parametrize("group", ["Balls=Cars", "Balls"])
def test_a_group_of_unknown_categories_is_refused(group: str, shop_work: Path, capsys: Capture) -> None:
    assert run(shop_work, "train", "--group", group) == 1

    assert "--group wants categories of the manifest joined by '='" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["train", "--max-features", "many"], ["train", "--kind", "worst"], ["bake"], ["train", "--wor", "x"], []],
)
def test_wrong_usage_is_exit_code_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)

    assert end.value.code == 2


# --- reports that exist


def test_an_existing_report_is_replaced_with_a_note(pictures: Path, work: Path, capsys: Capture) -> None:
    assert run(work, "explore", str(pictures)) == 0
    first = capsys.readouterr().out

    assert run(work, "explore", str(pictures)) == 0

    assert f"report: {work}/reports/explore.html\n" in first
    assert f"report: {work}/reports/explore.html (replaces an older one)\n" in capsys.readouterr().out


def test_a_file_named_reports_is_a_clear_error(pictures: Path, work: Path, capsys: Capture) -> None:
    work.mkdir()
    (work / "reports").write_text("mine")

    assert run(work, "explore", str(pictures)) == 1

    assert "reports/explore.html cannot be written" in capsys.readouterr().err
    assert (work / "reports").read_text() == "mine"


# --- again, and interrupted


def test_extracting_again_describes_nothing_twice(pictures: Path, work: Path, capsys: Capture) -> None:
    assert run(work, "prepare", str(pictures)) == 0
    assert run(work, "extract", "--kind", "fast") == 0
    (rows,) = (work / "features").rglob("rows.f32")
    before = rows.stat().st_mtime_ns
    capsys.readouterr()

    assert run(work, "extract", "--kind", "fast") == 0

    assert rows.stat().st_mtime_ns == before
    assert "none was left" in (work / "reports/extract.html").read_text()


def test_other_training_pictures_are_learnt_from_anew(pictures: Path, work: Path, tmp_path: Path) -> None:
    for source in (pictures, draw_shop(tmp_path / "more", 12, CATEGORIES[:3])):
        assert run(work, "prepare", str(source)) == 0
        assert run(work, "extract", "--kind", "fast") == 0

    assert len(list((work / "features").iterdir())) == 2


def test_an_interruption_says_how_to_go_on(work: Path, tmp_path: Path, capsys: Capture) -> None:
    fifo = tmp_path / "t.csv"
    os.mkfifo(fifo)

    def interrupt() -> None:
        with fifo.open("wb"):  # opens once prepare reads it, and then keeps it waiting
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            reading.wait()

    reading = threading.Event()
    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        code = run(work, "prepare", str(tmp_path), "--csv", str(fifo))
    finally:
        reading.set()
        interrupter.join()

    assert code == 130
    assert "interrupted; the same command goes on from here" in capsys.readouterr().err


# --- from decisions


def test_harvested_pictures_are_learnt_from_beside_the_others(
    pictures: Path, work: Path, tmp_path: Path, capsys: Capture
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    lines = ["path,label,item_id,decided_at"]
    for seed in range(10):
        (shelf / f"{seed}.jpg").write_bytes(shop_jpeg("Mugs", seed))
        lines.append(f"{shelf}/{seed}.jpg,Mugs,item{seed},2026-03-01T12:00:0{seed}+01:00")
    lines.append(f"{shelf}/gone.jpg,Mugs,itemx,2026-03-01T12:00:00+01:00")
    (tmp_path / "h.csv").write_text("\n".join(lines))

    assert run(work, "prepare", str(pictures), "--harvest", str(tmp_path / "h.csv")) == 0

    said = capsys.readouterr().out
    assert f"item itemx: {shelf}/gone.jpg is not there any more" in said
    assert "40 pictures, 40 kept" in said
    assert {entry.label for entry in prepare.read(work / "manifest.csv")} == {*CATEGORIES[:3], "Mugs"}


def test_harvests_alone_can_be_prepared(work: Path, tmp_path: Path) -> None:
    lines = ["path,label,item_id,decided_at"]
    source = draw_shop(tmp_path / "shop", 9, CATEGORIES[:2])
    lines += [f"{path},{path.parent.name},{path.parent.name}{path.stem}," for path in source.rglob("*.jpg")]
    (tmp_path / "h.csv").write_text("\n".join(lines))

    assert run(work, "prepare", "--harvest", str(tmp_path / "h.csv")) == 0

    assert len(prepare.read(work / "manifest.csv")) == 18


def test_what_comes_out_is_a_bundle_and_its_name_is_chosen(pictures: Path, work: Path) -> None:
    assert run(work, "prepare", str(pictures)) == 0
    assert run(work, "extract", "--kind", "fast") == 0

    assert run(work, "train", "--kind", "fast", "--trees", "5", "--name", "shop", "--version", "2.1") == 0

    assert Bundle.load(work / "shop").id.startswith("shop-2.1+")
