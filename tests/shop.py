"""A small shop for tests: drawn pictures of five categories that a small model can tell apart, most of the time."""

import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

CATEGORIES = ("Balls", "Books", "Cables", "Mugs", "Rings & Chains")


def shop_picture(category: str, seed: int) -> NDArray[np.uint8]:
    """Return a (100, 100, 3) BGR picture of that category, no two alike."""
    dice = np.random.default_rng([seed, zlib.crc32(category.encode())])
    picture = np.full((100, 100, 3), 255, np.uint8)
    colour = tuple(int(value) for value in dice.integers(0, 190, 3))
    x, y = (int(value) for value in dice.integers(42, 58, 2))
    size = int(dice.integers(18, 30))
    if category == "Balls":
        cv2.circle(picture, (x, y), size, colour, -1)
    elif category == "Books":
        cv2.rectangle(picture, (x - size, y - size // 2), (x + size, y + size), colour, -1)
        cv2.line(picture, (x - size + 5, y - size // 2), (x - size + 5, y + size), (255, 255, 255), 2)
    elif category == "Cables":
        points = np.cumsum(dice.integers(-14, 15, (9, 2)), axis=0) + np.array([x, y])
        cv2.polylines(picture, [points.astype(np.int32).reshape(-1, 1, 2)], False, colour, 3)
    elif category == "Mugs":
        cv2.rectangle(picture, (x - size, y - size), (x + size // 2, y + size), colour, -1)
        cv2.ellipse(picture, (x + size // 2, y), (12, 14), 0, -90, 90, colour, 4)
    else:
        for step in range(-1, 2):
            cv2.circle(picture, (x + step * size, y), size // 2 + 2, colour, 3)
    grain = dice.integers(0, 40, picture.shape, dtype=np.uint8)
    grain[picture.min(axis=2) == 255] = 0
    return np.asarray(cv2.add(picture, grain), np.uint8)


def shop_jpeg(category: str, seed: int) -> bytes:
    """Return the same as the bytes of a JPEG file."""
    return bytes(cv2.imencode(".jpg", shop_picture(category, seed), [cv2.IMWRITE_JPEG_QUALITY, 92])[1])


def draw_shop(folder: Path, count: int, categories: tuple[str, ...] = CATEGORIES) -> Path:
    """Write `count` pictures of each category, one folder a category; return the folder."""
    for category in categories:
        (folder / category).mkdir(parents=True)
        for seed in range(count):
            (folder / category / f"{seed:03}.jpg").write_bytes(shop_jpeg(category, seed))
    return folder


def train_shop(folder: Path, count: int = 30) -> Path:
    """Draw a shop below a folder and take it through the steps by their command line; return the work folder."""
    from training.__main__ import main

    draw_shop(folder / "pictures", count)
    work = ["--work", str(folder / "work"), "--jobs", "1"]
    for step in (
        ["prepare", str(folder / "pictures")],
        ["extract", "--gaussians", "4"],
        ["train", "--trees", "30", "--group", "Mugs=Books"],
    ):
        assert main([*step, *work]) == 0
    return folder / "work"
