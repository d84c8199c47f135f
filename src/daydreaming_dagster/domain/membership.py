"""Membership: the rows of a cohort, one per generation, drafts before essays before evaluations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from daydreaming_dagster.domain.combinations import Combination
from daydreaming_dagster.domain.errors import MembershipError
from daydreaming_dagster.domain.ids import compute_draft_gen_id, compute_essay_gen_id, compute_evaluation_gen_id
from daydreaming_dagster.domain.stages import Stage

MEMBERSHIP_COLUMNS = (
    "stage",
    "gen_id",
    "cohort_id",
    "parent_gen_id",
    "combo_id",
    "template_id",
    "llm_model_id",
    "replicate",
    "mode",
)
"""Columns of `membership.csv`, in order."""

REBUILD_COMMAND = 'daydreaming materialize --select "cohort_id,cohort_membership"'
REBUILD = f"Rebuild the cohort: {REBUILD_COMMAND}"
MODE_CARTESIAN = "cartesian"


class Member(NamedTuple):
    """One generation of a cohort: what is to be made, from what, by whom.

    A named tuple, because a cohort holds a hundred thousand and they are read from disk by every command.

    Attributes:
        parent_gen_id: empty for drafts.
        llm_model_id: the model that writes it; an essay is written by its draft's model (a copied one carries it).
        replicate: counts from 1.
        mode: how the row came to be: `cartesian`, `regenerate`, `reuse-drafts`, `reuse-essays`; empty in cohorts of
            older versions, which did not say.
    """

    stage: Stage
    gen_id: str
    cohort_id: str
    parent_gen_id: str
    combo_id: str
    template_id: str
    llm_model_id: str
    replicate: int
    mode: str

    def signature(self) -> tuple[str, str, str, str, int]:
        """What the gen_id was computed from, as written: two members with one id and two signatures are in conflict."""
        source = self.combo_id if self.stage is Stage.DRAFT else self.parent_gen_id
        model = "" if self.stage is Stage.ESSAY else self.llm_model_id
        return (self.stage, source, self.template_id, model, self.replicate)


@dataclass(frozen=True, slots=True)
class Axes:
    """What a cohort is spanned by: ids in the order of the input files, and how often each signature is made."""

    draft_templates: tuple[str, ...]
    essay_templates: tuple[str, ...]
    evaluation_templates: tuple[str, ...]
    generation_models: tuple[str, ...]
    evaluation_models: tuple[str, ...]
    replicates: Mapping[Stage, int]

    def replicate_numbers(self, stage: Stage) -> range:
        """1, 2, … up to the stage's number of replicates."""
        return range(1, self.replicates[stage] + 1)


@dataclass(frozen=True)
class Cohort:
    """A cohort as it stands on disk.

    Attributes:
        manifest: what it was made from; empty for cohorts of older versions that have none.
        members: drafts, then essays, then evaluations.
        combinations: by combo_id; one that is known nowhere any more is absent.
    """

    cohort_id: str
    manifest: Mapping[str, Any]
    members: Sequence[Member]
    combinations: Mapping[str, Combination]

    @cached_property
    def by_gen_id(self) -> Mapping[str, Member]:
        """Members by id."""
        return {member.gen_id: member for member in self.members}

    def require_parent(self, member: Member) -> Member:
        """The member that this one is made from.

        Raises:
            MembershipError: the row names no parent, or one that the cohort does not have.
        """
        parent = self.by_gen_id.get(member.parent_gen_id)
        if parent is None or parent.stage is not member.stage.parent:
            raise build_parent_error(member)
        return parent


def build_cartesian_members(cohort_id: str, combo_ids: Iterable[str], axes: Axes) -> list[Member]:
    """Every combination with every template, model and replicate of every stage."""
    drafts = [
        build_draft(cohort_id, MODE_CARTESIAN, combo_id, template_id, model_id, replicate=replicate)
        for combo_id in combo_ids
        for template_id in axes.draft_templates
        for model_id in axes.generation_models
        for replicate in axes.replicate_numbers(Stage.DRAFT)
    ]
    essays = build_all_essays(drafts, axes)
    return [*drafts, *essays, *build_all_evaluations(essays, axes)]


def build_all_essays(drafts: Iterable[Member], axes: Axes) -> list[Member]:
    """Each draft with every essay template and replicate."""
    return [
        build_essay(draft, template_id, replicate)
        for draft in drafts
        for template_id in axes.essay_templates
        for replicate in axes.replicate_numbers(Stage.ESSAY)
    ]


def build_all_evaluations(essays: Iterable[Member], axes: Axes) -> list[Member]:
    """Each essay with every evaluation template, judge model and replicate."""
    return [
        build_evaluation(essay, template_id, model_id, replicate)
        for essay in essays
        for template_id in axes.evaluation_templates
        for model_id in axes.evaluation_models
        for replicate in axes.replicate_numbers(Stage.EVALUATION)
    ]


def build_draft(
    cohort_id: str, mode: str, combo_id: str, template_id: str, llm_model_id: str, *, replicate: int
) -> Member:
    """The row of a draft."""
    gen_id = compute_draft_gen_id(combo_id, template_id, llm_model_id, replicate)
    return Member(Stage.DRAFT, gen_id, cohort_id, "", combo_id, template_id, llm_model_id, replicate, mode)


def build_essay(draft: Member, template_id: str, replicate: int) -> Member:
    """The row of an essay made from a draft, by the draft's model."""
    return Member(
        Stage.ESSAY,
        compute_essay_gen_id(draft.gen_id, template_id, replicate),
        draft.cohort_id,
        draft.gen_id,
        draft.combo_id,
        template_id,
        draft.llm_model_id,
        replicate,
        draft.mode,
    )


def build_evaluation(essay: Member, template_id: str, llm_model_id: str, replicate: int) -> Member:
    """The row of one judge's evaluation of an essay."""
    return Member(
        Stage.EVALUATION,
        compute_evaluation_gen_id(essay.gen_id, template_id, llm_model_id, replicate),
        essay.cohort_id,
        essay.gen_id,
        essay.combo_id,
        template_id,
        llm_model_id,
        replicate,
        essay.mode,
    )


def find_with_descendants(members: Iterable[Member], gen_ids: Iterable[str]) -> set[str]:
    """These generations and everything made from them; `members` are parents before children."""
    found = set(gen_ids)
    for member in members:
        if member.parent_gen_id in found:
            found.add(member.gen_id)
    return found


def find_with_ancestors(members: Iterable[Member], gen_id: str) -> set[str]:
    """This generation and everything that it is made from."""
    parents = {member.gen_id: member.parent_gen_id for member in members}
    found = {gen_id}
    while gen_id := parents.get(gen_id, ""):
        found.add(gen_id)
    return found


def require_distinct_ids(members: Iterable[Member]) -> None:
    """Checks that no two generations share an id: their files would be one another's.

    Raises:
        MembershipError: names the first pair.
    """
    seen: dict[str, Member] = {}
    for member in members:
        other = seen.setdefault(member.gen_id, member)
        if other is not member:
            raise build_conflict_error(member.gen_id, other.signature(), member.signature())


def require_valid_parents(members: Sequence[Member]) -> None:
    """Checks that every essay's draft and every evaluation's essay is among the members.

    Raises:
        MembershipError: names the first row without its parent.
    """
    stages = {member.gen_id: member.stage for member in members}
    for member in members:
        if member.stage.parent is not (stages.get(member.parent_gen_id) if member.parent_gen_id else None):
            raise build_parent_error(member)


def build_parent_error(member: Member) -> MembershipError:
    """The error for a row whose parent is not in its cohort."""
    return MembershipError(
        f"Invalid parent_gen_id referenced by {member.stage} '{member.gen_id}': '{member.parent_gen_id}'. "
        f"Cohort '{member.cohort_id}' has no such {member.stage.parent}.",
        fix=f"Check the selection and the input files, then r{REBUILD[1:]}",
        reason="invalid_parent",
        culprits={
            "stage": str(member.stage),
            "gen_id": member.gen_id,
            "parent_gen_id": member.parent_gen_id,
            "cohort_id": member.cohort_id,
        },
    )


def build_conflict_error(gen_id: str, first: Sequence[object], second: Sequence[object]) -> MembershipError:
    """The error for two generations that would lie in one folder."""
    return MembershipError(
        f"Two different generations have the id '{gen_id}': {_show(first)} and {_show(second)}. "
        "Ids do not tell upper from lower case.",
        fix="Rename the template, model or combination of one of them in data/1_raw, then r" + REBUILD[1:],
        reason="id_conflict",
        culprits={"gen_id": gen_id, "first": _show(first), "second": _show(second)},
    )


def _show(signature: Sequence[object]) -> str:
    return "(" + ", ".join(str(part) for part in signature if part != "") + ")"
