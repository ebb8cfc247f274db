"""Which pictures look alike, from their features: groups that grow one picture at a time. Pure.

Every feature is put on the same scale (mean and deviation of the pictures seen so far), a picture is the direction
of its vector, and two are as alike as the cosine between them. A constant beside the features keeps pictures that
hardly differ from the mean alike, and while there are few pictures, small differences do not count for large ones.
A picture joins the group whose middle is nearest, if that is near enough; else it begins one of its own ("leader"
clustering, Hartigan, 1975). Adding a thousand pictures to thousands of groups takes some hundred milliseconds, so
it can be done while people wait.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NEAR = 0.82
"""The cosine from which pictures stand together."""

_AT_ONCE = 256
_CLIP = 4.0
_FEW = 32
_SMALL = 0.1  # what share of its mean a feature may vary among few pictures without counting
_CONSTANT = 0.3

Rows = NDArray[np.float32]


class Alike:
    """Groups of alike pictures, by the keys of their members."""

    def __init__(self, near: float = NEAR) -> None:
        """Begin without pictures."""
        self._near = near
        self.group_of: dict[str, int] = {}
        self.members: dict[int, dict[str, None]] = {}
        self._vectors: dict[str, Rows] = {}
        self._scaled_at = 0
        self._mean: Rows = np.zeros(0, np.float32)
        self._deviation: Rows = np.ones(0, np.float32)
        self._sums: Rows = np.zeros((0, 0), np.float32)
        self._next = 0

    def add(self, keys: Sequence[str], vectors: Rows) -> None:
        """Put pictures into groups; `vectors` is (n, features), of the same features every time."""
        new = [i for i, key in enumerate(keys) if key not in self._vectors]
        if not new:
            return
        if len(self._mean) != vectors.shape[1]:  # another model's features: nothing here can be compared with them
            self.__init__(self._near)  # type: ignore[misc]
        for i in new:
            self._vectors[keys[i]] = vectors[i]
        if self._scaled_at < _FEW or len(self._vectors) >= 4 * self._scaled_at:
            self._scale_anew()
            return
        for start in range(0, len(new), _AT_ONCE):
            part = new[start : start + _AT_ONCE]
            self._place([keys[i] for i in part], self._directions(vectors[part]))

    def remove(self, key: str) -> None:
        """Forget a picture; its group stays where it was."""
        if self._vectors.pop(key, None) is None:
            return
        group = self.group_of.pop(key)
        del self.members[group][key]
        if not self.members[group]:
            del self.members[group]
            self._sums[group] = 0.0

    def _scale_anew(self) -> None:
        """Fix the scale by all pictures there are, and group them anew."""
        keys = list(self._vectors)
        rows = np.stack(list(self._vectors.values()))
        self._scaled_at = len(keys)
        self._mean = rows.mean(axis=0)
        small = _SMALL * np.abs(self._mean) * (_FEW / (_FEW + len(keys))) ** 0.5
        self._deviation = np.sqrt(rows.var(axis=0) + small**2)
        self._deviation[self._deviation < 1e-6] = 1.0
        self.group_of.clear()
        self.members.clear()
        self._next = 0
        self._sums = np.zeros((_AT_ONCE, rows.shape[1] + 1), np.float32)
        for start in range(0, len(keys), _AT_ONCE):
            self._place(keys[start : start + _AT_ONCE], self._directions(rows[start : start + _AT_ONCE]))

    def _directions(self, rows: Rows) -> Rows:
        scaled = np.clip((rows - self._mean) / self._deviation, -_CLIP, _CLIP)
        constant = np.full((len(rows), 1), _CONSTANT * rows.shape[1] ** 0.5, np.float32)
        scaled = np.hstack([scaled, constant]).astype(np.float32)
        length = np.linalg.norm(scaled, axis=1, keepdims=True)
        directions: Rows = scaled / np.maximum(length, 1e-6)
        return directions

    def _place(self, keys: Sequence[str], rows: Rows) -> None:
        """Let each join the nearest group, or begin one; those that begin one are compared among themselves."""
        middles = self._sums[: self._next]
        lengths = np.maximum(np.linalg.norm(middles, axis=1), 1e-6)
        nearness = rows @ middles.T / lengths if len(middles) else np.zeros((len(rows), 0), np.float32)
        first_new = self._next
        for i, key in enumerate(keys):
            group, best = -1, self._near
            if nearness.shape[1]:
                at = int(nearness[i].argmax())
                if nearness[i, at] >= best:
                    group, best = at, float(nearness[i, at])
            if self._next > first_new:
                fresh = self._sums[first_new : self._next]
                near = fresh @ rows[i] / np.maximum(np.linalg.norm(fresh, axis=1), 1e-6)
                at = int(near.argmax())
                if near[at] >= best:
                    group = first_new + at
            self._join(key, rows[i], group if group >= 0 else self._begin())

    def _begin(self) -> int:
        if self._next == len(self._sums):
            self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)])
        self._next += 1
        return self._next - 1

    def _join(self, key: str, row: Rows, group: int) -> None:
        self._sums[group] += row
        self.members.setdefault(group, {})[key] = None
        self.group_of[key] = group
