"""How the tasks of a run end: each exactly once, counted once, and with it what can no longer be made from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from daydreaming_dagster.domain.errors import DayDreamingError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.plan import Plan, Task
from daydreaming_dagster.engine.progress import Progress


class TaskEnds:
    """The ends of one run's tasks; nothing else counts one.

    Args:
        progress: the counts.
        errors: the first error of each reason, for people.
        on_end: told of each task that has ended.

    Attributes:
        failed: by gen_id, tasks that ended without a response, and why: those left to do by a stopped run among them.
        outstanding: tasks that have not ended.
        stopped: why no further call is sent; None while all goes on.
    """

    def __init__(self, progress: Progress, errors: dict[str, DayDreamingError], on_end: Callable[[Task], None]) -> None:
        self.progress = progress
        self.errors = errors
        self.failed: dict[str, DayDreamingError] = {}
        self.outstanding = 0
        self.stopped: DayDreamingError | None = None
        self._on_end = on_end

    def expect(self, plan: Plan) -> None:
        """Counts the tasks that are to end."""
        for (stage, _), count in plan.tasks.items():
            self.progress.planned[stage] += count
        self.outstanding = plan.size

    def end(self, task: Task, how: Counter[Stage]) -> None:
        """The task alone has ended; what follows from it has not.

        Args:
            task: which has not ended before.
            how: one of the counters of `Progress`.
        """
        if task.has_ended:
            raise RuntimeError(f"{task.member.gen_id} ended twice")
        task.has_ended = True
        how[task.member.stage] += 1
        self.outstanding -= 1
        self._on_end(task)

    def fail(self, task: Task, error: DayDreamingError) -> None:
        """The task has failed, and nothing of it is stored."""
        self.errors.setdefault(error.reason, error)
        self.failed[task.member.gen_id] = error
        self.fail_stored(task, error.reason)

    def fail_stored(self, task: Task, reason: str) -> None:
        """The task has failed, as its files say; so nothing can be made from it."""
        self.progress.failures[task.member.stage, reason] += 1
        self.end(task, self.progress.failed)
        self.block(task.children)

    def block(self, tasks: Sequence[Task]) -> None:
        """These tasks and all that follows from them cannot be done."""
        for task in tasks:
            if not task.has_ended:
                self.end(task, self.progress.blocked)
            self.block(task.children)

    def leave(self, task: Task) -> None:
        """The task and all that follows from it is left to the next run."""
        for each in task.walk():
            if each.has_ended:  # it waited in a lane when something else about it broke
                continue
            if self.stopped is not None:
                self.failed.setdefault(each.member.gen_id, self.stopped)
            self.end(each, self.progress.left)

    def leave_halted(self, task: Task, halt: DayDreamingError) -> None:
        """Nothing is wrong with the task itself: it stays to be done, when what halts it has been mended."""
        self.failed[task.member.gen_id] = halt
        self.leave(task)
