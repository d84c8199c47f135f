"""Where a bulk run tells whoever started it in the same process what it does and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from daydreaming_dagster.domain.errors import RunInterruptedError
from daydreaming_dagster.engine.plan import Plan
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.run import RunReport
from daydreaming_dagster.engine.steps import StepResult


@dataclass(slots=True)
class RunBoard:
    """What is known of a bulk run so far.

    Attributes:
        plan: what was to be done; None until it is known, and where nobody was to be called.
        report: how it ended; None until it has, and where nobody was to be called.
        waiting: generations that could have no prompt, because their parent's text is not there.
        results: what came of prompts and readings where nobody was to be called, by step.
    """

    progress: Progress = field(default_factory=Progress)
    plan: Plan | None = None
    report: RunReport | None = None
    waiting: int = 0
    results: Mapping[str, Sequence[StepResult]] = field(default_factory=dict)

    @property
    def was_interrupted(self) -> bool:
        """Whether somebody ended the run before it was done."""
        return self.report is not None and isinstance(self.report.stopped, RunInterruptedError)
