"""The three stages and how they follow each other: draft → essay → evaluation."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """What kind of text a generation is."""

    DRAFT = "draft"
    ESSAY = "essay"
    EVALUATION = "evaluation"

    @property
    def parent(self) -> Stage | None:
        """The stage whose parsed text goes into this stage's prompt; None for drafts."""
        return _PARENT[self]

    @property
    def child(self) -> Stage | None:
        """The stage that is made from this one; None for evaluations."""
        return next((stage for stage in Stage if stage.parent is self), None)

    @property
    def id_prefix(self) -> str:
        """First characters of this stage's gen_ids."""
        return _ID_PREFIX[self]


_PARENT: dict[Stage, Stage | None] = {
    Stage.DRAFT: None,
    Stage.ESSAY: Stage.DRAFT,
    Stage.EVALUATION: Stage.ESSAY,
}
_ID_PREFIX: dict[Stage, str] = {Stage.DRAFT: "d_", Stage.ESSAY: "e_", Stage.EVALUATION: "v_"}

STEPS = ("prompt", "raw", "parsed")
"""What is materialized for each generation, in order; an asset is called `<stage>_<step>`."""


def find_stage_of(gen_id: str) -> Stage | None:
    """The stage a gen_id belongs to by its prefix; None when no stage has that prefix."""
    return next((stage for stage in Stage if gen_id.startswith(stage.id_prefix)), None)
