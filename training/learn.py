"""What is learnt without labels before a picture can be described: colours, and what local descriptors look like.

Only training pictures are looked at, in an order that depends on the seed alone. A `Kind` of model says what it
looks at: `best` sees as well as we know how, `fast` what can be had in a fifth of the time.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from returnsd.vision import descriptors
from returnsd.vision.extractor import BLOCKS, FEATURE_VERSION
from returnsd.vision.features import Image, Views, canvas


@dataclass(frozen=True, slots=True)
class Kind:
    """What a model looks at: blocks of values, and how its memory compares them.

    `near` says by how many values of each block pictures are compared, `shares` how much each counts (their sum is
    1), `penalty` how smooth the scores are that the memory gives.
    """

    blocks: tuple[str, ...]
    near: Mapping[str, int]
    shares: Mapping[str, float]
    penalty: float = 0.1
    gaussians: int = 64


KINDS = {
    "best": Kind(
        BLOCKS,
        near={"basic": 96, "grids": 128, "gradients": 320, "colours": 160},
        shares={"basic": 0.2, "grids": 0.1, "gradients": 0.5, "colours": 0.2},
    ),
    "fast": Kind(
        ("basic", "grids"),
        near={"basic": 96, "grids": 160},
        shares={"basic": 0.6, "grids": 0.4},
    ),
}

COLOURS = 48
SIZES = {"gradients": (4, 6, 8), "colours": (4, 8)}
_PIXELS_EACH = 200
_SQUARES_EACH = 80
_REDUCED = {"gradients": 40, "colours": 28}
_FITS = 20


def learn(pictures: Sequence[Image], kind: Kind, seed: int) -> dict[str, NDArray[Any]]:
    """Return the arrays that an Extractor of this kind needs, except those of its directions.

    :param pictures: (height, width, 3) uint8 BGR each; some thousands are plenty.
    """
    views = [Views.of(canvas(picture)) for picture in pictures]
    learnt: dict[str, NDArray[Any]] = {"palette": learn_palette(views, seed)}
    for name in SIZES:
        if name in kind.blocks:
            learnt |= learn_fisher(views, name, kind.gaussians, seed)
    return learnt


def settings_of(learnt: Mapping[str, NDArray[Any]], kind: Kind) -> dict[str, Any]:
    """Return the settings of an Extractor that makes rows of this kind; it compares nothing yet."""
    return {
        "version": FEATURE_VERSION,
        "colours": int(learnt["palette"].max()) + 1,
        "blocks": list(kind.blocks),
        "sizes": {name: list(sizes) for name, sizes in SIZES.items() if name in kind.blocks},
        "near": [],
    }


def learn_palette(views: Sequence[Views], seed: int, colours: int = COLOURS) -> NDArray[np.uint8]:
    """Return (16, 16, 16) the palette's colour of every cell of B, G, R: k-means in Lab over the foreground."""
    dice = np.random.default_rng(seed)
    samples = []
    for one in views:
        inside = one.lab[one.mask > 0]
        if len(inside):
            samples.append(inside[dice.integers(0, len(inside), _PIXELS_EACH)])
    means = MiniBatchKMeans(colours, random_state=seed, batch_size=8192, n_init=3, max_iter=60)
    means.fit(np.concatenate(samples).astype(np.float32))
    middle = (np.arange(16) * 16 + 8).astype(np.uint8)
    cube = np.stack(np.meshgrid(middle, middle, middle, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    lab = cv2.cvtColor(cube, cv2.COLOR_BGR2LAB).reshape(-1, 3).astype(np.float32)
    return np.asarray(means.predict(lab), np.uint8).reshape(16, 16, 16)


def learn_fisher(views: Sequence[Views], name: str, gaussians: int, seed: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of returnsd.vision.fisher.FisherVector: a PCA and a mixture of Gaussians over it."""
    described, placed = _sample(views, name, seed)
    gaussians = min(gaussians, max(1, len(described) // _SQUARES_EACH))
    mean = described.mean(axis=0)
    # of all directions, those in which descriptors differ most (PCA)
    _, directions = np.linalg.eigh(np.cov((described - mean).T.astype(np.float64)))
    pca = directions[:, ::-1][:, : _REDUCED[name]].astype(np.float32)
    pca /= ((described - mean) @ pca[:, 0]).std()
    scale = (1.0 / placed.std(axis=0)).astype(np.float32)
    x = np.concatenate([(described - mean) @ pca, placed * scale], axis=1)
    begin = MiniBatchKMeans(gaussians, random_state=seed, batch_size=8192, n_init=1, max_iter=30).fit(x)
    mixture = GaussianMixture(
        len(begin.cluster_centers_),
        covariance_type="diag",
        random_state=seed,
        max_iter=_FITS,
        reg_covar=1e-4,
        init_params="random_from_data",
        means_init=begin.cluster_centers_,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough after _FITS
        mixture.fit(x.astype(np.float64))
    return {
        f"{name}_pca_mean": mean,
        f"{name}_pca": pca,
        f"{name}_place_scale": scale,
        f"{name}_weights": mixture.weights_.astype(np.float32),
        f"{name}_means": mixture.means_.astype(np.float32),
        f"{name}_deviations": np.sqrt(mixture.covariances_).astype(np.float32),
    }


def _sample(views: Sequence[Views], name: str, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return some descriptors of every picture, and where they lie."""
    dice = np.random.default_rng(seed)
    describe = descriptors.gradients if name == "gradients" else descriptors.colours
    described, placed = [], []
    for one in views:
        squares, places = describe(one, SIZES[name])
        if len(squares):
            chosen = dice.integers(0, len(squares), _SQUARES_EACH)
            described.append(squares[chosen])
            placed.append(places[chosen])
    return np.concatenate(described), np.concatenate(placed)
