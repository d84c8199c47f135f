"""A lane holds the tasks of one pool that are ready, and lets them go as the pool's limits allow."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from typing import Protocol

from daydreaming_dagster.domain.catalogue import Pool
from daydreaming_dagster.domain.errors import RateLimitedError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.pacing import Pacer
from daydreaming_dagster.engine.plan import Task
from daydreaming_dagster.engine.quota import build_quota_error

_LATE_STAGES_FIRST = (Stage.EVALUATION, Stage.ESSAY, Stage.DRAFT)


class Room(Protocol):
    """Limits that hold beyond this process (`engine/limits.py`)."""

    def try_take(self, tokens: int) -> float:
        """Takes room for a call and returns 0.0, or the seconds after which to ask again."""
        ...

    def release(self) -> None:
        """A call has ended; its room is kept for the next one."""
        ...

    def give_back(self) -> None:
        """Nothing more starts for now: others may have what is free."""
        ...

    def explain_wait(self, delay_s: float) -> RateLimitedError:
        """Why nothing may be sent for so many seconds."""
        ...

    def close(self) -> None:
        """Gives back everything."""
        ...


class Lane:
    """Ready tasks of one pool, later stages first.

    What has been begun is finished before something new is begun: a run that is stopped, or reaches its budget, then
    leaves whole trees behind and not a heap of drafts. Only the end of a run is the other way round: what still has
    the most steps before it goes first, or else the last trees, begun last, would leave most of the pool idle.

    Args:
        pool: whose tasks these are.
        room: limits shared with other processes; None when there are none.

    Attributes:
        in_flight: tasks that were taken and have not given their room back.
        pacer: how fast the pool's server may be asked.
        backlog: tasks that could be ready here, but are not claimed yet.
    """

    def __init__(self, pool: Pool, room: Room | None = None) -> None:
        self.pool = pool
        self.in_flight = 0
        self.pacer = Pacer(pool.max_concurrent)
        self.backlog: deque[Task] = deque()
        self._room = room
        self._ready: dict[Stage, deque[Task]] = {stage: deque() for stage in _LATE_STAGES_FIRST}
        self._resting: list[tuple[float, int, Task]] = []
        self._count = itertools.count()

    def push(self, task: Task) -> None:
        """Adds a task that can start."""
        self._ready[task.member.stage].append(task)

    def push_later(self, task: Task, at: float) -> None:
        """Adds a task that can start at that time."""
        heapq.heappush(self._resting, (at, next(self._count), task))

    def find_next(self, now: float, *, is_ending: bool = False) -> Task | None:
        """The task that would start next; it stays where it is until `take`.

        Args:
            now: the loop's time, seconds.
            is_ending: little is left of the run.
        """
        while self._resting and self._resting[0][0] <= now:
            task = heapq.heappop(self._resting)[2]
            self._ready[task.member.stage].appendleft(task)
        stages = reversed(self._ready.values()) if is_ending else self._ready.values()
        return next((tasks[0] for tasks in stages if tasks), None)

    def take(self, task: Task, now: float, tokens: int) -> float | None:
        """Lets the next task go, if the limits allow it.

        Args:
            task: what `find_next` gave.
            now: the loop's time, seconds.
            tokens: the most its call can use.

        Returns:
            0.0 when it may go: it is no longer here, and `release` gives its room back; else after how many seconds to
            ask again, or None for as soon as one of those under way has ended.
        """
        delay_s = self.pacer.find_delay_s(now, self.in_flight)
        if delay_s == 0.0 and self._room is not None:
            delay_s = self._room.try_take(tokens)
        if delay_s == 0.0:
            self.drop(task)
            self.in_flight += 1
        return delay_s

    def drop(self, task: Task) -> None:
        """Removes the next task without letting it go."""
        self._ready[task.member.stage].popleft()

    def release(self) -> None:
        """Gives back the room that `take` took."""
        self.in_flight -= 1
        if self._room is not None:
            self._room.release()

    def give_back(self) -> None:
        """Leaves to others what is free of limits shared with them."""
        if self._room is not None:
            self._room.give_back()

    def explain_wait(self, delay_s: float) -> RateLimitedError:
        """Why nothing may be sent for so many seconds, which is longer than a run waits."""
        return build_quota_error(self.pool, delay_s, None) if self._room is None else self._room.explain_wait(delay_s)

    def drain(self) -> list[Task]:
        """Removes and returns all tasks that have not started."""
        tasks = [*self.backlog, *(task for ready in self._ready.values() for task in ready)]
        self.backlog.clear()
        tasks += [task for _, _, task in self._resting]
        for ready in self._ready.values():
            ready.clear()
        self._resting.clear()
        return tasks

    @property
    def wakes_at(self) -> float | None:
        """When the first of the resting tasks can start."""
        return self._resting[0][0] if self._resting else None

    @property
    def is_hungry(self) -> bool:
        """Whether it could soon have room for more tasks than it holds."""
        return len(self) < self.pacer.window.size

    def __len__(self) -> int:
        return sum(len(ready) for ready in self._ready.values()) + len(self._resting)

    def close(self) -> None:
        """Gives back what is held of limits shared with others."""
        if self._room is not None:
            self._room.close()
