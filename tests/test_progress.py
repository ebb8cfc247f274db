"""Progress: a bar on a terminal, a plain line now and then elsewhere, and nothing on stdout ever."""

import os
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from returnsd import progress


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every moment be one at which something is told."""
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)


@contextmanager
def terminal() -> Iterator[Callable[[], str]]:
    """Put a real terminal in the place of stderr; yield what reads all that was shown on it."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    os.set_blocking(ours, False)
    before = sys.stderr
    with os.fdopen(theirs, "w") as sys.stderr:

        def shown() -> str:
            sys.stderr.flush()
            return os.read(ours, 1 << 16).decode()

        try:
            yield shown
        finally:
            sys.stderr = before
    os.close(ours)


def test_all_things_come_through_one_by_one_as_they_are_asked_for() -> None:
    asked: list[int] = []

    def things() -> Iterator[int]:
        for number in range(3):
            asked.append(number)
            yield number

    shown = progress.shown(things(), 3, "things seen")

    first = next(shown)
    assert (first, asked) == (0, [0])
    assert list(shown) == [1, 2]


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    list(progress.shown(range(1000), 1000, "rows checked"))
    with progress.Counting("judged") as counting:
        counting.tell(1, 2)

    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("impatient")
def test_elsewhere_long_work_says_now_and_then_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    list(progress.shown("ab", 2, "rows checked"))

    assert capsys.readouterr() == ("", "rows checked: 1 of 2\nrows checked: 2 of 2\n")


@pytest.mark.usefixtures("impatient")
def test_elsewhere_work_without_a_known_end_says_what_is_done_and_waits(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Counting("judged") as counting:
        counting.tell(3, 10)
        counting.tell(8, 5)

    assert capsys.readouterr() == ("", "judged: 3, waiting: 10\njudged: 8, waiting: 5\n")


def test_on_a_terminal_a_bar_is_shown_and_taken_away_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal() as read:
        things = list(progress.shown(range(4), 4, "rows checked"))
        shown = read()

    assert things == [0, 1, 2, 3]
    assert "rows checked" in shown
    assert "0/4" in shown
    assert shown.endswith("\r")
    assert capsys.readouterr().out == ""


def test_on_a_terminal_the_counts_are_a_bar_too() -> None:
    with terminal() as read, progress.Counting("judged") as counting:
        counting._bar.mininterval = 0.0
        counting.tell(3, 10)
        counting.tell(8, 4)
        shown = read()

    assert "3/13" in shown
    assert "8/12" in shown
    assert "waiting:" not in shown
