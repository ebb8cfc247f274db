"""Growing a forest under the eyes of whoever waits: scikit-learn's, a few trees at a time, to the same trees."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from returnsd.progress import shown

_AT_ONCE = 10


def grow(
    parameters: Mapping[str, Any], rows: NDArray[np.float32], truth: NDArray[np.int64]
) -> RandomForestClassifier:
    """Return the forest that `RandomForestClassifier(**parameters).fit(rows, truth)` would be, showing progress."""
    wanted = RandomForestClassifier(**parameters)
    model = RandomForestClassifier(**{**parameters, "warm_start": True, "oob_score": False})
    trees = wanted.n_estimators
    with warnings.catch_warnings():
        # they are about other data than before, and about few trees: neither is so, or the card tells how many
        warnings.filterwarnings("ignore", "class_weight presets")
        warnings.filterwarnings("ignore", "Some inputs do not have OOB scores")
        for tree in shown(range(1, trees + 1), trees, "trees grown"):
            if tree % _AT_ONCE == 0 or tree == trees:
                # only whoever has grown can be asked out of bag, and asking takes long: once, at the end
                out_of_bag = wanted.oob_score if tree == trees else False
                model.set_params(n_estimators=tree, oob_score=out_of_bag).fit(rows, truth)
    return model.set_params(warm_start=wanted.warm_start)
