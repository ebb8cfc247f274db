"""Records as the API's documents: the one place that knows how one becomes the other."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from returnsd.history import Standing, Story
from returnsd.policy import shortlist
from returnsd.records import Decision, Verdict, printable
from returnsd.web.judge import Opinion
from returnsd.web.schemas import (
    DecisionDocument,
    DecisionRow,
    ItemDocument,
    PictureOpinion,
    ReturnRow,
    State,
    StoryDocument,
    WaitingItem,
    WaitingSection,
)
from returnsd.web.waiting import Section
from returnsd.words import moment


def decision_document(decision: Decision) -> DecisionDocument:
    """Return a decision for programs."""
    return DecisionDocument(
        item_id=decision.item_id,
        decided_at=decision.decided_at,
        decided_by=decision.decided_by,
        shelf=decision.shelf.value,
        category=decision.category,
        reason=decision.reason,
    )


def item_document(verdict: Verdict, decision: Decision | None) -> ItemDocument:
    """Return an item for programs; `decision` is the one in force."""
    held = verdict if decision is None else decision
    return ItemDocument(
        item_id=verdict.item_id,
        file_name=printable(verdict.file_name),
        return_id=verdict.return_id,
        received_at=verdict.received_at,
        judged_at=verdict.judged_at,
        category=held.category,
        shelf=held.shelf.value,
        predicted=verdict.category,
        confidence=verdict.confidence,
        reason=verdict.reason,
        runner_up=verdict.runner_up,
        runner_up_confidence=verdict.runner_up_confidence,
        shortlist=list(verdict.shortlist),
        duplicate_of=verdict.duplicate_of,
        model=verdict.model,
        sha256=verdict.sha256,
        decision=None if decision is None else decision_document(decision),
    )


def standing_document(standing: Standing) -> ItemDocument:
    """Return an item as it stands now."""
    return item_document(standing.verdict, standing.decision)


def story_document(story: Story) -> StoryDocument:
    """Return all that is known of an item."""
    state: State = "judged" if story.decision is None else "decided"
    if story.expired_at is not None:
        state = "expired"
    elif story.verdict is None:
        state = "queued"
    return StoryDocument(
        item_id=story.item_id,
        file_name=printable(story.file_name),
        received_at=story.received_at,
        state=state,
        item=None if story.verdict is None else item_document(story.verdict, story.decision),
        decisions=[decision_document(decision) for decision in story.decisions],
        same_bytes=story.twins,
        expired_at=story.expired_at,
    )


def waiting_sections(sections: Sequence[Section]) -> list[WaitingSection]:
    """Return what waits, for programs and for the page."""
    return [
        WaitingSection(
            key=section.key,
            category=section.category,
            alike=section.alike,
            items=[_waiting_item(verdict) for verdict in section.items],
        )
        for section in sections
    ]


def _waiting_item(verdict: Verdict) -> WaitingItem:
    return WaitingItem(
        item_id=verdict.item_id,
        file_name=printable(verdict.file_name),
        return_id=verdict.return_id,
        received_at=verdict.received_at,
        received_local=moment(verdict.received_at),
        category=verdict.category,
        confidence=verdict.confidence,
        shortlist=list(verdict.shortlist),
        duplicate_of=verdict.duplicate_of,
    )


def row_document(row: Verdict | Decision) -> ReturnRow | DecisionRow:
    """Return a row of the results for programs."""
    if isinstance(row, Decision):
        return DecisionRow(**{**_members(row), "shelf": row.shelf.value})
    return ReturnRow(**{**_members(row), "shelf": row.shelf.value, "shortlist": list(row.shortlist)})


def _members(row: Verdict | Decision) -> dict[str, Any]:
    found = {field.name: getattr(row, field.name) for field in fields(row)}
    return {**found, "file_name": printable(row.file_name)}


def picture_opinion(name: str, opinion: Opinion) -> PictureOpinion:
    """Return what the model says of a picture, for programs."""
    prediction = opinion.prediction
    return PictureOpinion(
        name=name,
        category=None if prediction is None else prediction.category,
        confidence=None if prediction is None else prediction.confidence,
        shelf=opinion.shelf.value,
        reason=opinion.reason,
        detail=opinion.detail,
        shortlist=[] if prediction is None else list(shortlist(prediction, opinion.reason)),
        probabilities=dict(opinion.ranked),
    )
