"""Whether the store holds together: what is missing, what nobody needs, what is there twice.

Each check reads and writes nothing. Dagster's asset checks and `daydreaming check` show the same results.
"""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import polars as pl

from daydreaming_dagster.domain.catalogue import Catalogue
from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.membership import REBUILD, REBUILD_COMMAND, Cohort
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.reparse import Change, reparse, show_parsed
from daydreaming_dagster.experiments.result_tables import build_aggregated_scores
from daydreaming_dagster.store.cohort_files import find_current_cohort_id, iter_cohort_ids, read_cohort
from daydreaming_dagster.store.generations import GenerationMetadata, GenerationStore
from daydreaming_dagster.store.index import Index, Summary, find_index_errors
from daydreaming_dagster.store.states import Status

UNREADABLE_PARSED = ("parsed_corrupt", "score_empty", "score_no_number", "score_not_finite", "score_off_scale")
"""Errors of the table of scores that lie in a parsed text; the others say why there is none."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found.

    Attributes:
        name: stable name of the check.
        what: one sentence.
        culprits: ids or names behind it; empty when all is well.
        fix: what to do about them.
        is_error: something is broken; otherwise the culprits are only worth knowing.
    """

    name: str
    what: str
    culprits: Sequence[str] = ()
    fix: str = ""
    is_error: bool = True

    @property
    def passed(self) -> bool:
        """Whether there is nothing to tell."""
        return not self.culprits


def run_store_checks(workspace: Workspace, *, deep: bool = False) -> Iterator[CheckResult]:
    """All checks of a data root, the current cohort included when there is one.

    Args:
        workspace: the data root.
        deep: also read all responses of the current cohort again.
    """
    store = workspace.store
    stored, unreadable = _read_metadata(store)
    summaries = read_summaries(store)
    yield _check_metadata(unreadable)
    yield check_index(store)
    yield check_responses(summaries)
    yield check_stored_parents(stored, summaries)
    yield check_duplicates(stored)
    yield check_scores(build_aggregated_scores(workspace))
    members, damaged = _read_members(workspace)
    yield _check_cohorts(damaged)
    yield check_orphans(members, stored)
    yield check_unused_templates(workspace.catalogue, stored)
    cohort_id = find_current_cohort_id(workspace.paths, workspace.cohort_override)
    if cohort_id is not None and cohort_id not in damaged:
        cohort = read_cohort(workspace.paths, cohort_id)
        yield check_membership(cohort)
        yield check_coverage(cohort, summaries)
        if deep:
            yield check_readings(workspace)


def read_summaries(store: GenerationStore) -> dict[Stage, Mapping[str, Summary]]:
    """How every stored generation stands, by stage and id."""
    with closing(Index(store)) as index:
        return {stage: index.refresh(stage) for stage in Stage}


def check_membership(cohort: Cohort) -> CheckResult:
    """Every row's parent is a row of the stage before, and no id stands twice."""
    stages = {member.gen_id: member.stage for member in cohort.members}
    counts = Counter(member.gen_id for member in cohort.members)
    lost = [m.gen_id for m in cohort.members if stages.get(m.parent_gen_id) is not m.stage.parent]
    twice = [gen_id for gen_id, count in counts.items() if count > 1]
    return CheckResult(
        "membership",
        f"{len(lost)} rows of {cohort.cohort_id} name a parent that it does not have, {len(twice)} ids stand twice",
        [*lost, *twice],
        REBUILD,
    )


def check_coverage(cohort: Cohort, summaries: Mapping[Stage, Mapping[str, Summary]]) -> CheckResult:
    """Every generation of the cohort is done."""
    undone = [
        member
        for member in cohort.members
        if (summary := summaries[member.stage].get(member.gen_id)) is None or summary.status != Status.DONE
    ]
    counts = Counter(member.stage for member in undone)
    detail = ", ".join(f"{counts[stage]} {stage}s" for stage in Stage if counts[stage]) or "nothing"
    return CheckResult(
        "coverage",
        f"{detail} of {cohort.cohort_id} still to be made",
        [member.gen_id for member in undone],
        "Make them: daydreaming run (why not yet: daydreaming status)",
        is_error=False,
    )


def check_responses(summaries: Mapping[Stage, Mapping[str, Summary]]) -> CheckResult:
    """Whatever was read in a response still has the response."""
    lost = [
        gen_id
        for of_stage in summaries.values()
        for gen_id, summary in of_stage.items()
        if summary.status == Status.DONE and not summary.has_text
    ]
    return CheckResult(
        "responses",
        f"{len(lost)} generations have a parsed text whose response, raw.txt, is gone",
        lost,
        "Restore raw.txt from a backup. What was read in it is still there and counts; no model is asked for it again.",
    )


def check_stored_parents(
    stored: Mapping[Stage, Sequence[GenerationMetadata]], summaries: Mapping[Stage, Mapping[str, Summary]]
) -> CheckResult:
    """Whatever has a response was made from a text that is still there."""
    lost = []
    for stage in Stage:
        if stage.parent is None:
            continue
        parents = summaries[stage.parent]
        for metadata in stored[stage]:
            summary, parent = summaries[stage].get(metadata.gen_id), parents.get(metadata.parent_gen_id)
            if summary is not None and summary.has_text and (parent is None or parent.status != Status.DONE):
                lost.append(metadata.gen_id)
    return CheckResult(
        "parents",
        f"{len(lost)} generations were made from a text that is not there any more",
        lost,
        "Make the parents again (daydreaming show ID names them): daydreaming materialize --select "
        '"group:generation_draft,group:generation_essays" --partition PARENT_GEN_ID',
    )


def check_duplicates(stored: Mapping[Stage, Sequence[GenerationMetadata]]) -> CheckResult:
    """No two generations were asked for alike: same source, template, model and replicate."""
    by_signature: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for stage, generations in stored.items():
        for metadata in generations:
            source = metadata.combo_id if stage is Stage.DRAFT else metadata.parent_gen_id
            model = "" if stage is Stage.ESSAY else metadata.llm_model_id
            signature = (stage, source, metadata.template_id, model, metadata.replicate)
            by_signature[signature].append(metadata.gen_id)
    twice = [gen_id for gen_ids in by_signature.values() if len(gen_ids) > 1 for gen_id in sorted(gen_ids)]
    return CheckResult(
        "duplicates",
        f"{len(twice)} generations have the same source, template, model and replicate as another one",
        twice,
        "Keep one of each: move the folders of the others out of gens/.",
    )


def check_scores(scores: pl.DataFrame) -> CheckResult:
    """Every evaluation that counts as done has a score on its rubric's scale.

    Args:
        scores: a frame of `PARSED_SCORES_SCHEMA`.
    """
    wrong = scores.filter(pl.col("error").is_in(UNREADABLE_PARSED))["gen_id"].to_list()
    return CheckResult(
        "scores",
        f"{len(wrong)} evaluations count as done without a score on their rubric's scale",
        wrong,
        "Read the responses again, free of charge: daydreaming reparse",
    )


def check_readings(workspace: Workspace) -> CheckResult:
    """What counts as read in the responses of the current cohort is what the parser that is on record reads in them."""
    wrong = []
    for found in reparse(workspace, dry_run=True).readings:
        if found.change in (Change.CHANGED, Change.LOST) and found.parser == found.parser_before:
            stored, read = (show_parsed(found.member.stage, text) for text in (found.before, found.after))
            wrong.append(f"{found.member.gen_id}: stored is {stored}, {found.parser} reads {read or found.reason}")
    return CheckResult(
        "readings",
        f"{len(wrong)} parsed texts are not what their parser reads in the response",
        wrong,
        "They were edited, or the parser has changed. Take what it reads today, free of charge: daydreaming reparse",
    )


def check_orphans(members: Collection[str], stored: Mapping[Stage, Sequence[GenerationMetadata]]) -> CheckResult:
    """Every stored generation belongs to a cohort.

    Args:
        members: ids of the generations of all cohorts.
        stored: what is there.
    """
    orphans = sorted(
        metadata.gen_id for generations in stored.values() for metadata in generations if metadata.gen_id not in members
    )
    return CheckResult(
        "orphans",
        f"{len(orphans)} stored generations belong to no cohort",
        orphans,
        "They do no harm. Select them into a cohort: docs/guides/selection_and_cube.md",
        is_error=False,
    )


def check_unused_templates(catalogue: Catalogue, stored: Mapping[Stage, Sequence[GenerationMetadata]]) -> CheckResult:
    """Every active template has made something."""
    unused = []
    for stage in Stage:
        used = {metadata.template_id for metadata in stored[stage]}
        unused += [f"{stage} {t.template_id}" for t in catalogue.active_templates(stage) if t.template_id not in used]
    return CheckResult(
        "templates",
        f"{len(unused)} active templates have made nothing yet",
        unused,
        "Make their generations with `daydreaming run`, or set them inactive.",
        is_error=False,
    )


def _check_cohorts(damaged: Mapping[str, str]) -> CheckResult:
    return CheckResult(
        "cohorts",
        f"{len(damaged)} cohorts cannot be read",
        [f"{cohort_id}: {why}" for cohort_id, why in damaged.items()],
        f"Rebuild the cohort from its inputs ({REBUILD_COMMAND}), or restore its folder from a backup.",
    )


def _read_members(workspace: Workspace) -> tuple[set[str], dict[str, str]]:
    members: set[str] = set()
    damaged: dict[str, str] = {}
    for cohort_id in iter_cohort_ids(workspace.paths):
        try:
            members |= {member.gen_id for member in read_cohort(workspace.paths, cohort_id).members}
        except StoreError as error:
            damaged[cohort_id] = error.what
    return members, damaged


def check_index(store: GenerationStore) -> CheckResult:
    """Whether the index says what the files say; reads every file."""
    errors = find_index_errors(store)
    return CheckResult(
        "index",
        f"{len(errors)} generations have files that were rewritten in place since they were indexed",
        errors,
        f"Look at what was changed, then have the index made anew: rm {shlex.quote(str(store.paths.index))}*",
    )


def _check_metadata(unreadable: Iterable[str]) -> CheckResult:
    damaged = sorted(unreadable)
    return CheckResult(
        "metadata",
        f"{len(damaged)} generations have metadata that cannot be read",
        damaged,
        "Restore metadata.json from a backup, or remove the folder: the generation is then made anew.",
    )


def _read_metadata(store: GenerationStore) -> tuple[dict[Stage, list[GenerationMetadata]], list[str]]:
    unreadable: list[str] = []
    return {stage: list(store.iter_metadata(stage, unreadable=unreadable)) for stage in Stage}, unreadable
