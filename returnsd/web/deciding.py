"""People's decisions on their way to the ledger, the day's CSV and the shelf: many at a time, or taken back.

Belongs to one thread (a clerk's): the only one of this process that writes to the ledger and moves files out of
review. A decision that was recorded is done for the person who made it; where its file cannot be moved yet (the
worker is about to shelve it, a shelf is full or read-only) it is carried on later, for as long as it takes.
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
from returnsd.review import Pending
from returnsd.spool import Spool
from returnsd.survey import Meanings, Survey, survey
from returnsd.web.folders import Folders
from returnsd.words import author, moment

_SURVEY_EVERY = 30
"""After how many rounds of `tend` review is looked through for what is missing or misplaced."""

_LONGEST_PAUSE = 60
"""How many rounds of `tend` a decision that cannot be carried out waits for the next try, at most."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An item that could not be decided, and why; `category` is what it was decided to be before, if it was."""

    item_id: str
    error: DecisionError
    unknown: bool = False
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of deciding many items at once; `pending` are those of the decided whose files are to be moved."""

    decided: list[Decision]
    refused: list[Refused]
    pending: list[Pending]


class Deciding:
    """The writing side of the page's process. Use from one thread."""

    def __init__(self, config: Config, log: Logger) -> None:
        """Open the ledger (creating it if the worker never ran) and finish what was interrupted."""
        self._log = log
        self.spool = Spool(config.paths)
        self.ledger = Ledger(config.paths.state / LEDGER)
        self._folders = Folders(self.spool, self.ledger, log)
        self.pending: tuple[Pending, ...] = ()
        self.survey = Survey()
        self._rounds = 0
        self._pause = self._rounds_left = 1
        self._seen_to = max(self.ledger.newest()["decision"].values(), default=0)
        try:
            healed = review.heal(self.spool, self.ledger)
            self._note(healed.pending)
            if healed.moved:
                log.info("decisions_finished", items=healed.moved)
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
        for decision in decided:
            self._tell("item_decided", decision)
        return Outcome(decided, refused, self._finish(decided))

    def withdraw(
        self, item_ids: Sequence[str], *, by: str, withdrawn_at: datetime, made_at: datetime | None = None
    ) -> Outcome:
        """Take back the decisions on items and put their files back; each succeeds or is refused by itself.

        :param made_at: when the decision to be taken back was made; None takes back whatever is in force.
        """
        withdrawn: list[Decision] = []
        refused: list[Refused] = []
        for item_id in dict.fromkeys(item_ids):
            try:
                self._check_made_at(item_id, made_at)
                withdrawn.append(self.ledger.withdraw(item_id, withdrawn_at, by))
            except DecisionError as error:
                refused.append(self._refused(item_id, error))
        for decision in withdrawn:
            self._tell("decision_withdrawn", decision)
        return Outcome(withdrawn, refused, self._finish(withdrawn))

    def _check_made_at(self, item_id: str, made_at: datetime | None) -> None:
        """AlreadyDecided if the decision in force is another one than the one that is to be taken back."""
        newest = self.ledger.decision(item_id)
        if made_at is None or newest is None or newest.withdrawn or newest.decided_at == made_at:
            return
        raise AlreadyDecided(
            f"item {item_id} was decided anew since: {newest.category or newest.reason},"
            f" by {author(newest.decided_by)}, {moment(newest.decided_at)}",
            newest.decided_by,
            newest.decided_at,
        )

    def _refused(self, item_id: str, error: DecisionError) -> Refused:
        newest = self.ledger.decision(item_id) if isinstance(error, AlreadyDecided) else None
        unknown = self.ledger.verdict(item_id) is None
        return Refused(item_id, error, unknown, None if newest is None else newest.category)

    @property
    def left(self) -> dict[str, str]:
        """Why files in the folders of review are left there, by their names below it."""
        return self._folders.left

    @property
    def meanings(self) -> Meanings:
        """What the folders of review stand for."""
        return self._folders.meanings

    def tend(self, categories: Sequence[str]) -> None:
        """Do what is due now and then: take up what people moved by hand, carry on what could not be finished."""
        for decision in self._folders.step(categories):
            self._tell("item_decided", decision)
        if self._rounds % _SURVEY_EVERY == 0:
            self.survey = survey(self.spool.paths, self.ledger, self._folders.meanings)
        self._rounds += 1
        self._look_after_others()
        self._rounds_left -= 1
        if self.pending and self._rounds_left <= 0:
            self._try_again()

    def _look_after_others(self) -> None:
        """Take over decisions that another process recorded (`returnsd decide`) and could not carry out."""
        made = list(self.ledger.decisions_of(after=self._seen_to))
        self._seen_to = made[-1][0] if made else self._seen_to
        known = {one.decision.item_id for one in self.pending}
        self._finish(
            [one for _, one in made if one.item_id not in known and not self.spool.lies_where_decided(one)]
        )

    def _try_again(self) -> None:
        """Carry on what had to wait; the longer nothing changes, the seldomer."""
        before, self.pending = self.pending, ()
        pending = self._finish([one.decision for one in before], told=before)
        if len(pending) < len(before):
            self._log.info("decisions_finished", items=len(before) - len(pending))
            self._pause = 1
        else:
            self._pause = min(_LONGEST_PAUSE, 2 * self._pause)
        self._rounds_left = self._pause

    def _finish(self, decisions: Sequence[Decision], told: Sequence[Pending] = ()) -> list[Pending]:
        """Carry decisions on as far as that can be done now; what has to wait is returned, and tried again."""
        pending = review.finish(self.spool, self.ledger, decisions) if decisions else []
        self._note(pending, told)
        return pending

    def _note(self, pending: Sequence[Pending], told: Sequence[Pending] = ()) -> None:
        if pending and not told:
            self._pause = self._rounds_left = 1
        for one in pending:
            if one.obstacle is not None and one not in told:
                self._log.warning("decision_pending", item=one.decision.item_id, reason=str(one.obstacle))
        newest = {one.decision.item_id: one for one in (*self.pending, *pending)}  # a later decision replaces it
        self.pending = tuple(newest.values())

    def _tell(self, event: str, decision: Decision) -> None:
        self._log.info(
            event,
            item=decision.item_id,
            by=decision.decided_by,
            category=decision.category,
            shelf=decision.shelf.value,
            reason=decision.reason,
        )
