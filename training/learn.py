"""What is learnt without labels before a picture can be described: the palette of colours.

Only training pictures are looked at, in an order that depends on the seed alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from returnsd.vision.features import Image, Views, canvas

COLOURS = 48
_PIXELS_EACH = 200


def learn_palette(pictures: Sequence[Image], seed: int, colours: int = COLOURS) -> NDArray[np.uint8]:
    """Return (16, 16, 16) the palette's colour of every cell of B, G, R: k-means in Lab over the foreground.

    :param pictures: (height, width, 3) uint8 BGR each; some thousands are plenty.
    """
    dice = np.random.default_rng(seed)
    samples = []
    for picture in pictures:
        views = Views.of(canvas(picture))
        inside = views.lab[views.mask > 0]
        if len(inside):
            samples.append(inside[dice.integers(0, len(inside), _PIXELS_EACH)])
    means = MiniBatchKMeans(colours, random_state=seed, batch_size=8192, n_init=3, max_iter=60)
    means.fit(np.concatenate(samples).astype(np.float32))
    middle = (np.arange(16) * 16 + 8).astype(np.uint8)
    cube = np.stack(np.meshgrid(middle, middle, middle, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    lab = cv2.cvtColor(cube, cv2.COLOR_BGR2LAB).reshape(-1, 3).astype(np.float32)
    return np.asarray(means.predict(lab), np.uint8).reshape(16, 16, 16)


def settings_of(learnt: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the feature settings that go into the card beside the learnt arrays."""
    from returnsd.vision.features import FEATURE_VERSION, Extractor

    settings: dict[str, Any] = {"version": FEATURE_VERSION, "colours": int(learnt["palette"].max()) + 1}
    settings["count"] = len(Extractor(learnt, settings).names)
    return settings
