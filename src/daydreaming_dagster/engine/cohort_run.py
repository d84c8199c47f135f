"""The main job below Dagster: everything of a cohort that is not done yet, or a part of it, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from daydreaming_dagster.domain.catalogue import Model
from daydreaming_dagster.domain.combinations import Combination
from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.membership import Member, find_with_ancestors, find_with_descendants
from daydreaming_dagster.domain.stages import STEPS, Stage
from daydreaming_dagster.engine.forecast import Forecast, build_record, forecast_plan
from daydreaming_dagster.engine.plan import Action, Plan, build_plan, decide
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.engine.retries import require_known_reasons
from daydreaming_dagster.engine.run import RunOptions, RunReport, run_plan
from daydreaming_dagster.engine.staleness import (
    CHEAP_MEMBERS,
    STALE,
    Renaming,
    find_renamings,
    find_stale,
)
from daydreaming_dagster.engine.steps import StepResult, materialize_parsed, materialize_prompts
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.llm.keys import require_key
from daydreaming_dagster.store import files
from daydreaming_dagster.store.index import Index
from daydreaming_dagster.store.ledger import Ledger
from daydreaming_dagster.store.states import GenerationState, Status

_StateOf = Callable[[Member], GenerationState]


class CohortRows(Protocol):
    """A cohort on disk, or one that is only planned."""

    @property
    def members(self) -> Sequence[Member]:
        """Drafts, then essays, then evaluations."""
        ...

    @property
    def combinations(self) -> Mapping[str, Combination]:
        """By combo_id."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """Which part of a cohort a run is about.

    Attributes:
        stages: only these are worked on; parents of other stages must be done.
        steps: of each generation. Without `raw` nobody is called; without `parsed` answers are stored and not read.
        gen_ids: only these; None takes all.
        lineage_of: only this generation, what it is made from and what is made from it. It and what follows from it are
            asked for by name; what it is made from is made where it is missing.
        retry: reasons of lasting failures that are called again; `stale` among them for what was made from inputs that
            have changed since, and for what follows from it, as far as its own request is another one then.
    """

    stages: Collection[Stage] = tuple(Stage)
    steps: Collection[str] = STEPS
    gen_ids: Collection[str] | None = None
    lineage_of: str | None = None
    retry: Collection[str] = ()


EVERYTHING = Choice()
"""Whatever is not done yet."""


def plan_cohort_run(workspace: Workspace, cohort: CohortRows, choice: Choice = EVERYTHING) -> Plan:
    """What a run would do, as far as it makes or reads responses; of the store it touches nothing but the index."""
    with closing(Index(workspace.store)) as index:
        return _plan(workspace, index, cohort, choice)


def find_called_models(workspace: Workspace, cohort: CohortRows, plan: Plan) -> list[Model]:
    """The models that the plan would ask, as far as they are among the inputs; sorted by id."""
    recipe = workspace.recipe(cohort.combinations)
    models = workspace.catalogue.models
    called = {
        task.member.llm_model_id
        for root in plan.ready
        for task in root.walk()
        if task.action is not Action.PARSE and not recipe.is_copy(task.member)
    }
    return [models[name] for name in sorted(called & models.keys())]


def require_keys(workspace: Workspace, cohort: CohortRows, plan: Plan) -> None:
    """Looks up the key of every endpoint that the plan would call, so that a missing one is told before anything runs.

    Raises:
        ConfigurationError: a key is missing.
    """
    for endpoint in {model.endpoint for model in find_called_models(workspace, cohort, plan)}:
        require_key(workspace.catalogue.endpoints[endpoint], workspace.environ)


def forecast_cohort_run(workspace: Workspace, cohort: CohortRows, choice: Choice = EVERYTHING) -> tuple[Plan, Forecast]:
    """What a run would do and what it would take; writes nothing and calls nobody.

    Args:
        workspace: the data root.
        cohort: whose generations would be made; it need not be written yet.
        choice: which part of it.
    """
    with closing(Index(workspace.store, read_only=True)) as index:
        plan = _plan(workspace, index, cohort, choice)
        return plan, _forecast(workspace, cohort, plan, index)


@dataclass(frozen=True, slots=True)
class Hints:
    """What somebody should know before a plan is run.

    Attributes:
        stale: generations made from inputs that have changed since; None when looking for them would take long.
        renamings: ids that seem to have been renamed, so that what is stored under the old ones would be paid again.
    """

    stale: int | None
    renamings: Sequence[Renaming]


def find_hints(workspace: Workspace, cohort: CohortRows, plan: Plan) -> Hints:
    """Looks for what is cheap to find; writes nothing."""
    with closing(Index(workspace.store, read_only=True)) as index:
        renamings = find_renamings(workspace.recipe(cohort.combinations), plan, index)
    return Hints(count_stale(workspace, cohort), renamings)


def count_stale(workspace: Workspace, cohort: CohortRows) -> int | None:
    """How many of a small cohort were made from inputs that have changed since; None for a large one."""
    if len(cohort.members) > CHEAP_MEMBERS:
        return None
    with closing(Index(workspace.store, read_only=True)) as index:
        return sum(1 for _ in find_stale(workspace.recipe(cohort.combinations), cohort.members, index))


def run_cohort(
    workspace: Workspace,
    cohort: CohortRows,
    plan: Plan,
    run_info: RunInfo,
    *,
    progress: Progress | None = None,
    options: RunOptions | None = None,
) -> RunReport:
    """Runs the plan of a cohort, and keeps what was expected of it beside what came (see `run_plan`)."""
    recipe = workspace.recipe(cohort.combinations)
    if plan.size == 0:
        return run_plan(recipe, plan, run_info, environ=workspace.environ, progress=progress, options=options)
    with closing(Index(workspace.store)) as index:
        forecast = _forecast(workspace, cohort, plan, index)
    report = run_plan(recipe, plan, run_info, environ=workspace.environ, progress=progress, options=options)
    facts = {"run_id": run_info.run_id, "cohort_id": run_info.cohort_id, "ended_at": time.time()}
    facts["was_complete"] = report.stopped is None and not report.progress.left
    record = build_record(forecast, report.progress, report.duration_s, facts)
    report.forecast = forecast
    try:
        files.write_json(workspace.paths.forecasts / f"{run_info.run_id}.json", record)
    except StoreError as error:  # the disk is full, say: what the run did must be told all the same
        report.stopped = report.stopped or error
        report.errors = {error.reason: error, **report.errors}
    return report


@dataclass(frozen=True, slots=True)
class FreeSteps:
    """Prompts to be written and responses to be read; neither asks a model.

    Attributes:
        prompts: generations without a response, and those asked for by name.
        parsed: generations with a response that is not read yet, and those asked for by name.
        waiting: generations whose parent's text is not there yet, so that they can have no prompt.
    """

    prompts: list[Member]
    parsed: list[Member]
    waiting: list[Member]


def plan_free_steps(workspace: Workspace, cohort: CohortRows, choice: Choice) -> FreeSteps:
    """What the steps `prompt` and `parsed` of a choice would do without `raw`; changes no file of the store."""
    members, named = choose_members(cohort, choice)
    with closing(Index(workspace.store, read_only=workspace.read_only)) as index:
        state_of = _open_states(index, tuple(Stage))
    planned = FreeSteps([], [], [])
    rows = {member.gen_id: member for member in cohort.members}
    for member in members:
        state = state_of(member)
        if "parsed" in choice.steps and (member.gen_id in named or decide(state, choice.retry) is Action.PARSE):
            planned.parsed.append(member)
        if "prompt" in choice.steps and (member.gen_id in named or not state.has_text):
            parent = rows.get(member.parent_gen_id)
            is_ready = parent is None or state_of(parent).status is Status.DONE
            (planned.prompts if is_ready else planned.waiting).append(member)
    return planned


def run_free_steps(
    workspace: Workspace, cohort: CohortRows, planned: FreeSteps, run_info: RunInfo
) -> dict[str, list[StepResult]]:
    """Writes the prompts and reads the responses; what came of each generation, by step."""
    recipe = workspace.recipe(cohort.combinations)
    return {
        "prompt": materialize_prompts(workspace, recipe, planned.prompts, run_info),
        "parsed": materialize_parsed(workspace, recipe, planned.parsed, run_info),
    }


def choose_members(cohort: CohortRows, choice: Choice) -> tuple[list[Member], set[str]]:
    """The members that a choice covers, in the order of the cohort, and the ids of those asked for by name."""
    named: set[str] = set()
    wanted = None if choice.gen_ids is None else set(choice.gen_ids)
    if choice.lineage_of is not None:
        named = find_with_descendants(cohort.members, [choice.lineage_of])
        wanted = named | find_with_ancestors(cohort.members, choice.lineage_of)
    members = [
        member
        for member in cohort.members
        if member.stage in choice.stages and (wanted is None or member.gen_id in wanted)
    ]
    return members, named


def _plan(workspace: Workspace, index: Index, cohort: CohortRows, choice: Choice) -> Plan:
    members, named = choose_members(cohort, choice)
    state_of = _open_states(index, choice.stages)
    if choice.retry:
        failures = (state_of(member).failure for member in members)
        require_known_reasons(choice.retry, {failure.reason for failure in failures if failure is not None})
    if STALE in choice.retry:
        stale = find_stale(workspace.recipe(cohort.combinations), members, index)
        named |= find_with_descendants(members, (member.gen_id for member, _ in stale))
    if "parsed" not in choice.steps:
        state_of = _leave_unread(state_of, choice.retry)
    return build_plan(members, state_of, retry=choice.retry, named=named)


def _forecast(workspace: Workspace, cohort: CohortRows, plan: Plan, index: Index) -> Forecast:
    with closing(Ledger(workspace.paths, read_only=True)) as ledger:
        return forecast_plan(workspace.recipe(cohort.combinations), plan, index, ledger)


def _open_states(index: Index, stages: Collection[Stage]) -> _StateOf:
    states = {stage: index.states(stage) for stage in stages}
    return lambda member: states[member.stage](member.gen_id)


def _leave_unread(state_of: _StateOf, retry: Collection[str]) -> _StateOf:
    done = GenerationState(Status.DONE)

    def state_without_reading(member: Member) -> GenerationState:
        state = state_of(member)
        return done if decide(state, retry) is Action.PARSE else state

    return state_without_reading
