"""The commands, as a person types them."""

import json
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from returnsd.cli import main
from tests.installation import files_below
from tests.tiny import CATEGORIES, tiny_jpeg


@pytest.fixture
def here(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a config.yaml and a model."""
    (tmp_path / "config.yaml").write_text(
        f"model: {{bundle: {tiny}, target_accuracy: 0.9}}\nwatch: {{settle_s: 0.01, patience_s: 0.05}}\n"
        "log: {level: error}\n"
    )
    (tmp_path / "var/inbox").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def judged(here: Path, count: int = 6) -> None:
    for number in range(count):
        (here / f"var/inbox/{number}.jpg").write_bytes(tiny_jpeg(CATEGORIES[number % 3], number))
    assert main(["batch"]) == 0


def test_classify_tells_category_confidence_shelf_and_runners_up(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "photo.jpg").write_bytes(tiny_jpeg("stripes", 3))

    status = main(["classify", "photo.jpg"])

    said = capsys.readouterr().out
    assert status == 0
    assert said.startswith("photo.jpg: stripes ")
    assert "-> archive (confident)" in said
    assert "then " in said


def test_classify_for_scripts_is_one_json_object_a_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        (here / f"{number}.jpg").write_bytes(tiny_jpeg("stripes", number))
    (here / "broken.jpg").write_bytes(b"no picture")

    status = main(["classify", "--json", "0.jpg", "1.jpg", "broken.jpg", "2.jpg", "missing.jpg"])

    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert status == 1
    assert [answer["file"] for answer in answers] == ["0.jpg", "1.jpg", "broken.jpg", "2.jpg", "missing.jpg"]
    assert [answer["shelf"] for answer in answers] == ["archive", "archive", "rejected", "archive", "rejected"]
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1.0)
    assert answers[2]["reason"] == "not_a_picture"


def test_classify_touches_nothing(here: Path) -> None:
    (here / "photo.jpg").write_bytes(tiny_jpeg("stripes", 3))
    before = files_below(here)

    main(["classify", "photo.jpg"])

    assert files_below(here) == before


def test_status_works_before_it_ever_ran_and_after(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    assert "not running" in capsys.readouterr().out
    judged(here)
    capsys.readouterr()

    assert main(["status", "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert (told["running"], told["total"]["received"], told["inbox_files"]) == (False, 6, 0)


def test_a_decision_moves_the_file_and_is_written_to_the_day(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged(here)
    waiting = files_below(here / "var/review")

    status = main(["decide", str(waiting[0]), "stripes", "--by", "anna"])

    assert status == 0
    assert not waiting[0].exists()
    assert [path.name for path in (here / "var/archive").rglob("stripes/*") if path.name == waiting[0].name]
    (decisions,) = (here / "var/results").glob("decisions-*.csv")
    assert b"anna" in decisions.read_bytes()
    assert main(["audit"]) == 0


def test_a_rejection_by_a_person_keeps_the_file(here: Path) -> None:
    judged(here)
    waiting = files_below(here / "var/review")

    status = main(["decide", waiting[0].name[:26], "--reject", "blurred"])

    assert status == 0
    assert (here / "var/rejected" / waiting[0].name).exists()
    assert main(["audit"]) == 0


def test_a_decision_on_an_item_without_its_file_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged(here)
    gone = files_below(here / "var/review")[0]
    gone.unlink()

    status = main(["decide", gone.name, "stripes"])

    told = capsys.readouterr()
    assert status == 1
    assert "decided by" in told.out
    assert "it is recorded, but its file" in told.err
    assert "is missing from review" in told.err


def test_a_decision_whose_file_cannot_be_moved_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged(here)
    waiting = files_below(here / "var/review")[0]
    shutil.rmtree(here / "var/archive")
    (here / "var/archive").mkdir()
    (here / "var/archive" / date.today().isoformat()).write_text("a file")

    status = main(["decide", waiting.name, "stripes"])

    assert status == 0
    assert "it is recorded, but its file is not moved yet: in paths.archive a file lies" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["decide", "nonsense", "dots"], "no item id"),
        (["decide", "0" * 26, "dots"], "no item"),
        (["decide", "0" * 26], "either a CATEGORY or --reject"),
    ],
)
def test_a_decision_that_cannot_be_taken_says_why(
    arguments: list[str], said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged(here)

    assert main(arguments) == 1
    assert said in capsys.readouterr().err


def test_an_unknown_category_is_answered_with_the_nearest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged(here)
    waiting = files_below(here / "var/review")

    assert main(["decide", waiting[0].name, "strips"]) == 1

    assert "did you mean stripes" in capsys.readouterr().err


def test_audit_finds_what_was_lost_doubled_or_changed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged(here, 9)
    first, second, third, *_ = files_below(here / "var/review") + files_below(here / "var/archive")
    first.unlink()
    second.write_bytes(b"changed")
    third.with_name(third.name + "2").write_bytes(third.read_bytes())
    (results,) = (here / "var/results").glob("returns-*.csv")
    results.write_bytes(results.read_bytes() + b"edited\r\n")

    capsys.readouterr()
    status = main(["audit", "--json"])

    found = json.loads(capsys.readouterr().out)
    assert status == 1
    assert not found["clean"]
    faults = " ".join(found["faults"])
    for path in (first, second, third):
        assert path.name[:26] in faults
    assert "rebuild-results" in faults


def test_rebuild_results_restores_every_byte(here: Path) -> None:
    judged(here)
    (results,) = (here / "var/results").glob("returns-*.csv")
    whole = results.read_bytes()
    results.write_bytes(b"edited by hand")

    assert main(["rebuild-results"]) == 0

    assert results.read_bytes() == whole


def test_the_model_can_be_listed_shown_checked(here: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "list"]) == 0
    assert main(["model", "show"]) == 0
    assert main(["model", "check"]) == 0

    said = capsys.readouterr().out
    assert "tiny-1.0" in said
    assert "(target_accuracy 0.9)" in said
    assert len(said.splitlines()) < 25
    assert "sees its known picture rightly" in said


def test_another_model_is_written_into_the_configuration_and_nothing_else(here: Path, tiny: Path) -> None:
    text = "# mine\nmodel:\n  bundle: retail21  # the usual\n  target_accuracy: 0.9\n"
    (here / "config.yaml").write_text(text)

    assert main(["model", "use", str(tiny)]) == 0

    assert (here / "config.yaml").read_text() == text.replace("retail21", str(tiny))


def test_a_model_that_is_not_there_is_answered_with_those_that_are(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "config.yaml").write_text("model: {bundle: nothing}\n")

    assert main(["config", "check"]) == 78

    assert "no bundle is called 'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("web", "said"),
    [
        ("{host: 0.0.0.0}", "web.host: 0.0.0.0 can be reached from other machines"),
        ("{token_file: nowhere}", "nowhere cannot be read: no such file or directory"),
        ("{token_file: open}", "everybody on this machine may use"),
        ("{token_file: short}", "must hold one line of at least 16"),
    ],
)
def test_what_the_page_would_refuse_is_found_by_the_check_with_all_other_faults(
    web: str, said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "open").write_text("a-token-of-twenty-letters")
    (here / "open").chmod(0o644)
    (here / "short").touch(0o600)
    (here / "short").write_text("short")
    (here / "config.yaml").write_text(f"model: {{bundle: nothing}}\nweb: {web}\n")

    assert main(["config", "check"]) == 78

    told = capsys.readouterr().err
    assert said in told
    assert "no bundle is called 'nothing'" in told


def test_the_reference_names_every_key(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "reference"]) == 0

    said = capsys.readouterr().out
    for key in ("paths.inbox", "watch.settle_s", "batch.max_items", "model.target_accuracy", "keep.archive_days"):
        assert f"`{key}`" in said


def test_what_is_shown_is_what_is_read(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show"]) == 0
    shown = capsys.readouterr().out
    (here / "other.yaml").write_text(shown)

    assert main(["config", "show", "--config", "other.yaml"]) == 0

    assert capsys.readouterr().out == shown


def test_a_command_before_the_first_run_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit"]) == 1

    assert "has not run with this configuration yet" in capsys.readouterr().err


def test_usage_errors_end_with_2(here: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fly"])

    assert ended.value.code == 2


def test_a_configuration_that_cannot_be_read_ends_with_78(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.unlink(here / "config.yaml")

    assert main(["status", "--config", "nowhere.yaml"]) == 78

    assert "nowhere.yaml" in capsys.readouterr().err


def test_output_that_no_one_reads_any_more_ends_it_quietly(here: Path) -> None:
    command = [sys.executable, "-m", "returnsd", "config", "reference"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=here) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()

        assert process.stderr.read() == b""


def test_a_ledger_that_cannot_be_written_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged(here)
    item = next((here / "var/review").iterdir()).name
    command = f"ulimit -f 0; exec {sys.executable} -m returnsd decide {item} stripes --by me"

    ended = subprocess.run(["bash", "-c", command], cwd=here, capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert ended.stderr.startswith("returnsd: the ledger: ")
    assert main(["audit"]) == 0
