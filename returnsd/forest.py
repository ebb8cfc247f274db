"""A random forest as flat arrays: what scikit-learn trained, evaluated by numpy alone, level by level.

The arrays hold the trees breadth first, so that children need no pointers: the k-th node of a tree that splits has
its children at 2k + 1 and 2k + 2. Thresholds are float16, rounded down: features are float16 values, and for those
x <= t and x <= floor16(t) are the same. Leaves hold the counts of training samples by class, without the zeros; or
their weights, where classes were weighted.
Checked when loaded: no arrays, however damaged, lead outside of them or round in circles.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from returnsd.errors import BundleError

Probabilities = NDArray[np.float64]

ARRAYS = ("nodes", "feature", "threshold", "leaf_size", "leaf_class", "leaf_count")
"""nodes (trees,): of each tree; feature (all nodes,): -1 in leaves; threshold (splits,) float16; leaf_size
(leaves,): classes in each leaf; leaf_class and leaf_count (entries,): which, and how many samples, or their weight
as float32."""

_KINDS = {"threshold": "f", "leaf_count": "iuf"}
_MOST_WEIGHT = 1e30  # sums of larger ones might not be numbers

_AT_ONCE = 64


class Forest:
    """A forest that is ready to be asked."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], classes: int, features: int) -> None:
        """Check the arrays (see ARRAYS) and lay them out; BundleError names what is wrong with them."""
        missing = [name for name in ARRAYS if name not in arrays]
        if missing:
            raise BundleError(f"the forest lacks {', '.join(missing)}: get the bundle again")
        _check_form(arrays)
        self.classes = classes
        self.features = features
        nodes = arrays["nodes"].astype(np.int64)
        feature = arrays["feature"].astype(np.int64)
        _check_trees(nodes, feature, features, len(arrays["threshold"]))
        splits = feature >= 0
        self.roots = np.concatenate([[0], np.cumsum(nodes)[:-1]])
        self._feature = np.maximum(feature, 0).astype(np.int32)
        self._left = _children(nodes, splits, self.roots)
        self._threshold = np.full(len(feature), np.inf, np.float32)
        self._threshold[splits] = arrays["threshold"]
        self._leaf = np.cumsum(~splits, dtype=np.int64) - 1
        self._splits = splits
        self._lay_out_leaves(arrays, int((~splits).sum()))

    @property
    def trees(self) -> int:
        """How many trees there are."""
        return len(self.roots)

    def _lay_out_leaves(self, arrays: Mapping[str, NDArray[Any]], leaves: int) -> None:
        size = arrays["leaf_size"].astype(np.int64)
        count = arrays["leaf_count"].astype(np.float64)
        self._leaf_class = arrays["leaf_class"].astype(np.int64)
        consistent = len(size) == leaves > 0 and len(count) == len(self._leaf_class)
        # each by itself first: huge ones could add up to anything
        if not consistent or not 1 <= int(size.min()) <= int(size.max()) <= len(count) == int(size.sum()):
            raise BundleError("the forest's leaves are damaged: get the bundle again")
        if not 0 < count.min() <= count.max() <= _MOST_WEIGHT:  # which no NaN is
            raise BundleError("the forest's leaves are damaged: get the bundle again")
        if int(self._leaf_class.min()) < 0 or int(self._leaf_class.max()) >= self.classes:
            raise BundleError(f"the forest's leaves name more than the {self.classes} categories of the card")
        self._leaf_start = np.concatenate([[0], np.cumsum(size)])
        total = np.add.reduceat(count, self._leaf_start[:-1])
        self._leaf_share = count / np.repeat(total, size) / self.trees

    def apply(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the leaf (numbered over all trees) that each of (n, features) rows reaches: (n, trees)."""
        count = len(rows)
        node = np.tile(self.roots, count)
        row = np.repeat(np.arange(count) * self.features, self.trees)
        flat = np.ascontiguousarray(rows, np.float32).ravel()
        active = np.flatnonzero(self._splits[node])
        while len(active):
            at = node[active]
            right = flat[row[active] + self._feature[at]] > self._threshold[at]
            at = self._left[at] + right
            node[active] = at
            active = active[self._splits[at]]
        leaves: NDArray[np.int64] = self._leaf[node].reshape(count, self.trees)
        return leaves

    def predict_proba(self, rows: NDArray[np.float32]) -> Probabilities:
        """Return the (n, classes) mean of the leaves' class shares for (n, features) rows of float16 values.

        Agrees with scikit-learn's predict_proba on the forest that was exported. A row's result does not depend
        on its neighbours. ValueError if the rows have another number of features.
        """
        if rows.ndim != 2 or rows.shape[1] != self.features:
            raise ValueError(f"rows of {self.features} features are wanted, not an array of shape {rows.shape}")
        found = np.empty((len(rows), self.classes))
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            leaves = self.apply(part).ravel()
            begin, size = self._leaf_start[leaves], self._leaf_start[leaves + 1] - self._leaf_start[leaves]
            ends = np.cumsum(size)
            entry = np.arange(ends[-1]) + np.repeat(begin - (ends - size), size)
            owner = np.repeat(np.repeat(np.arange(len(part)) * self.classes, self.trees), size)
            sums = np.bincount(owner + self._leaf_class[entry], self._leaf_share[entry], len(part) * self.classes)
            found[start : start + len(part)] = sums.reshape(len(part), self.classes)
        return found


def _check_form(arrays: Mapping[str, NDArray[Any]]) -> None:
    for name in ARRAYS:
        array = arrays[name]
        if array.ndim != 1 or array.dtype.kind not in _KINDS.get(name, "iu"):
            raise BundleError(f"the forest's {name} is not a list of numbers as expected: get the bundle again")
    if np.isnan(arrays["threshold"]).any():
        raise BundleError("the forest's thresholds are not all numbers: get the bundle again")


def _check_trees(nodes: NDArray[np.int64], feature: NDArray[np.int64], features: int, thresholds: int) -> None:
    # each by itself first: huge ones could add up to anything
    if len(nodes) == 0 or not 1 <= int(nodes.min()) <= int(nodes.max()) <= len(feature) == int(nodes.sum()):
        raise BundleError("the forest's trees are damaged: get the bundle again")
    if int(feature.min()) < -1 or int(feature.max()) >= features:
        raise BundleError(
            f"the forest asks for more than the {features} features of the card: get the bundle again"
        )
    if int((feature >= 0).sum()) != thresholds:
        raise BundleError("the forest's thresholds do not match its nodes: get the bundle again")


def _children(nodes: NDArray[np.int64], splits: NDArray[np.bool_], roots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each splitting node's left child; the right one follows it. BundleError if the trees are no trees."""
    before = np.concatenate([[0], np.cumsum(splits)])
    tree = np.repeat(np.arange(len(nodes)), nodes)
    rank = before[:-1] - before[roots][tree]  # how many nodes of the same tree split before this one
    left: NDArray[np.int64] = roots[tree] + 2 * rank + 1
    in_tree = before[roots + nodes] - before[roots]
    if (nodes != 2 * in_tree + 1).any() or (left[splits] <= np.flatnonzero(splits)).any():
        raise BundleError("the forest's trees are no trees: get the bundle again")
    return left
