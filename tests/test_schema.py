"""Every ledger that was ever released opens with nothing lost, and a newer one is refused."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from returnsd import schema
from returnsd.errors import SpoolError
from returnsd.ledger import LEDGER, Ledger
from returnsd.records import Shelf
from tests.examples import enter, example_id, example_verdict

RELEASED = sorted((Path(__file__).parent / "ledgers").glob("schema-*.sql"))

CHANGE = "ALTER TABLE item ADD COLUMN weight_g INTEGER;\nUPDATE item SET weight_g = 7"
BROKEN = "ALTER TABLE item ADD COLUMN colour TEXT;\nUPDATE no_such_table SET colour = 'red'"


@pytest.fixture(params=RELEASED, ids=lambda path: path.stem)
def released(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A ledger as a released returnsd left it."""
    with closing(sqlite3.connect(tmp_path / LEDGER)) as db:
        db.executescript(request.param.read_text(encoding="utf-8"))
    return tmp_path / LEDGER


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def tables_of(path: Path) -> set[tuple[str, str]]:
    """Return the columns of every table, and the names of the indices."""
    with closing(sqlite3.connect(path)) as db:
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {(name, str(row[1:])) for name in names for row in db.execute(f"PRAGMA table_info({name})")}
        return columns | {
            ("index", row[0]) for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'index'")
        }


def test_every_released_version_has_a_ledger_to_try_it_on() -> None:
    assert [path.stem for path in RELEASED] == [f"schema-{n}" for n in range(1, len(schema.STEPS) + 1)]


def test_a_released_ledger_opens_with_all_it_held(released: Path) -> None:
    with closing(Ledger(released)) as ledger:
        rows = [verdict for _, verdict in ledger.verdicts_of()]
        decision = ledger.decision(example_id(2))

        assert [verdict.item_id for verdict in rows] == [example_id(n) for n in (1, 2, 3, 4, 7)]
        assert rows[0] == example_verdict(1, shelf=Shelf.ARCHIVE, reason="confident", confidence=0.97)
        assert rows[4].file_name == "caf\udce9.jpg"
        assert rows[4].duplicate_of == example_id(1)
        assert decision is not None
        assert (decision.category, decision.decided_by) == ("stripes", "anna")
        assert ledger.unjudged() == [example_id(5), example_id(6)]
        assert ledger.expired() == {example_id(4)}


def test_a_released_ledger_becomes_what_a_new_one_is_and_works(released: Path, tmp_path: Path) -> None:
    Ledger(tmp_path / "new.sqlite").close()
    with closing(Ledger(released)) as ledger:
        enter(ledger, example_verdict(8))

        assert ledger.counts()["rows"] == 6

    assert tables_of(released) == tables_of(tmp_path / "new.sqlite")
    assert version_of(released) == len(schema.STEPS)


def brought_up(path: Path, *steps: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA busy_timeout = 30000")
        schema.bring_up(db, path, [*schema.STEPS, *steps])


def test_steps_are_taken_once_in_their_order_and_the_ledger_before_them_is_kept(tmp_path: Path) -> None:
    path = tmp_path / LEDGER
    with closing(Ledger(path)) as ledger:
        enter(ledger, example_verdict(1))

    brought_up(path, CHANGE, "UPDATE item SET weight_g = weight_g * 2")
    brought_up(path, CHANGE, "UPDATE item SET weight_g = weight_g * 2")

    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT weight_g FROM item").fetchall() == [(14,)]
    assert version_of(path) == len(schema.STEPS) + 2
    with closing(Ledger(tmp_path / f"{LEDGER}.version-{len(schema.STEPS)}", read_only=True)) as kept:
        assert kept.verdict(example_id(1)) == example_verdict(1)


def test_a_step_that_fails_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / LEDGER
    Ledger(path).close()
    before = tables_of(path)

    with pytest.raises(sqlite3.OperationalError, match="no_such_table"):
        brought_up(path, BROKEN)

    assert tables_of(path) == before
    assert version_of(path) == len(schema.STEPS)
    Ledger(path).close()


def test_two_that_start_at_once_take_each_step_once_and_keep_the_older_ledger(tmp_path: Path) -> None:
    path = tmp_path / LEDGER
    Ledger(path).close()
    together = threading.Barrier(4)

    def start() -> None:
        together.wait()
        brought_up(path, CHANGE)

    with ThreadPoolExecutor(4) as starters:
        for started in [starters.submit(start) for _ in range(4)]:
            started.result()

    assert version_of(path) == len(schema.STEPS) + 1
    assert version_of(tmp_path / f"{LEDGER}.version-{len(schema.STEPS)}") == len(schema.STEPS)


def test_a_new_ledger_keeps_no_copy_of_nothing(tmp_path: Path) -> None:
    Ledger(tmp_path / LEDGER).close()

    assert [path.name for path in tmp_path.iterdir()] == [LEDGER]


def test_a_newer_ledger_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / LEDGER
    brought_up(path, CHANGE)

    with pytest.raises(SpoolError, match=r"run the newer returnsd, or bring back the copy it kept") as refused:
        Ledger(path)

    assert f"{LEDGER}.version-{len(schema.STEPS)}" in str(refused.value)


def test_a_reader_of_an_older_ledger_asks_for_the_service_to_be_started(tmp_path: Path) -> None:
    path = tmp_path / LEDGER
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")

    with pytest.raises(SpoolError, match="start the service once"):
        Ledger(path, read_only=True)
