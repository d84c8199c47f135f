"""How far a cohort has come: counts by stage, and the generations that need somebody's attention."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

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
    counts: Counter[Status] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """How many generations the stage has."""
        return self.counts.total()


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
    for stage, rows in groupby(cohort.members, attrgetter("stage")):
        members = list(rows)
        found = list(map(state_of[stage], map(attrgetter("gen_id"), members)))
        statuses = list(map(attrgetter("status"), found))
        states += zip(members, statuses, strict=True)
        # To count members of an enum one by one takes longer than all the rest of this.
        by_stage[stage].counts.update({status: count for status in Status if (count := statuses.count(status))})
        failed += [(m, state.failure) for m, state in zip(members, found, strict=True) if state.failure is not None]
    for member, failure in failed:
        by_stage[member.stage].failures[failure.reason] += 1
    return CohortStatus(cohort.cohort_id, list(by_stage.values()), states, failed)
