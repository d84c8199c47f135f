"""A lane holds the tasks of one pool that are ready, and lets them go as the pool's limits allow."""

from __future__ import annotations

from collections import deque

from daydreaming_dagster.domain.catalogue import Pool
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.plan import Task

_LATE_STAGES_FIRST = (Stage.EVALUATION, Stage.ESSAY, Stage.DRAFT)


class Lane:
    """Ready tasks of one pool, later stages first.

    What has been begun is finished before something new is begun: a run that is stopped, or reaches its budget, then
    leaves whole trees behind and not a heap of drafts.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.in_flight = 0
        self._ready: dict[Stage, deque[Task]] = {stage: deque() for stage in _LATE_STAGES_FIRST}

    def push(self, task: Task) -> None:
        """Adds a task that can start."""
        self._ready[task.member.stage].append(task)

    def pop(self) -> Task | None:
        """The next task if there is one and the pool has room for it; the caller releases it afterwards."""
        if self.in_flight >= self.pool.max_concurrent:
            return None
        for tasks in self._ready.values():
            if tasks:
                self.in_flight += 1
                return tasks.popleft()
        return None

    def release(self) -> None:
        """Gives back the room that `pop` took."""
        self.in_flight -= 1

    def drain(self) -> list[Task]:
        """Removes and returns all tasks that have not started."""
        tasks = [task for ready in self._ready.values() for task in ready]
        for ready in self._ready.values():
            ready.clear()
        return tasks

    def __len__(self) -> int:
        return sum(len(ready) for ready in self._ready.values())
