"""Pictures to measure with: real ones (RETURNSD_PICTURES, or ../shared) where there are any, else generated."""

import os
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

_REAL = Path(__file__).parent.parent.parent / "shared/data/retail21/train_images"


def source() -> str:
    """Say which pictures `some` gives."""
    folder = _folder()
    return f"pictures of {folder.name}" if folder else "generated pictures"


def some(count: int) -> list[bytes]:
    """Return the bytes of so many 100x100 pictures of about 5 KB."""
    folder = _folder()
    if folder is not None:
        files = sorted(folder.glob("*.jpg"))
        return [
            path.read_bytes()
            for path in islice(files, 0, count * (len(files) // count or 1), len(files) // count or 1)
        ][:count]
    return [_generated(seed) for seed in range(count)]


def _folder() -> Path | None:
    folder = Path(os.environ.get("RETURNSD_PICTURES", _REAL))
    return folder if folder.is_dir() else None


def _generated(seed: int) -> bytes:
    dice = np.random.default_rng(seed)
    image = np.full((100, 100, 3), 255, np.uint8)
    for _ in range(12):
        x, y, r = dice.integers(10, 90, 3)
        colour = [int(c) for c in dice.integers(0, 255, 3)]
        cv2.circle(image, (int(x), int(y)), int(r) // 3, colour, -1)
    noise = dice.integers(0, 24, image.shape, dtype=np.uint8)
    return cv2.imencode(".jpg", cv2.subtract(image, noise), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
