"""Pictures in, verdicts out, nothing touched: what the service would say of any file, through the same steps."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from returnsd import policy
from returnsd.config import Config
from returnsd.errors import Unreadable
from returnsd.records import Shelf
from returnsd.service import open_model, start_pool
from returnsd.vision.pool import Job, Seen
from returnsd.worker import Model

_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one file: its shelf and why, and the categories with their probabilities, best first."""

    file: str
    shelf: Shelf
    reason: str
    detail: str
    shortlist: tuple[str, ...]
    probabilities: tuple[tuple[str, float], ...]
    decode_ms: float
    feature_ms: float

    def as_json(self) -> dict[str, object]:
        """Return the answer for machines."""
        return {
            "file": self.file,
            "category": self.probabilities[0][0] if self.probabilities else None,
            "confidence": self.probabilities[0][1] if self.probabilities else None,
            "shelf": self.shelf.value,
            "reason": self.reason,
            "detail": self.detail,
            "shortlist": list(self.shortlist),
            "probabilities": dict(self.probabilities),
            "decode_ms": round(self.decode_ms, 3),
            "feature_ms": round(self.feature_ms, 3),
        }


def classify(config: Config, files: Iterable[Path]) -> Iterator[Answer]:
    """Yield an answer for each file, in order; a file that cannot be read is answered as rejected."""
    model = open_model(config)
    pool = start_pool(config, model.bundle.directory)
    try:
        waiting = iter(files)
        while batch := list(islice(waiting, _AT_ONCE)):
            seen: dict[str, Seen] = {}
            jobs = []
            for number, path in enumerate(batch):
                try:
                    jobs.append(Job(str(number), _bytes_of(path, config.limits.file_mib << 20)))
                except Unreadable as finding:
                    seen[str(number)] = Seen.rejected(str(number), finding.reason, finding.detail)
                except OSError as error:
                    seen[str(number)] = Seen.rejected(str(number), "not_readable", error.strerror or "")
            pool.submit(jobs)
            while len(seen) < len(batch):
                seen.update((one.key, one) for one in pool.collect(1.0))
            for number, path in enumerate(batch):
                yield _answer(path, seen[str(number)], model)
    finally:
        pool.stop()


def _bytes_of(path: Path, limit_bytes: int) -> bytes:
    size = path.stat().st_size
    if not path.is_file():
        raise Unreadable("not_a_regular_file", str(path))
    if size > limit_bytes:
        raise Unreadable("too_large", f"{size} bytes, limits.file_mib allows {limit_bytes}")
    return path.read_bytes()


def _answer(path: Path, seen: Seen, model: Model) -> Answer:
    if seen.features is None:
        return Answer(str(path), Shelf.REJECTED, seen.reason or "", seen.detail, (), (), 0.0, 0.0)
    categories = model.bundle.categories
    probabilities = model.bundle.predict_proba(seen.features[np.newaxis])[0]
    prediction = policy.predict(categories, probabilities, model.rule.floor, model.rule.groups)
    shelf, reason = policy.choose_shelf(prediction, model.rule)
    best_first = np.argsort(-probabilities, kind="stable")
    return Answer(
        file=str(path),
        shelf=shelf,
        reason=reason,
        detail="",
        shortlist=policy.shortlist(prediction, reason),
        probabilities=tuple((categories[i], float(probabilities[i])) for i in best_first),
        decode_ms=seen.decode_ms,
        feature_ms=seen.feature_ms,
    )
