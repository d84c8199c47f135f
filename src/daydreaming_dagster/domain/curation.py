"""Curated cohorts: the rows that follow from selected generations, with new replicates where the mode asks for them.

Each mode makes new replicates at one stage (`Mode.minted`); what lies above is taken as it is, what lies below is new
anyway. New replicates count on from the highest that exists, also when there are gaps: a number that was given out once
may still be spoken of somewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count

from daydreaming_dagster.domain.membership import (
    Axes,
    Member,
    build_all_evaluations,
    build_draft,
    build_essay,
    build_evaluation,
)
from daydreaming_dagster.domain.selection import Mode
from daydreaming_dagster.domain.stages import Stage


@dataclass(frozen=True, slots=True)
class Source:
    """A selected generation with what it was made from; `essay` is None where a draft was selected."""

    draft: Member
    essay: Member | None = None


class Replicates:
    """The replicates that exist of each signature, and those that come next.

    Args:
        existing: stored generations; only those whose signature will be asked for matter.
        own: ids of those that were made by the very cohort that is being built. Building it again gives the same
            numbers, even when its membership file was lost.
        unusable: ids that must not be given out although nobody can say what lies there.
    """

    def __init__(
        self,
        existing: Iterable[Member] = (),
        *,
        own: Container[str] = (),
        unusable: Container[str] = (),
    ) -> None:
        self._own = own
        self._unusable = unusable
        self._existing: dict[str, list[Member]] = {}
        self._numbers: dict[str, Iterator[int]] = {}
        for member in existing:
            source, template_id, model_id = member.signature()[1:4]
            self._existing.setdefault(_compute_base(source, template_id, model_id), []).append(member)

    @property
    def gen_ids(self) -> frozenset[str]:
        """Ids of the stored generations."""
        return frozenset(member.gen_id for members in self._existing.values() for member in members)

    def find_existing(self, source: str, template_id: str, llm_model_id: str = "") -> list[Member]:
        """The stored generations of a signature, by replicate.

        Args:
            source: combo_id of drafts, parent_gen_id of others.
            template_id: the template.
            llm_model_id: the model; blank for essays, whose draft says it.
        """
        existing = self._existing.get(_compute_base(source, template_id, llm_model_id), ())
        return sorted(existing, key=lambda member: member.replicate)

    def mint(self, signature: tuple[str, str, str], build: Callable[[int], Member], number: int) -> list[Member]:
        """As many new replicates as asked for; asking again goes on where it stopped.

        Args:
            signature: source, template and model as in `find_existing`.
            build: the generation with a given replicate number.
            number: how many.
        """
        base = _compute_base(*signature)
        if base not in self._numbers:
            self._numbers[base] = self._iter_free_numbers(self._existing.get(base, ()))
        minted: list[Member] = []
        while len(minted) < number:
            member = build(next(self._numbers[base]))
            if member.gen_id not in self._unusable:
                minted.append(member)
        return minted

    def _iter_free_numbers(self, existing: Collection[Member]) -> Iterator[int]:
        own = {member.replicate for member in existing if member.gen_id in self._own}
        others = {member.replicate for member in existing if member.gen_id not in self._own}
        # Own ones stand in the block that was given out the first time: it began behind the others of that day.
        earlier = {number for number in others if not own or number < min(own)}
        return (number for number in count(max(earlier, default=0) + 1) if number not in others)


def build_curated_members(
    cohort_id: str, mode: Mode, sources: Sequence[Source], axes: Axes, replicates: Replicates, *, fill_up: bool = False
) -> list[Member]:
    """The rows of a curated cohort: drafts, then essays, then evaluations.

    Args:
        cohort_id: the cohort.
        mode: what is made anew.
        sources: what was selected, each once.
        axes: templates, judges and replicate counts.
        replicates: what exists at the stage that the mode makes anew.
        fill_up: only missing evaluations are made; existing ones belong to the cohort.
    """
    drafts, essays = _take_sources(cohort_id, mode, sources)
    builder = _Builder(cohort_id, mode, axes, replicates)
    if mode is Mode.REUSE_ESSAYS:
        evaluations = [row for essay in essays for row in builder.build_evaluations(essay, fill_up=fill_up)]
        return [*drafts, *essays, *evaluations]
    by_draft: dict[str, list[Member]] = {draft.gen_id: [] for draft in drafts}
    for essay in essays:
        by_draft[essay.parent_gen_id].append(essay)
    new_drafts, new_essays = [], []
    for draft in drafts:
        for parent in builder.build_drafts(draft):
            new_drafts.append(parent)
            new_essays.extend(builder.build_essays(parent, by_draft[draft.gen_id]))
    return [*new_drafts, *new_essays, *build_all_evaluations(new_essays, axes)]


def _take_sources(cohort_id: str, mode: Mode, sources: Iterable[Source]) -> tuple[list[Member], list[Member]]:
    drafts: dict[str, Member] = {}
    essays: dict[str, Member] = {}
    for source in sources:
        drafts[source.draft.gen_id] = source.draft._replace(cohort_id=cohort_id, mode=mode.value)
        if source.essay is not None:
            essays[source.essay.gen_id] = source.essay._replace(cohort_id=cohort_id, mode=mode.value)
    return list(drafts.values()), list(essays.values())


@dataclass(frozen=True, slots=True)
class _Builder:
    cohort_id: str
    mode: Mode
    axes: Axes
    replicates: Replicates

    def build_drafts(self, source: Member) -> list[Member]:
        if self.mode is not Mode.REGENERATE:
            return [source]
        signature = (source.combo_id, source.template_id, source.llm_model_id)

        def build(replicate: int) -> Member:
            return build_draft(self.cohort_id, self.mode.value, *signature, replicate=replicate)

        return self.replicates.mint(signature, build, self.axes.replicates[Stage.DRAFT])

    def build_essays(self, draft: Member, sources: Sequence[Member]) -> list[Member]:
        # A draft that was selected itself gets every active essay template, one of a selected essay only that essay's.
        templates = [essay.template_id for essay in sources] if sources else self.axes.essay_templates
        # Below a new draft nothing exists yet, whatever the store holds of other drafts.
        replicates = self.replicates if self.mode is Mode.REUSE_DRAFTS else Replicates()
        return [
            essay
            for template_id in templates
            for essay in replicates.mint(
                (draft.gen_id, template_id, ""),
                partial(build_essay, draft, template_id),
                self.axes.replicates[Stage.ESSAY],
            )
        ]

    def build_evaluations(self, essay: Member, *, fill_up: bool) -> Iterator[Member]:
        wanted = self.axes.replicates[Stage.EVALUATION]
        for template_id in self.axes.evaluation_templates:
            for model_id in self.axes.evaluation_models:
                signature = (essay.gen_id, template_id, model_id)
                existing = self.replicates.find_existing(*signature) if fill_up else []
                for row in existing:
                    yield row._replace(cohort_id=self.cohort_id, combo_id=essay.combo_id, mode=self.mode.value)
                if len(existing) < wanted:
                    build = partial(build_evaluation, essay, template_id, model_id)
                    yield from self.replicates.mint(signature, build, wanted - len(existing))


def _compute_base(source: str, template_id: str, llm_model_id: str) -> str:
    # As in gen_ids: upper and lower case are one.
    return f"{source}|{template_id}|{llm_model_id}".lower()
