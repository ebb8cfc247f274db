"""The decoder processes behind the pool: real ones, with pictures that kill them or take for ever."""

import os
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from returnsd.bundle import Bundle
from returnsd.errors import BundleError
from returnsd.vision.pool import Job, Pool, Seen
from tests.pictures import NAMES, whole
from tests.tiny import tiny_jpeg

# A real decoder that ends or hangs on pictures that ask for it, as a flaw in a codec would make it.
FRAGILE = """
import os, time
from returnsd.vision import decoder
decode = decoder.decode
def fragile(data, limits):
    if b"CRASH" in data:
        os._exit(3)
    if b"HANG" in data:
        time.sleep(600)
    return decode(data, limits)
decoder.decode = fragile
decoder.main()
"""

Make = Callable[..., Pool]


@pytest.fixture
def make(tiny: Path, tmp_path: Path) -> Iterator[Make]:
    fragile = tmp_path / "fragile.py"
    fragile.write_text(textwrap.dedent(FRAGILE))
    made: list[Pool] = []

    def one(workers: int = 1, decode_s: float = 20.0, attempts: int = 2, pixels_mp: int = 50) -> Pool:
        pool = Pool(
            tiny,
            workers,
            decode_s=decode_s,
            pixels_mp=pixels_mp,
            attempts=attempts,
            command=(sys.executable, str(fragile)),
        )
        pool.start()
        made.append(pool)
        return pool

    yield one
    for pool in made:
        pool.stop()


def all_of(pool: Pool, count: int, within_s: float = 60.0) -> dict[str, Seen]:
    seen: dict[str, Seen] = {}
    deadline = time.monotonic() + within_s
    while len(seen) < count:
        assert time.monotonic() < deadline, f"only {sorted(seen)}"
        for one in pool.collect(1.0):
            assert one.key not in seen
            seen[one.key] = one
    return seen


def jobs(count: int) -> list[Job]:
    return [Job(str(number), tiny_jpeg("dots", number)) for number in range(count)]


def test_many_pictures_are_seen_each_once(make: Make) -> None:
    pool = make(workers=2)
    pool.submit(jobs(200))

    seen = all_of(pool, 200)

    assert sorted(seen, key=int) == [str(number) for number in range(200)]
    assert all(one.features is not None for one in seen.values())
    assert pool.outstanding == 0


def test_the_same_picture_is_seen_the_same_alone_and_among_others(make: Make) -> None:
    pool = make(workers=2)
    pool.submit([Job(f"{number}", tiny_jpeg("dots", number % 3)) for number in range(30)])

    seen = all_of(pool, 30)

    for number in range(3, 30):
        assert np.array_equal(seen[str(number)].features, seen[str(number % 3)].features)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_picture_gets_through_the_walls(name: str, shared_pool: Pool) -> None:
    shared_pool.submit([Job(name, whole(name))])

    (seen,) = all_of(shared_pool, 1).values()

    assert seen.features is not None, (seen.reason, seen.detail)


@pytest.fixture(scope="module")
def shared_pool(tiny: Path) -> Iterator[Pool]:
    pool = Pool(tiny, 1, decode_s=20, pixels_mp=50, attempts=2)
    pool.start()
    yield pool
    pool.stop()


def test_a_crash_is_the_fault_of_one_picture_and_its_neighbours_are_seen(make: Make) -> None:
    pool = make(workers=1)
    many = jobs(30)
    many[10] = Job("10", tiny_jpeg("dots", 10) + b"CRASH")
    pool.submit(many)

    seen = all_of(pool, 30)

    assert {key for key, one in seen.items() if one.features is None} == {"10"}
    assert (seen["10"].reason, seen["10"].detail) == ("decoder_crashed", "exit status 3")


def test_several_crashing_pictures_are_all_found(make: Make) -> None:
    pool = make(workers=2)
    many = [Job(str(n), tiny_jpeg("dots", n) + (b"CRASH" if n % 7 == 0 else b"")) for n in range(40)]
    pool.submit(many)

    seen = all_of(pool, 40)

    assert {int(key) for key, one in seen.items() if one.reason == "decoder_crashed"} == {0, 7, 14, 21, 28, 35}


def test_a_picture_that_takes_too_long_is_given_up_and_its_neighbours_are_seen(make: Make) -> None:
    pool = make(workers=1, decode_s=0.5)
    pool.submit(
        [
            *jobs(5),
            Job("slow", tiny_jpeg("dots", 9) + b"HANG"),
            *[Job(f"after-{n}", tiny_jpeg("dots", n)) for n in range(5)],
        ]
    )

    seen = all_of(pool, 11)

    assert [key for key, one in seen.items() if one.features is None] == ["slow"]
    assert seen["slow"].reason == "decode_timeout"


def test_a_decoder_killed_from_outside_costs_no_picture(make: Make) -> None:
    pool = make(workers=2)
    pool.submit(jobs(100))
    pool.collect(5.0)
    for pid in pool.process_ids():
        os.kill(pid, signal.SIGKILL)

    seen = all_of(pool, 100 - (100 - pool.outstanding))

    assert all(one.features is not None for one in seen.values())


def test_what_is_no_picture_is_told_with_its_reason(make: Make) -> None:
    pool = make()
    bomb = cv2.imencode(".png", np.zeros((2000, 2000), np.uint8))[1].tobytes()
    pool.submit([Job("text", b"hello"), Job("cut", tiny_jpeg("dots", 1)[:-10]), Job("bomb", bomb)])
    small = make(pixels_mp=1)
    small.submit([Job("bomb", bomb)])

    seen = all_of(pool, 3)

    assert {key: one.reason for key, one in seen.items()} == {
        "text": "not_a_picture", "cut": "incomplete", "bomb": None
    }  # fmt: skip
    assert all_of(small, 1)["bomb"].reason == "too_many_pixels"


def test_a_large_file_travels_whole(make: Make) -> None:
    pool = make()
    noise = np.random.default_rng(1).integers(0, 255, (1800, 1800, 3), dtype=np.uint8)
    large = cv2.imencode(".png", noise)[1].tobytes()
    pool.submit([Job("large", large), *jobs(3)])

    seen = all_of(pool, 4)

    assert len(large) > 9_000_000
    assert all(one.features is not None for one in seen.values())


def test_a_preview_is_a_small_jpeg(make: Make) -> None:
    pool = make()
    picture = cv2.imencode(".png", np.full((900, 600, 3), 77, np.uint8))[1].tobytes()
    pool.submit([Job("a", picture, preview_px=300)])

    preview = all_of(pool, 1)["a"].preview

    assert preview is not None
    assert cv2.imdecode(np.frombuffer(preview, np.uint8), cv2.IMREAD_COLOR).shape == (300, 200, 3)


def test_a_bundle_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    pool = Pool(tmp_path / "nothing", 1, decode_s=5, pixels_mp=50, attempts=2)
    pool.start()

    with pytest.raises(BundleError, match="nothing"):
        while True:
            pool.collect(5.0)
    pool.stop()


def test_decoders_that_end_at_once_are_not_started_for_ever(tiny: Path) -> None:
    pool = Pool(tiny, 1, decode_s=5, pixels_mp=50, attempts=2, command=("/bin/false",))
    pool.start()

    with pytest.raises(OSError, match="before they are ready"):
        while True:
            pool.collect(10.0)
    pool.stop()


def test_the_known_picture_is_seen_as_at_training(make: Make, tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    pool = make()
    pool.submit([Job("known", bundle.known_picture)])

    features = all_of(pool, 1)["known"].features

    assert features is not None
    bundle.check_known(features)
    with pytest.raises(BundleError, match="differently"):
        bundle.check_known(features[::-1].copy())


def test_a_stopped_pool_leaves_no_process(make: Make) -> None:
    pool = make(workers=2)
    pool.submit(jobs(3))
    pids = pool.process_ids()

    pool.stop()

    assert [pid for pid in pids if os.path.exists(f"/proc/{pid}")] == []
