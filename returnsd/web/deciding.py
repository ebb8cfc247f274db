"""People's decisions on their way to the ledger, the day's CSV and the shelf: many at a time, or taken back.

Belongs to one thread (a clerk's): the only one of this process that writes to the ledger and moves files out of
review. A decision whose file was not there yet (the worker is about to shelve it) is carried on a moment later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from returnsd import review
from returnsd.config import Config
from returnsd.errors import AlreadyDecided, DecisionError
from returnsd.ledger import LEDGER, Ledger
from returnsd.logs import Logger
from returnsd.records import Decision
from returnsd.spool import Spool
from returnsd.web.folders import Folders


@dataclass(frozen=True, slots=True)
class Refused:
    """An item that could not be decided, and why; `category` is what it was decided to be before, if it was."""

    item_id: str
    error: DecisionError
    unknown: bool = False
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of deciding many items at once."""

    decided: list[Decision]
    refused: list[Refused]


class Deciding:
    """The writing side of the page's process. Use from one thread."""

    def __init__(self, config: Config, log: Logger) -> None:
        """Open the ledger (creating it if the worker never ran) and finish what was interrupted."""
        self._log = log
        self.spool = Spool(config.paths)
        self.ledger = Ledger(config.paths.state / LEDGER)
        self._folders = Folders(self.spool, self.ledger, log)
        self._unfinished: list[tuple[Decision, Decision | None]] = []
        try:
            if moved := review.heal(self.spool, self.ledger):
                log.info("decisions_finished", items=moved)
        except BaseException:
            self.ledger.close()
            raise

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()

    def decide(
        self,
        item_ids: Sequence[str],
        category: str | None,
        *,
        reason: str | None,
        by: str,
        decided_at: datetime,
        categories: Sequence[str],
    ) -> Outcome:
        """Settle items under a category, or None to reject them; each is decided or refused by itself.

        Raises DecisionError if there is no such category.
        """
        review.check_category(category, categories)
        decided: list[Decision] = []
        refused: list[Refused] = []
        for item_id in dict.fromkeys(item_ids):
            try:
                decided.append(review.note(self.ledger, item_id, category, by, decided_at, reason))
            except DecisionError as error:
                refused.append(self._refused(item_id, error))
        self._finish([(decision, None) for decision in decided])
        for decision in decided:
            self._tell("item_decided", decision)
        return Outcome(decided, refused)

    def withdraw(
        self, item_ids: Sequence[str], *, by: str, withdrawn_at: datetime, made_at: datetime | None = None
    ) -> Outcome:
        """Take back the decisions on items and put their files back; each succeeds or is refused by itself.

        :param made_at: when the decision to be taken back was made; None takes back whatever is in force.
        """
        withdrawn: list[tuple[Decision, Decision | None]] = []
        refused: list[Refused] = []
        for item_id in dict.fromkeys(item_ids):
            try:
                self._check_made_at(item_id, made_at)
                withdrawn.append(self.ledger.withdraw(item_id, withdrawn_at, by))
            except DecisionError as error:
                refused.append(self._refused(item_id, error))
        self._finish(withdrawn)
        for decision, _ in withdrawn:
            self._tell("decision_withdrawn", decision)
        return Outcome([decision for decision, _ in withdrawn], refused)

    def _check_made_at(self, item_id: str, made_at: datetime | None) -> None:
        """AlreadyDecided if the decision in force is another one than the one that is to be taken back."""
        newest = self.ledger.decision(item_id)
        if made_at is None or newest is None or newest.withdrawn or newest.decided_at == made_at:
            return
        raise AlreadyDecided(
            f"item {item_id} was decided anew since: {newest.category or newest.reason}, by {newest.decided_by}"
            f" at {newest.decided_at.isoformat(timespec='seconds')}",
            newest.decided_by,
            newest.decided_at,
        )

    def _refused(self, item_id: str, error: DecisionError) -> Refused:
        newest = self.ledger.decision(item_id) if isinstance(error, AlreadyDecided) else None
        unknown = self.ledger.verdict(item_id) is None
        return Refused(item_id, error, unknown, None if newest is None else newest.category)

    def tend(self, categories: Sequence[str]) -> None:
        """Do what is due now and then: take up what people moved by hand, carry on what could not be finished."""
        for decision in self._folders.step(categories):
            self._tell("item_decided", decision)
        if self._unfinished:
            unfinished, self._unfinished = self._unfinished, []
            self._finish(unfinished)

    def _finish(self, decisions: Sequence[tuple[Decision, Decision | None]]) -> None:
        if not decisions:
            return
        review.finish(self.spool, self.ledger, decisions)
        for decision, earlier in decisions:
            newest = self.ledger.decision(decision.item_id)
            if newest == decision and not self.spool.decided_place(decision).exists():
                self._unfinished.append((decision, earlier))

    def _tell(self, event: str, decision: Decision) -> None:
        self._log.info(
            event,
            item=decision.item_id,
            by=decision.decided_by,
            category=decision.category,
            shelf=decision.shelf.value,
            reason=decision.reason,
        )
