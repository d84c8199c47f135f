"""Brings tasks into the lanes of their pools: trees of the plan as lanes run dry, children when their parent is there.

A tree is claimed before it enters its lane. One that another process has claimed is asked for again, until that process
has finished it or is gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from daydreaming_dagster.domain.catalogue import Pool
from daydreaming_dagster.domain.errors import DayDreamingError
from daydreaming_dagster.engine.claims import ClaimSource
from daydreaming_dagster.engine.lanes import Lane, Room
from daydreaming_dagster.engine.maker import Maker
from daydreaming_dagster.engine.plan import Plan, Task
from daydreaming_dagster.engine.task_ends import TaskEnds

LOCAL_POOL = Pool("local work", max_concurrent=16)
"""Of tasks that need no model."""

_TREES_AT_A_TIME = 32
_ASK_FOR_CLAIMED_TREES_S = 1.0


class Intake:
    """The lanes of one run, and what is on its way into them.

    Args:
        maker: says which model makes a task.
        ends: of tasks that need not, or cannot, enter a lane.
        claims: keeps other processes off.
        open_room: limits that a pool shares with other processes; None when there are none.
        wake: told when a lane has something new to start.
        read_time: the loop's time, seconds.

    Attributes:
        lanes: by pool.
    """

    def __init__(
        self,
        maker: Maker,
        ends: TaskEnds,
        claims: ClaimSource,
        *,
        open_room: Callable[[Pool], Room] | None,
        wake: Callable[[], None],
        read_time: Callable[[], float],
    ) -> None:
        self.lanes: dict[str, Lane] = {}
        self._maker = maker
        self._ends = ends
        self._claims = claims
        self._open_room = open_room
        self._wake = wake
        self._read_time = read_time
        self._plan = Plan()
        self._refused: deque[Task] = deque()
        self._ask_again_at = 0.0

    def take_up(self, plan: Plan) -> None:
        """Sorts the plan's trees into the backlogs of their lanes."""
        self._plan = plan
        for task in plan.ready:
            if (lane := self._find_lane(task)) is not None:
                lane.backlog.append(task)

    def make_ready(self, task: Task) -> None:
        """The task is claimed, and its parent is there."""
        if self._ends.stopped is not None:
            self._ends.leave(task)
        elif (lane := self._find_lane(task)) is not None:
            lane.push(task)
            self._wake()  # it may be another lane than the one that is looked at now

    def claim_more(self, lane: Lane) -> None:
        """Claims trees for a lane that could run dry."""
        while lane.backlog and lane.is_hungry:
            count = max(_TREES_AT_A_TIME, lane.pacer.window.size)
            self._claim([lane.backlog.popleft() for _ in range(min(count, len(lane.backlog)))])

    def claim_refused(self) -> None:
        """Looks now and then whether the other processes have finished what this one could not claim."""
        if not self._refused or self._read_time() < self._ask_again_at:
            return
        self._ends.progress.notice = (
            f"Waiting for another process, which works on {len(self._refused)} of the same texts."
        )
        refused, self._refused = self._refused, deque()
        self._claim(list(refused))
        self._ask_again_at = self._read_time() + _ASK_FOR_CLAIMED_TREES_S

    @property
    def asks_again_in_s(self) -> float | None:
        """Seconds until `claim_refused` does something; None when nothing was refused."""
        return max(0.0, self._ask_again_at - self._read_time()) if self._refused else None

    def drain(self) -> list[Task]:
        """Removes and returns all tasks that have not started."""
        waiting = [*self._refused, *(task for lane in self.lanes.values() for task in lane.drain())]
        self._refused.clear()
        return waiting

    def leave_rest(self) -> None:
        """Whatever of the plan has not ended is left to the next run."""
        for root in self._plan.ready:
            self._ends.leave(root)

    def _find_lane(self, task: Task) -> Lane | None:
        """The lane of the task's pool; None when the task cannot be done at all, and has ended."""
        try:
            pool = LOCAL_POOL
            if not self._maker.is_local(task):
                pool = self._maker.recipe.catalogue.pools[self._maker.recipe.model(task.member).pool]
        except DayDreamingError as error:
            self._ends.fail(task, error)
            return None
        lane = self.lanes.get(pool.pool)
        if lane is None:
            room = None if pool is LOCAL_POOL or self._open_room is None else self._open_room(pool)
            lane = self.lanes[pool.pool] = Lane(pool, room)
        return lane

    def _claim(self, roots: Sequence[Task]) -> None:
        claimed = self._claims.claim(roots, self._plan.retry)
        self._refused.extend(claimed.refused)
        for task in claimed.done:
            self._ends.end(task, self._ends.progress.elsewhere)
        for task, reason in claimed.held:
            self._ends.fail_stored(task, reason)
        for task in claimed.ready:
            self.make_ready(task)
