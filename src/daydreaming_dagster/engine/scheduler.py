"""Runs a plan in one event loop: every pool as busy as its limits allow, no barrier between the stages.

    backlog → claimed → ready in its pool's lane → call → durable on disk → its children become ready

Invariants, whatever the models, the disk and the user do:

- a pool never has more calls under way than its limit;
- a child starts only when its parent's parsed text can be read from the disk;
- every run ends, whatever its collaborators raise, as long as what they were asked to do comes to some end;
- every task ends exactly once, and is counted once;
- an answer that arrived is stored, also while the run is being stopped or after something else broke;
- a call is written down before it is sent, and nothing is sent that the budget could not pay at its worst;
- a call that failed in passing gives its room back while it waits for its next attempt.

All of it runs in the loop's thread, and nothing here waits for the disk or for another process.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

from daydreaming_dagster.domain.catalogue import Pool
from daydreaming_dagster.domain.errors import BudgetExhaustedError, DayDreamingError, RunInterruptedError, StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.callbook import Call, CallBook
from daydreaming_dagster.engine.calling import Caller, ClientSource
from daydreaming_dagster.engine.claims import ClaimSource, NoClaims
from daydreaming_dagster.engine.halts import Halts
from daydreaming_dagster.engine.intake import LOCAL_POOL, Intake
from daydreaming_dagster.engine.lanes import Lane, Room
from daydreaming_dagster.engine.maker import Maker
from daydreaming_dagster.engine.plan import Action, Plan, Task
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.records import Attempt
from daydreaming_dagster.engine.retries import LONGEST_WAIT_S, RetryPolicy
from daydreaming_dagster.engine.task_ends import TaskEnds
from daydreaming_dagster.store.generations import Outcome
from daydreaming_dagster.store.journal import Entry

_MOST_WAITING_FOR_DISK = 2000
_LOOK_AT_DISK_AGAIN_S = 0.1
_LAST_ROUNDS = 4
"""With fewer tasks left than a pool does in so many rounds of calls, the order within it turns round."""


class OutcomeStore(Protocol):
    """Where outcomes are made durable (`engine/writer.py`)."""

    @property
    def backlog(self) -> int:
        """Entries that wait for the disk."""
        ...

    @property
    def trouble(self) -> StoreError | None:
        """Why no further call should be sent."""
        ...

    def commit(self, entry: Entry) -> Awaitable[None]:
        """Takes an entry, which survives this process from now on.

        What it returns ends when the entry is durable and its files can be read, or in a `StoreError`.
        """
        ...


class Scheduler:
    """One run of a plan.

    Args:
        maker: makes single generations.
        clients: the doors to the models.
        writer: makes outcomes durable.
        book: keeps book of calls and money.
        claims: keeps other processes off; None when there are none.
        open_room: limits that a pool shares with other processes; None when there are none.
        retry: when to try again.
        jitter: random numbers in [0, 1).

    Attributes:
        progress: counts, for whoever watches.
        errors: the first error of each reason, for people.
        reused: gen_ids whose stored response was taken again.
    """

    def __init__(
        self,
        maker: Maker,
        clients: ClientSource,
        writer: OutcomeStore,
        book: CallBook,
        *,
        claims: ClaimSource | None = None,
        open_room: Callable[[Pool], Room] | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.progress = progress or Progress()
        self.errors = maker.errors
        self.reused: set[str] = set()
        self._maker = maker
        self._writer = writer
        self._book = book
        self._loop = asyncio.get_running_loop()
        claims = claims or NoClaims()
        self._ends = TaskEnds(self.progress, self.errors, lambda task: self._tell(claims.end, task))
        self._intake = Intake(
            maker, self._ends, claims, open_room=open_room, wake=self._wake, read_time=self._loop.time
        )
        self._halts = Halts(self.progress, self.errors)
        self._caller = Caller(
            maker,
            clients,
            book,
            self._halts,
            self._ends,
            retry=retry or RetryPolicy(),
            jitter=jitter,
            read_time=self._loop.time,
        )
        self._all_ended = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._wake_up: asyncio.Handle | None = None
        self._crash: Exception | None = None

    @property
    def failed(self) -> Mapping[str, DayDreamingError]:
        """By gen_id, tasks that ended without a response, and why: those left to do by a stopped run among them."""
        return self._ends.failed

    @property
    def stopped(self) -> DayDreamingError | None:
        """Why no further call is sent; None while all goes on."""
        return self._ends.stopped

    async def run(self, plan: Plan) -> Progress:
        """Ends when every task of the plan has ended.

        Raises:
            Exception: this program broke; everything under way was brought to its end first.
        """
        self._ends.expect(plan)
        try:
            self._tell(self._intake.take_up, plan)
            self._pump()
            if self._ends.outstanding:
                await self._all_ended.wait()
            while self._under_way:
                await asyncio.gather(*self._under_way, return_exceptions=True)
        except asyncio.CancelledError:
            await self._give_up()
            raise
        finally:
            for handle in (self._timer, self._wake_up):
                if handle is not None:
                    handle.cancel()
            for lane in self._intake.lanes.values():
                self._tell(lane.close)
        if self._crash is not None:
            raise self._crash
        return self.progress

    def request_stop(self, why: DayDreamingError) -> None:
        """Starts no further call; what is under way is finished and stored. Call it from the loop's thread."""
        if self.stopped is not None:
            return
        self._ends.stopped = why
        if not isinstance(why, RunInterruptedError):
            self.errors.setdefault(why.reason, why)
        self.progress.notice = why.what
        for task in self._intake.drain():
            self._ends.leave(task)
        if self._ends.outstanding:
            self._wake()
        self._check_end()

    async def _give_up(self) -> None:
        """Nobody waits for the run any more, not even for what is under way."""
        self.request_stop(
            RunInterruptedError("The run was given up.", fix="Run the same command again to go on where it stopped.")
        )
        for running in self._under_way:
            running.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        self._leave_rest()

    # From the lanes to the models -----------------------------------------------------------------------------------
    def _wake(self) -> None:
        """Something has changed: looks what can start, once for all that changes in this turn of the loop."""
        if self._wake_up is None:
            self._wake_up = self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Starts whatever can start now, and sets the timer for what can start later."""
        self._wake_up = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        delays: list[float] = []
        try:
            if self.stopped is None and (trouble := self._writer.trouble) is not None:
                self.request_stop(trouble)
            delays = self._fill_lanes()
        except Exception as error:  # noqa: BLE001 - this is called by the loop, which would only log it
            self._break_off(error)
        for lane in self._intake.lanes.values():
            self._tell(lane.give_back)
        self.progress.in_flight = sum(lane.in_flight for lane in self._intake.lanes.values())
        if not self._under_way and self._wake_up is None and (self.stopped is not None or not delays):
            self._leave_rest()
        elif delays:
            self._timer = self._loop.call_later(min(delays), self._pump)
        self._check_end()

    def _leave_rest(self) -> None:
        """Nothing is under way and nothing will start: whatever has not ended yet ends now, or the run never would."""
        if self._ends.outstanding and self.stopped is None:
            self._break_off(RuntimeError(f"{self._ends.outstanding} tasks were forgotten"))
        if self._ends.outstanding:
            self._intake.leave_rest()

    def _tell(self, tell: Callable[..., None], *what: Any) -> None:
        """Tells somebody who may break at it."""
        try:
            tell(*what)
        except Exception as error:  # noqa: BLE001 - raised again when everything has ended
            self._break_off(error)

    def _fill_lanes(self) -> list[float]:
        """Starts what the lanes let go; returns after how many seconds each wants to be looked at again."""
        delays: list[float] = []
        if self._writer.backlog > _MOST_WAITING_FOR_DISK:
            return [_LOOK_AT_DISK_AGAIN_S]  # nobody may be waiting for what it has to write, and wake us
        if not self._under_way:
            self._intake.claim_refused()
        for lane in list(self._intake.lanes.values()):
            if (delay_s := self._serve(lane)) is not None:
                delays.append(delay_s)
        if not self._under_way and (delay_s := self._intake.asks_again_in_s) is not None:
            delays.append(delay_s)
        return delays

    def _serve(self, lane: Lane) -> float | None:
        """Claims and starts what the lane lets go; returns after how many seconds to look again, as `_fill` does.

        What was claimed can end without a call, all of it: its pool is halted, or an input is missing. No call that
        ends would bring us back here then, so the rest of the backlog is taken up at once.
        """
        while True:
            self._intake.claim_more(lane)
            delay_s = self._fill(lane)
            if lane or not lane.backlog:
                return delay_s

    def _fill(self, lane: Lane) -> float | None:
        """Starts what the lane lets go; returns after how many seconds to look again, None for when a call ended."""
        is_ending = self._ends.outstanding <= _LAST_ROUNDS * lane.pacer.window.size
        while (task := lane.find_next(self._loop.time(), is_ending=is_ending)) is not None:
            if (halt := self._find_halt(task)) is not None:
                lane.drop(task)
                self._ends.leave_halted(task, halt)
                continue
            delay_s = self._try_start(task, lane)
            if delay_s is None:
                return None
            if delay_s > LONGEST_WAIT_S:
                self._halts.add_pool(lane.pool.pool, lane.explain_wait(delay_s))
            elif delay_s > 0:
                return delay_s
        return None if lane.wakes_at is None else max(0.0, lane.wakes_at - self._loop.time())

    def _find_halt(self, task: Task) -> DayDreamingError | None:
        if self._halts.is_empty or self._maker.is_local(task):
            return None
        return self._halts.find(self._maker.recipe.model(task.member))

    def _try_start(self, task: Task, lane: Lane) -> float | None:
        """Starts the lane's next task and returns 0.0, or says when to ask again as `Lane.take` does."""
        try:
            attempt = task.attempt = task.attempt or self._maker.prepare(task)
            if attempt.request is None or attempt.stored is not None:
                return self._start_local(task, lane, attempt)
            worst = self._book.compute_worst_case(attempt)
            delay_s = self._book.try_reserve(worst)
        except BudgetExhaustedError as error:
            self.request_stop(error)
            return 0.0
        except DayDreamingError as error:
            lane.drop(task)
            self._ends.fail(task, error)
            return 0.0
        if delay_s == 0.0:
            delay_s = lane.take(task, self._loop.time(), worst.tokens)
            if delay_s != 0.0:
                self._book.cancel(worst)
        if delay_s != 0.0:
            return delay_s
        try:
            call = self._book.open(attempt, worst)
        except StoreError as error:
            self._book.cancel(worst)
            lane.release()
            self._ends.leave(task)
            self.request_stop(error)
            return 0.0
        task.attempt = None
        sent_at = self._loop.time()
        lane.pacer.note_sent(sent_at)
        self._spawn(task, self._perform(task, lane, attempt, call, sent_at))
        return 0.0

    def _start_local(self, task: Task, lane: Lane, attempt: Attempt) -> float | None:
        """What needs no call takes no room in a pool, but only so much of it is done at a time."""
        if lane.pool is LOCAL_POOL and len(self._under_way) >= _MOST_WAITING_FOR_DISK:
            return None
        lane.drop(task)
        task.attempt = None
        self._spawn(task, self._store_local(task, attempt))
        return 0.0

    def _spawn(self, task: Task, work: Coroutine[Any, Any, None]) -> None:
        running = self._loop.create_task(self._guard(task, work))
        self._under_way.add(running)
        running.add_done_callback(self._reap)

    async def _guard(self, task: Task, work: Coroutine[Any, Any, None]) -> None:
        """A bug must neither hang the run nor lose what the others are doing."""
        try:
            await work
        except asyncio.CancelledError:
            if not task.has_ended:
                self._ends.leave(task)
            raise
        except Exception as error:  # noqa: BLE001 - raised again when everything has ended
            if not task.has_ended:
                self._ends.fail(task, _as_own_error(error))
            self._break_off(error)

    def _break_off(self, error: Exception) -> None:
        if isinstance(error, DayDreamingError):
            self.request_stop(error)
            return
        self._crash = self._crash or error
        self.request_stop(_as_own_error(error))

    def _reap(self, ended: asyncio.Task[None]) -> None:
        self._under_way.discard(ended)
        self._wake()

    # One task -----------------------------------------------------------------------------------------------------
    async def _perform(self, task: Task, lane: Lane, attempt: Attempt, call: Call, sent_at: float) -> None:
        task.attempts += 1
        try:
            entry = await self._caller.call(task, lane, attempt, call, sent_at)
            stored = None if entry is None else self._writer.commit(entry)
        except BaseException:
            self._book.close_unseen(call)
            raise
        finally:
            lane.release()  # not before the answer is safe from this process being killed, and not after it
            self._wake()
        if entry is not None and stored is not None:
            await self._store(task, entry, stored, self.progress.made)

    async def _store_local(self, task: Task, attempt: Attempt) -> None:
        if attempt.stored is None:
            raise RuntimeError("a local task has nothing to store")
        how = self.progress.made  # a copy
        if task.action is Action.PARSE:
            how = self.progress.parsed_again
        elif attempt.request is not None:
            how = self.progress.reused
            self.reused.add(task.member.gen_id)
        entry = Entry(None, attempt.stored)
        await self._store(task, entry, self._writer.commit(entry), how)

    async def _store(self, task: Task, entry: Entry, stored: Awaitable[None], how: Counter[Stage]) -> None:
        try:
            await stored
        except StoreError as error:
            self._ends.fail(task, error)
            self.request_stop(error)
            return
        if entry.outcome is not None:
            self._end_stored(task, entry.outcome, how)

    def _end_stored(self, task: Task, outcome: Outcome, how: Counter[Stage]) -> None:
        failure = outcome.raw_metadata.get("failure")
        if failure is not None:
            self._ends.fail_stored(task, failure["reason"])
            return
        self._ends.end(task, how)
        self._maker.keep_at_hand(outcome)
        for child in task.children:
            self._intake.make_ready(child)

    def _check_end(self) -> None:
        if self._ends.outstanding == 0:
            self._all_ended.set()


def _as_own_error(error: Exception) -> DayDreamingError:
    return DayDreamingError(
        f"The run stopped on an error of its own: {type(error).__name__}: {error}.",
        fix="Run the command again with --debug and report what it prints; everything answered so far is stored.",
        reason="internal",
        lasting=False,
    )
