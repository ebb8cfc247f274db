"""What the API takes and gives, as its OpenAPI describes it. Times are RFC 3339 with offset."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from returnsd import item_id
from returnsd.web.members import describe
from returnsd.web.problems import PATTERNS

MOST_DECIDED_AT_ONCE = 500

_ID = f"^{item_id.PATTERN.pattern}$"
_NAME = r"^[^\x00-\x1f\x7f-\x9f]*$"
_REASON = r"^[a-z0-9_]{1,40}$"
PATTERNS.update(
    {
        _ID: "an item's id, such as 01M84XJ0W3T1Q6Y2C5D8E7F9GA",
        _NAME: "one line of plain text",
        _REASON: "a word of small letters, digits and _, such as not_a_product",
    }
)

Id = Annotated[str, StringConstraints(pattern=_ID)]
Name = Annotated[str, StringConstraints(max_length=80, pattern=_NAME)]
Probability = Annotated[float, Field(ge=0, le=1)]
Shelves = Literal["archive", "review", "rejected"]
State = Literal["queued", "judged", "decided", "expired"]
Orders = Literal["alike", "oldest", "unsure"]


class Document(BaseModel):
    """What is told or asked; its members are described in one place."""

    model_config = ConfigDict(json_schema_extra=describe)


class Strict(Document):
    """What clients send: unknown members are refused, so that a slip is told and not ignored."""

    model_config = ConfigDict(extra="forbid")


class ProblemDocument(Document):
    """RFC 9457; further members tell more."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str = ""


# --- the former API


class FormerError(Document):
    """What went wrong."""

    error: str


class FormerHealth(Document):
    """The service is up."""

    status: str
    timestamp: str
    model_info: dict[str, Any]


class FormerEntry(Document):
    """A category and how probable it is."""

    category: str
    confidence: Probability


class FormerPrediction(Document):
    """What one picture shows: the categories at or above the threshold, and all; best first."""

    predictions: list[FormerEntry]
    confidence_threshold: Probability
    timestamp: str
    all_predictions: list[FormerEntry]


class FormerBatchEntry(Document):
    """What one of many pictures shows, or why nothing can be said of it."""

    filtered_predictions: list[FormerEntry]
    all_predictions: list[FormerEntry]
    error: str | None = None


class FormerBatch(Document):
    """What many pictures show, in the order in which they were sent."""

    predictions: list[FormerBatchEntry]
    batch_size: int
    confidence_threshold: Probability
    timestamp: str


# --- predict and submit


class PictureOpinion(Document):
    """What the model says of a picture and what the service would do with it; nothing was stored."""

    name: str
    category: str | None
    confidence: Probability | None
    shelf: Shelves
    reason: str
    detail: str
    shortlist: list[str]
    probabilities: dict[str, float]


class Opinions(Document):
    """One opinion for each picture, in the order in which they were sent."""

    model: str
    threshold: float | None
    predictions: list[PictureOpinion]


class SubmittedItem(Document):
    """A picture that is durably in the queue; `again` if it already was, under the same idempotency key."""

    item_id: Id
    file_name: str
    received_at: datetime
    sha256: str
    again: bool


class SubmittedItems(Document):
    """One for each picture, in the order in which they were sent."""

    items: list[SubmittedItem]


# --- items


class DecisionDocument(Document):
    """What a person said of an item."""

    item_id: Id
    decided_at: datetime
    decided_by: str
    shelf: Shelves
    category: str | None
    reason: str | None


class ItemDocument(Document):
    """An item with its verdict, and the decision in force if there is one."""

    item_id: Id
    file_name: str
    return_id: str | None
    received_at: datetime
    judged_at: datetime
    category: str | None
    shelf: Shelves
    predicted: str | None
    confidence: Probability | None
    reason: str
    runner_up: str | None
    runner_up_confidence: Probability | None
    shortlist: list[str]
    duplicate_of: str | None
    model: str
    sha256: str | None
    decision: DecisionDocument | None


class FoundItems(Document):
    """Items that answer a search, newest first; ask again with `before` = `next_before` for older ones."""

    items: list[ItemDocument]
    next_before: int | None


class StoryDocument(Document):
    """All that is known of an item; `item` is null while it waits in the queue."""

    item_id: Id
    file_name: str
    received_at: datetime
    state: State
    item: ItemDocument | None
    decisions: list[DecisionDocument]
    same_bytes: list[str]
    expired_at: datetime | None


# --- review


class WaitingItem(Document):
    """An item that waits for a person."""

    item_id: Id
    file_name: str
    return_id: str | None
    received_at: datetime
    received_local: str
    category: str | None
    confidence: Probability | None
    shortlist: list[str]
    duplicate_of: str | None


class WaitingSection(Document):
    """Items that stand together: alike pictures, or single ones of one predicted category."""

    key: str
    category: str | None
    alike: bool
    items: list[WaitingItem]


class ReviewQueue(Document):
    """What waits for people, most useful first."""

    version: int
    count: int
    sections: list[WaitingSection]


class Look(Strict):
    """Who looks at which items; `client` is any text that tells one browser window from another."""

    version: int = Field(0, ge=0, le=2**53)
    client: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    by: Name = ""
    items: list[Id] = Field(default_factory=list, max_length=200)


class GlanceDocument(Document):
    """What changed since `version`: how many wait, which items left, and who else looks at which."""

    version: int
    count: int
    gone: list[str]
    others: dict[str, str]


class Decide(Strict):
    """Settle items under a category, or reject them for a reason: exactly one of the two."""

    item_ids: list[Id] = Field(min_length=1, max_length=MOST_DECIDED_AT_ONCE)
    category: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    reject: Annotated[str, StringConstraints(pattern=_REASON)] | None = Field(
        None, description="a machine-readable reason such as not_a_product", examples=["not_a_product", "retake"]
    )
    by: Name = Field("", description="who says so")


class Withdraw(Strict):
    """Take back decisions; with `decided_at` only those that are still the ones made then."""

    item_ids: list[Id] = Field(min_length=1, max_length=MOST_DECIDED_AT_ONCE)
    by: Name = ""
    decided_at: datetime | None = None


class RefusedItem(Document):
    """An item that could not be decided, and why; with whoever was first."""

    item_id: Id
    status: int
    detail: str
    decided_by: str | None = None
    decided_at: datetime | None = None
    category: str | None = None


class PendingItem(Document):
    """An item that is decided, and whose file is moved later: what is in the way."""

    item_id: Id
    detail: str


class Decided(Document):
    """What came of deciding many items: each was decided or refused by itself.

    `pending` are those of the decided whose files could not be moved yet: nothing is to be sent again for them.
    """

    decided: list[DecisionDocument]
    refused: list[RefusedItem]
    pending: list[PendingItem]


# --- figures


class DayDocument(Document):
    """What was received on a local day (or on several) and how it stands now: the parts add up to `received`."""

    day: str
    received: int
    archived_by_itself: int
    archived_by_people: int
    rejected_by_itself: int
    rejected_by_people: int
    waiting: int
    unjudged: int


class Statistics(Document):
    """How much of what, over some days up to today."""

    since: str
    days: list[DayDocument]
    total: DayDocument
    categories: dict[str, int]
    rejected: dict[str, int]
    waiting: int
    oldest_waiting: datetime | None
    queued: int
    running: bool
    per_second: float | None
    problem: str | None


class ModelDocument(Document):
    """The model in force, and the rule that goes with it."""

    model: str
    categories: list[str]
    features: int
    trees: int
    threshold: float | None
    target_accuracy: float
    shortlist_coverage: float
    card: dict[str, Any]


class ReturnRow(Document):
    """A verdict: the columns of the day's CSV, with numbers, lists and nulls."""

    item_id: Id
    received_at: datetime
    judged_at: datetime
    file_name: str
    return_id: str | None
    category: str | None
    confidence: Probability | None
    shelf: Shelves
    reason: str
    runner_up: str | None
    runner_up_confidence: Probability | None
    shortlist: list[str]
    duplicate_of: str | None
    model: str
    sha256: str | None


class DecisionRow(Document):
    """A decision: the columns of the day's CSV, with numbers and nulls."""

    item_id: Id
    decided_at: datetime
    decided_by: str
    file_name: str
    return_id: str | None
    category: str | None
    shelf: Shelves
    reason: str | None
    predicted: str | None
    confidence: Probability | None
    sha256: str | None


class ResultRows(Document):
    """Some rows of a day, and where to go on (`after`); null at the end."""

    day: str
    rows: list[ReturnRow | DecisionRow]
    next_after: int | None
