"""What a run has done so far, as numbers that a terminal or a Dagster log can show at any moment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.generations import Outcome


@dataclass(slots=True)
class Progress:
    """Counts of one run; only the scheduler changes them.

    Attributes:
        planned: tasks at the start, by stage.
        made, parsed_again, reused, failed, blocked: ended tasks by stage; `made` asked a model or copied.
        left: tasks not begun because the run was stopped, its budget or a day's quota reached, or their endpoint or
            model given up; the next run takes them up.
        elsewhere: tasks that another process did meanwhile.
        failures: failed tasks by stage and reason.
        in_flight: calls under way.
        in_batches: of these, calls that wait for a batch at their provider, which may take hours.
        batched: stages of which some tasks are answered by batches.
        retries: calls that failed in passing and were sent again.
        calls: calls answered or failed, copies not counted.
        cost_usd: sum of what is known.
        unpriced_calls: calls whose cost nobody knows.
        notice: what somebody who watches should know now (a pause, a halted model); empty when all is well.
    """

    planned: Counter[Stage] = field(default_factory=Counter)
    made: Counter[Stage] = field(default_factory=Counter)
    parsed_again: Counter[Stage] = field(default_factory=Counter)
    reused: Counter[Stage] = field(default_factory=Counter)
    failed: Counter[Stage] = field(default_factory=Counter)
    blocked: Counter[Stage] = field(default_factory=Counter)
    left: Counter[Stage] = field(default_factory=Counter)
    elsewhere: Counter[Stage] = field(default_factory=Counter)
    failures: Counter[tuple[Stage, str]] = field(default_factory=Counter)
    in_flight: int = 0
    in_batches: int = 0
    batched: frozenset[Stage] = frozenset()
    retries: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    unpriced_calls: int = 0
    notice: str = ""

    @property
    def unfinished(self) -> int:
        """Tasks that did not end well and are nobody else's."""
        return self.failed.total() + self.blocked.total() + self.left.total()

    @property
    def waits_for_batches(self) -> bool:
        """Whether batches are still to come, so that nobody can tell how long the run will take."""
        return any(self.ended(stage) < self.planned[stage] for stage in self.batched)

    @property
    def succeeded_in_all(self) -> int:
        """Tasks that ended well."""
        return sum(map(self.succeeded, Stage))

    def succeeded(self, stage: Stage) -> int:
        """Tasks of a stage that ended well."""
        return self.made[stage] + self.parsed_again[stage] + self.reused[stage]

    def ended(self, stage: Stage) -> int:
        """Tasks of a stage that ended, well or not."""
        aside = self.failed[stage] + self.blocked[stage] + self.left[stage] + self.elsewhere[stage]
        return self.succeeded(stage) + aside

    def count_call(self, outcome: Outcome) -> None:
        """Adds what a call used."""
        self.calls += 1
        usage = outcome.raw_metadata.get("usage") or {}
        self.prompt_tokens += usage.get("prompt_tokens") or 0
        self.completion_tokens += usage.get("completion_tokens") or 0
        cost = outcome.raw_metadata.get("cost_usd")
        if cost is None:
            self.unpriced_calls += 1
        else:
            self.cost_usd += cost
