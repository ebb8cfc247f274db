"""The waiting room and its groups: what waits, in a useful order, up to date whatever others do."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from returnsd import logs
from returnsd.bundle import Bundle
from returnsd.history import History
from returnsd.ledger import LEDGER
from returnsd.memory import Memory
from returnsd.policy import Rule
from returnsd.web import waiting
from returnsd.web.alike import Alike
from returnsd.web.deciding import Deciding
from returnsd.web.view import views_of
from returnsd.web.waiting import WaitingRoom
from returnsd.worker import Model
from tests.installation import HerePool, Installation
from tests.tiny import CATEGORIES, tiny_jpeg
from tests.web import commented
from training import kernel


@dataclass
class Room:
    """A waiting room over an installation in which everything goes to review."""

    installation: Installation
    deciding: Deciding
    history: History
    room: WaitingRoom

    def receive(self, category: str, *seeds: int) -> list[str]:
        before = {row.item_id for row in self.installation.rows()}
        for seed in seeds:
            self.installation.drop(f"{category}-{seed}.jpg", tiny_jpeg(category, seed))
        self.installation.work()
        return [row.item_id for row in self.installation.rows() if row.item_id not in before]

    def decide(self, *item_ids: str, by: str = "Anna") -> None:
        now = datetime.now().astimezone()
        self.deciding.decide(item_ids, "dots", reason=None, by=by, decided_at=now, categories=CATEGORIES)

    def withdraw(self, *item_ids: str) -> None:
        self.deciding.withdraw(item_ids, by="Anna", withdrawn_at=datetime.now().astimezone())

    def held(self) -> set[str]:
        self.room.refresh(self.history)
        return set(self.room.held)


@pytest.fixture
def room(tmp_path: Path, tiny: Path) -> Iterator[Room]:
    installation = Installation(tmp_path, Bundle.load(tiny), HerePool(tiny))
    installation.worker.model = Model(installation.model.bundle, Rule(None, 0.05))
    deciding = Deciding(installation.config, logs.get_logger("test"))
    history = History(installation.paths.state / LEDGER)
    yield Room(installation, deciding, history, WaitingRoom())
    history.close()
    deciding.close()
    installation.close()


def test_what_arrives_waits_and_what_is_decided_leaves(room: Room) -> None:
    first, second = room.receive("stripes", 1, 2)
    before = room.held()
    version = room.room.version

    room.decide(first)
    (third,) = room.receive("stripes", 3)

    assert before == {first, second}
    assert room.held() == {second, third}
    assert room.room.gone_since(version) == [first]


def test_a_decision_that_was_taken_back_waits_again(room: Room) -> None:
    first, second = room.receive("stripes", 1, 2)
    room.held()

    room.decide(first, second)
    room.withdraw(first)
    at_once = room.held()
    room.withdraw(second)
    room.decide(second)

    assert at_once == {first}
    assert room.held() == {first}


def test_what_was_decided_before_we_looked_does_not_wait(room: Room) -> None:
    first, second = room.receive("stripes", 1, 2)
    room.decide(first)

    assert room.held() == {second}


def test_only_so_many_are_held_and_the_rest_come_as_places_become_free(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MOST_HELD", 5)
    ids = room.receive("stripes", *range(12))
    held = room.held()
    count = room.room.count

    room.decide(*held)

    assert (len(held), count) == (5, 12)
    assert len(room.held()) == 5
    assert room.room.count == 7
    assert held.isdisjoint(room.room.held)
    assert set(ids) >= set(room.room.held)


def test_alike_pictures_stand_together_and_come_first(room: Room) -> None:
    for number in range(5):
        room.installation.drop(f"same-{number}.jpg", commented(tiny_jpeg("stripes", 5), str(number)))
    room.receive("dots", *range(6))
    room.held()

    first, *others = room.room.arrange("alike")

    assert first.alike
    assert {item.file_name for item in first.items} == {f"same-{number}.jpg" for number in range(5)}
    assert sum(len(section.items) for section in others) == 6


@pytest.mark.parametrize("order", ["oldest", "unsure"])
def test_the_oldest_or_the_least_sure_come_first_where_that_is_wanted(order: str, room: Room) -> None:
    room.receive("stripes", *range(3))
    room.receive("dots", *range(3))
    room.held()

    (section,) = room.room.arrange(order)  # type: ignore[arg-type]

    if order == "oldest":
        keys: list[object] = [item.item_id for item in section.items]
    else:
        keys = [item.confidence for item in section.items]
    assert keys == sorted(keys)  # type: ignore[type-var]


def test_who_looks_at_what_is_told_to_the_others_for_a_while() -> None:
    room = WaitingRoom()
    room.look("a", "Anna", ["x", "y"], now=0.0)

    soon = room.look("b", "Ben", ["y"], now=5.0)
    mine = room.look("a", "Anna", ["x"], now=6.0)
    later = room.look("b", "Ben", ["y"], now=60.0)

    assert soon == {"x": "Anna", "y": "Anna"}
    assert mine == {"y": "Ben"}
    assert later == {}


# --- groups


def test_pictures_of_one_kind_stand_together_however_many_come() -> None:
    dice = np.random.default_rng(1)
    middles = dice.normal(0, 1, (5, 60)).astype(np.float32)
    alike = Alike()

    for start in range(0, 300, 50):
        kinds = dice.integers(0, 5, 50)
        rows = middles[kinds] + dice.normal(0, 0.2, (50, 60)).astype(np.float32)
        alike.add([f"{start + n}-{kind}" for n, kind in enumerate(kinds)], rows.astype(np.float32))

    for members in alike.members.values():
        assert len({key.rpartition("-")[2] for key in members}) == 1
    assert max(len(members) for members in alike.members.values()) > 30


def test_pictures_that_have_nothing_in_common_stand_alone() -> None:
    rows = np.random.default_rng(1).normal(0, 1, (100, 60)).astype(np.float32)
    alike = Alike()

    alike.add([str(n) for n in range(100)], rows)

    assert max(len(members) for members in alike.members.values()) == 1


def test_the_same_picture_twice_is_alike_even_when_there_is_nothing_else() -> None:
    row = np.random.default_rng(1).normal(0, 1, (1, 60)).astype(np.float32)
    alike = Alike()

    alike.add(["a", "b"], np.vstack([row, row]))

    assert alike.group_of["a"] == alike.group_of["b"]


def test_a_picture_that_left_can_come_back() -> None:
    rows = np.random.default_rng(1).normal(0, 1, (40, 60)).astype(np.float32)
    alike = Alike()
    alike.add([str(n) for n in range(40)], rows)

    alike.remove("3")
    gone = "3" in alike.group_of
    alike.add(["3"], rows[3:4])

    assert not gone
    assert "3" in alike.group_of


def test_another_models_features_begin_anew() -> None:
    dice = np.random.default_rng(1)
    alike = Alike()
    alike.add(["old"], dice.normal(0, 1, (1, 60)).astype(np.float32))

    alike.add(["new"], dice.normal(0, 1, (1, 80)).astype(np.float32))

    assert set(alike.group_of) == {"new"}


def test_with_many_categories_pictures_are_alike_that_the_forest_says_the_same_of(tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    many = replace(bundle, categories=tuple(f"category {n}" for n in range(12)))
    rows = np.zeros((2, bundle.forest.features), np.float32)

    said, seen, foreign = (views_of(one)[0].rows(rows) for one in (many, bundle, None))

    assert said.shape == (2, len(CATEGORIES))  # the forest's own, whatever the categories are called
    assert np.exp(said).sum(axis=1) == pytest.approx(1.0, abs=0.05)
    assert (seen == rows).all()
    assert (foreign == rows).all()


def test_with_few_categories_the_directions_are_compared_if_there_are_any(tiny: Path) -> None:
    truth = np.arange(6) % len(CATEGORIES)
    directions = np.random.default_rng(1).normal(0, 1, (6, 40)).astype(np.float32)
    memory = Memory(kernel.fit(directions, truth, len(CATEGORIES), 0.1, seed=1).arrays(), len(CATEGORIES))
    bundle = replace(Bundle.load(tiny), memory=memory)
    rows = np.random.default_rng(2).normal(0, 1, (2, 345)).astype(np.float32)

    (few,), (foreign,) = views_of(bundle), views_of(None)
    _, looks = views_of(replace(bundle, categories=tuple(f"category {n}" for n in range(12))))

    assert (few.rows(rows) == rows[:, 305:]).all()
    assert (looks.rows(rows) == rows[:, 305:]).all()
    assert (foreign.rows(rows) == rows[:, :305]).all()


def test_of_pictures_of_which_the_forest_is_not_sure_only_those_that_look_alike_stand_together(room: Room) -> None:
    ids = room.receive("stripes", 2, 71, 30)
    room.held()
    said = Alike(-1.0)  # as if the forest said the same of all
    said.add(ids, np.ones((3, 5), np.float32))
    (looks,) = room.room._alike.values()
    room.room._alike = {(0.0, "judged"): looks, (2.0, "judged"): said}  # nothing is as sure as that

    sections = room.room.arrange("alike")

    assert [len(section.items) for section in sections if section.alike] == [
        len(members) for members in looks.members.values() if len(members) > 1
    ]

    room.room._alike = {(0.0, "judged"): looks, (0.1, "judged"): said}
    assert [len(section.items) for section in room.room.arrange("alike") if section.alike] == [3]


def test_alike_pictures_of_different_predicted_categories_do_not_stand_together(room: Room) -> None:
    ids = room.receive("stripes", *range(12)) + room.receive("dots", *range(12))
    room.held()

    sections = room.room.arrange("alike")

    assert sum(len(section.items) for section in sections) == len(ids)
    for section in sections:
        assert {item.category for item in section.items} == {section.category}
