"""How far a cohort has come: counts by stage, and the generations that need somebody's attention."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from daydreaming_dagster.domain.membership import Cohort, Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.store.index import Index
from daydreaming_dagster.store.states import Failure, Status


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage of a cohort.

    Attributes:
        failures: number of failed generations by reason.
    """

    stage: Stage
    total: int = 0
    counts: Counter[Status] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class CohortStatus:
    """A whole cohort.

    Attributes:
        states: status of every member, in the order of the cohort.
        failed: members that failed, with the reason.
    """

    cohort_id: str
    stages: list[StageStatus]
    states: list[tuple[Member, Status]]
    failed: list[tuple[Member, Failure]]

    @property
    def is_complete(self) -> bool:
        """Whether everything is done."""
        return all(stage.counts[Status.DONE] == stage.total for stage in self.stages)


def read_cohort_status(store: GenerationStore, cohort: Cohort) -> CohortStatus:
    """The status that the files show now."""
    index = Index(store)
    try:
        state_of = {stage: index.states(stage) for stage in Stage}
    finally:
        index.close()
    by_stage = {stage: StageStatus(stage) for stage in Stage}
    states: list[tuple[Member, Status]] = []
    failed: list[tuple[Member, Failure]] = []
    totals: Counter[Stage] = Counter()
    for member in cohort.members:
        state = state_of[member.stage](member.gen_id)
        states.append((member, state.status))
        totals[member.stage] += 1
        stage_status = by_stage[member.stage]
        stage_status.counts[state.status] += 1
        if state.failure is not None:
            stage_status.failures[state.failure.reason] += 1
            failed.append((member, state.failure))
    stages = [StageStatus(stage, totals[stage], by_stage[stage].counts, by_stage[stage].failures) for stage in Stage]
    return CohortStatus(cohort.cohort_id, stages, states, failed)
