"""Pictures that try the features: blank, tiny, narrow, noisy, and an ordinary one."""

import numpy as np
from numpy.typing import NDArray

from tests.shop import shop_picture

Pixels = NDArray[np.uint8]


def _noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


PICTURES: dict[str, Pixels] = {
    "white": np.full((100, 100, 3), 255, np.uint8),
    "black": np.zeros((100, 100, 3), np.uint8),
    "grey": np.full((100, 100, 3), 128, np.uint8),
    "one pixel": np.full((1, 1, 3), 40, np.uint8),
    "one white pixel": np.full((1, 1, 3), 255, np.uint8),
    "narrow": _noise(700, 1),
    "wide": _noise(2, 900),
    "noise": _noise(100, 100),
    "large noise": _noise(430, 310),
    "dot": np.pad(np.zeros((1, 1, 3), np.uint8), ((50, 49), (50, 49), (0, 0)), constant_values=255),
    "ordinary": shop_picture("Mugs", 1),
}

BLANK = ("white", "black", "grey", "one white pixel")
"""They are flat all over their canvas."""
