"""The forest's settings, chosen by cross-validation among training pictures alone.

Successive halving (Jamieson, Talwalkar, 2016): all combinations begin with a few trees, the best third of them goes
on with three times as many. Of few pictures every combination is tried in full: that takes a minute, and halving
would be decided by chance. Scores out of fold and the memory were made from all training pictures, so that the
accuracies told here compare settings; what the model is worth, `evaluate` tells.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 (makes the next import possible)
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, StratifiedKFold

from training.labels import DataError

GRID: Mapping[str, tuple[Any, ...]] = {
    "max_features": (3, "sqrt", 0.3),
    "min_samples_leaf": (1, 3, 6),
    "class_weight": (None, "balanced_subsample"),
    "max_depth": (None, 20),
}

FEW = 2000
"""Pictures up to which every combination is tried in full."""

_FOLDS = 3
_FEW_TREES, _LEAST_TREES, _MOST_TREES = 40, 8, 72


@dataclass(frozen=True, slots=True)
class Search:
    """What was found best, for RandomForestClassifier, and all that was tried, best first, with its accuracy."""

    best: dict[str, Any]
    method: str
    folds: int
    tried: list[dict[str, Any]]

    def card(self) -> dict[str, Any]:
        """Return what the card tells of it."""
        return {"method": self.method, "folds": self.folds, "scoring": "accuracy", "tried": self.tried}


def search(
    rows: NDArray[np.float32],
    truth: NDArray[np.int64],
    seed: int,
    jobs: int,
    grid: Mapping[str, tuple[Any, ...]] = GRID,
    few: int = FEW,
) -> Search:
    """Return the settings of the best cross-validated accuracy on (n, inputs) rows with their (n,) categories.

    DataError if a category has a single picture: it cannot be on both sides of a fold.
    """
    fewest = int(np.bincount(truth)[np.unique(truth)].min())
    if fewest < 2:
        raise DataError("a category has a single training picture, too few to search: give more, or no --search")
    folds = StratifiedKFold(min(_FOLDS, fewest), shuffle=True, random_state=seed)
    forest = RandomForestClassifier(random_state=seed, n_jobs=1)
    choices = {name: list(values) for name, values in grid.items()}
    if len(rows) <= few:
        forest.set_params(n_estimators=_FEW_TREES)
        found = GridSearchCV(forest, choices, cv=folds, scoring="accuracy", refit=False, n_jobs=jobs)
    else:
        found = HalvingGridSearchCV(
            forest,
            choices,
            cv=folds,
            scoring="accuracy",
            refit=False,
            n_jobs=jobs,
            resource="n_estimators",
            min_resources=_LEAST_TREES,
            max_resources=_MOST_TREES,
            random_state=seed,
            verbose=1,  # it takes minutes, and tells of every round
        )
    found.fit(rows, truth)
    method = "every combination" if isinstance(found, GridSearchCV) else "successive halving"
    best = {name: found.best_params_[name] for name in grid}
    return Search(best, method, folds.get_n_splits(), _tried(found.cv_results_))


def combinations(grid: Mapping[str, tuple[Any, ...]] = GRID) -> int:
    """Return how many combinations of settings there are."""
    return prod(len(values) for values in grid.values())


def _tried(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each combination with the accuracy that it was last seen to have, and with how many trees."""
    trees = results.get("n_resources", [_FEW_TREES] * len(results["params"]))
    last: dict[str, dict[str, Any]] = {}
    for settings, accuracy, spread, count in zip(
        results["params"], results["mean_test_score"], results["std_test_score"], trees, strict=True
    ):
        plain = {name: value for name, value in settings.items() if name != "n_estimators"}
        last[repr(sorted(plain.items()))] = plain | {
            "trees": int(count),
            "accuracy": round(float(accuracy), 4),
            "spread": round(float(spread), 4),
        }
    return sorted(last.values(), key=lambda one: (-one["trees"], -one["accuracy"]))
