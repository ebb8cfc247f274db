"""The judge: many ask at once, decoders die, models change; everyone gets an answer."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from returnsd import config as configuration
from returnsd import logs, policy
from returnsd.bundle import Bundle
from returnsd.config import Config
from returnsd.errors import BundleError
from returnsd.web import judge as judging
from returnsd.web.judge import Judge
from returnsd.web.problems import Busy
from returnsd.worker import Model
from tests.tiny import CATEGORIES, tiny_jpeg


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return Model(Bundle.load(tiny), policy.Rule(0.9, 0.05))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    base = configuration.default(tmp_path_factory.mktemp("judge"))
    return replace(base, workers=1, limits=replace(base.limits, decode_s=5.0))


@pytest.fixture
def judge(config: Config, model: Model) -> Iterator[Judge]:
    made = Judge(config, model, logs.get_logger("test"))
    made.start()
    yield made
    made.stop()


def decoders() -> set[int]:
    """Return the ids of the decoder processes that this process started."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        found |= {int(pid) for pid in path.read_text().split()}
    return {pid for pid in found if b"returnsd.vision.decoder" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def eventually(true: Callable[[], bool], within_s: float = 20.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False


def test_a_picture_is_judged_as_the_worker_would(judge: Judge) -> None:
    opinion = asyncio.run(judge.opinion(tiny_jpeg("stripes", 1)))

    assert opinion.prediction is not None
    assert opinion.prediction.category == opinion.ranked[0][0] == "stripes"
    assert (opinion.shelf, opinion.reason) == policy.choose_shelf(opinion.prediction, judge.model.rule)
    assert {category for category, _ in opinion.ranked} == set(CATEGORIES)


def test_many_who_ask_at_once_get_their_own_answers(judge: Judge) -> None:
    async def ask_all() -> list[str]:
        asked = [judge.opinion(tiny_jpeg("stripes", n) if n % 3 else b"no picture") for n in range(60)]
        return [
            opinion.ranked[0][0] if opinion.ranked else opinion.reason for opinion in await asyncio.gather(*asked)
        ]

    answers = asyncio.run(ask_all())

    assert answers == ["stripes" if n % 3 else "not_a_picture" for n in range(60)]


def test_a_preview_is_a_jpeg_of_the_wanted_size(judge: Judge) -> None:
    picture = cv2.imencode(".png", np.full((300, 600, 3), 200, np.uint8))[1].tobytes()

    preview = asyncio.run(judge.preview(picture, 120))
    nothing = asyncio.run(judge.preview(b"no picture", 120))

    assert preview is not None
    assert cv2.imdecode(np.frombuffer(preview, np.uint8), cv2.IMREAD_COLOR).shape == (60, 120, 3)
    assert nothing is None


def test_previews_for_people_go_before_the_questions_of_programs(judge: Judge) -> None:
    async def ask_all() -> list[str]:
        order: list[str] = []

        async def note(name: str, asked: object) -> None:
            await asked  # type: ignore[misc]
            order.append(name)

        questions = [note("question", judge.opinion(tiny_jpeg("dots", n))) for n in range(80)]
        tasks = [asyncio.create_task(question) for question in questions]
        await asyncio.sleep(0)
        await asyncio.gather(note("preview", judge.preview(tiny_jpeg("dots", 1), 100)), *tasks)
        return order

    order = asyncio.run(ask_all())

    assert order.index("preview") < 40


def test_beyond_the_bound_a_client_is_told_to_come_again(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "_MOST_ASKED", 3)

    async def ask_all() -> list[object]:
        return await asyncio.gather(
            *(judge.opinion(tiny_jpeg("dots", n)) for n in range(10)), return_exceptions=True
        )

    answers = asyncio.run(ask_all())

    assert 1 <= sum(isinstance(answer, Busy) for answer in answers) <= 7
    assert judge.asked == 0


def test_an_idle_decoder_that_is_killed_costs_nobody_anything(judge: Judge) -> None:
    before = decoders()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: bool(decoders() - before))

    answers = [asyncio.run(judge.opinion(tiny_jpeg("stripes", n))) for n in range(5)]

    assert [answer.ranked[0][0] for answer in answers] == ["stripes"] * 5


def test_when_the_decoders_cannot_go_on_those_who_wait_are_told_and_later_ones_answered(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "_PAUSE_S", 0.01)
    with monkeypatch.context() as broken:
        broken.setattr(judge.model.bundle.__class__, "predict_proba", _fail)
        with pytest.raises(Busy):
            asyncio.run(judge.opinion(tiny_jpeg("stripes", 1)))

    after = asyncio.run(judge.opinion(tiny_jpeg("stripes", 1)))

    assert after.ranked[0][0] == "stripes"
    assert judge.answering


def _fail(*_: object) -> None:
    raise ValueError("rows of another number of features")


def test_another_model_takes_over_while_clients_ask(judge: Judge, model: Model) -> None:
    strict = replace(model, rule=policy.Rule(None, 0.05))

    async def ask_on() -> list[str]:
        asked = [asyncio.create_task(judge.opinion(tiny_jpeg("stripes", n))) for n in range(30)]
        await judge.use(strict)
        asked += [asyncio.create_task(judge.opinion(tiny_jpeg("stripes", n))) for n in range(3)]
        return [opinion.reason for opinion in await asyncio.gather(*asked)]

    reasons = asyncio.run(ask_on())

    assert reasons[-3:] == ["no_certified_threshold"] * 3
    assert len(reasons) == 33


def test_a_model_that_cannot_be_used_is_refused_and_the_old_one_stays(
    judge: Judge, model: Model, tiny: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny, tmp_path / "broken")
    (tmp_path / "broken/features.npz").write_bytes(b"nothing")
    broken = replace(model, bundle=replace(model.bundle, directory=tmp_path / "broken"))

    with pytest.raises(BundleError):
        asyncio.run(judge.use(broken))

    assert judge.model is model
    assert asyncio.run(judge.opinion(tiny_jpeg("stripes", 1))).ranked[0][0] == "stripes"


def test_stopping_ends_the_decoders_and_tells_those_who_wait(config: Config, model: Model) -> None:
    judge = Judge(config, model, logs.get_logger("test"))
    before = decoders()
    judge.start()
    mine = decoders() - before

    judge.stop()

    assert mine
    assert eventually(lambda: not decoders() & mine)
    assert not judge.answering
    with pytest.raises(Busy):
        asyncio.run(judge.opinion(tiny_jpeg("stripes", 1)))
