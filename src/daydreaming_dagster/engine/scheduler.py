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
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from typing import Any, Protocol

from daydreaming_dagster.domain.catalogue import Pool
from daydreaming_dagster.domain.errors import (
    BudgetExhaustedError,
    ConfigurationError,
    DayDreamingError,
    ModelCallError,
    RateLimitedError,
    RefusedError,
    RunInterruptedError,
    StoreError,
    TransportError,
)
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.callbook import Call, CallBook
from daydreaming_dagster.engine.claims import Claimed, NoClaims
from daydreaming_dagster.engine.lanes import Lane, Room
from daydreaming_dagster.engine.maker import Maker
from daydreaming_dagster.engine.plan import Action, Plan, Task
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.records import Attempt
from daydreaming_dagster.engine.retries import LONGEST_WAIT_S, Reach, RetryPolicy, find_reach
from daydreaming_dagster.llm.protocol import ChatClient
from daydreaming_dagster.store.generations import Outcome
from daydreaming_dagster.store.journal import Entry

_LOCAL_POOL = Pool("local work", max_concurrent=16)
_MOST_WAITING_FOR_DISK = 2000
_TREES_AT_A_TIME = 32
_ASK_FOR_CLAIMED_TREES_S = 1.0
_LOOK_AT_DISK_AGAIN_S = 0.1
_LAST_ROUNDS = 4
"""With fewer tasks left than a pool does in so many rounds of calls, the order within it turns round."""


class ClientSource(Protocol):
    """Hands out the client of an endpoint, the same one every time."""

    def client(self, endpoint: str) -> ChatClient:
        """The endpoint's client.

        Raises:
            ConfigurationError: the endpoint cannot be used here (a missing package, say).
        """
        ...


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


class ClaimSource(Protocol):
    """Keeps processes apart (`engine/claims.py`)."""

    def claim(self, roots: Sequence[Task], retry: Collection[str]) -> Claimed:
        """Claims trees."""
        ...

    def end(self, task: Task) -> None:
        """Gives up a task's claim."""
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
        failed: by gen_id, tasks that ended without a response, and why: those left to do by a stopped run among them.
        reused: gen_ids whose stored response was taken again.
        stopped: why no further call is sent; None while all goes on.
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
        self.failed: dict[str, DayDreamingError] = {}
        self.reused: set[str] = set()
        self.stopped: DayDreamingError | None = None
        self._maker = maker
        self._clients = clients
        self._writer = writer
        self._book = book
        self._claims = claims or NoClaims()
        self._open_room = open_room
        self._retry = retry or RetryPolicy()
        self._reasons: Collection[str] = ()
        self._roots: Sequence[Task] = ()
        self._jitter = jitter
        self._loop = asyncio.get_running_loop()
        self._lanes: dict[str, Lane] = {}
        self._refused: deque[Task] = deque()
        self._ask_again_at = 0.0
        self._outstanding = 0
        self._all_ended = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._wake_up: asyncio.Handle | None = None
        self._halted: dict[str, DayDreamingError] = {}
        self._answers: Counter[str] = Counter()
        self._crash: Exception | None = None

    async def run(self, plan: Plan) -> Progress:
        """Ends when every task of the plan has ended.

        Raises:
            Exception: this program broke; everything under way was brought to its end first.
        """
        for (stage, _), count in plan.tasks.items():
            self.progress.planned[stage] += count
        self._outstanding = plan.size
        self._reasons = plan.retry
        self._roots = plan.ready
        try:
            self._take_up(plan.ready)
            self._pump()
            if self._outstanding:
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
            for lane in self._lanes.values():
                self._tell(lane.close)
        if self._crash is not None:
            raise self._crash
        return self.progress

    def request_stop(self, why: DayDreamingError) -> None:
        """Starts no further call; what is under way is finished and stored. Call it from the loop's thread."""
        if self.stopped is not None:
            return
        self.stopped = why
        if not isinstance(why, RunInterruptedError):
            self.errors.setdefault(why.reason, why)
        self.progress.notice = why.what
        waiting = [*self._refused, *(task for lane in self._lanes.values() for task in lane.drain())]
        self._refused.clear()
        for task in waiting:
            self._leave(task)
        if self._outstanding:
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

    # From the backlog into the lanes --------------------------------------------------------------------------------
    def _take_up(self, roots: Sequence[Task]) -> None:
        try:
            for task in roots:
                if (lane := self._find_lane(task)) is not None:
                    lane.backlog.append(task)
        except Exception as error:  # noqa: BLE001 - raised again when everything has ended
            self._break_off(error)

    def _find_lane(self, task: Task) -> Lane | None:
        """The lane of the task's pool; None when the task cannot be done at all, and has ended."""
        try:
            if self._maker.is_local(task):
                pool = _LOCAL_POOL
            else:
                pool = self._maker.recipe.catalogue.pools[self._maker.recipe.model(task.member).pool]
        except DayDreamingError as error:
            self._end_failed(task, error)
            return None
        lane = self._lanes.get(pool.pool)
        if lane is None:
            shared = pool is not _LOCAL_POOL and self._open_room is not None
            lane = self._lanes[pool.pool] = Lane(pool, self._open_room(pool) if shared and self._open_room else None)
        return lane

    def _make_ready(self, task: Task) -> None:
        """The task is claimed, and its parent is there."""
        if self.stopped is not None:
            self._leave(task)
        elif (lane := self._find_lane(task)) is not None:
            lane.push(task)
            self._wake()  # it may be another lane than the one that is looked at now

    def _claim_more(self, lane: Lane) -> None:
        """Claims trees for a lane that could run dry."""
        while lane.backlog and lane.is_hungry:
            count = max(_TREES_AT_A_TIME, lane.pacer.window.size)
            self._claim([lane.backlog.popleft() for _ in range(min(count, len(lane.backlog)))])

    def _claim(self, roots: Sequence[Task]) -> None:
        claimed = self._claims.claim(roots, self._reasons)
        self._refused.extend(claimed.refused)
        for task in claimed.done:
            self._end(task, self.progress.elsewhere)
        for task in claimed.held:
            self._end(task, self.progress.elsewhere)
            self._block(task.children)
        for task in claimed.ready:
            self._make_ready(task)

    def _claim_refused(self) -> None:
        """Looks whether the other processes have finished what this one could not claim."""
        self.progress.notice = f"Waiting for another process, which works on {len(self._refused)} of the same texts."
        refused, self._refused = self._refused, deque()
        self._claim(list(refused))
        self._ask_again_at = self._loop.time() + _ASK_FOR_CLAIMED_TREES_S

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
        for lane in self._lanes.values():
            self._tell(lane.give_back)
        self.progress.in_flight = sum(lane.in_flight for lane in self._lanes.values())
        if not self._under_way and self._wake_up is None and (self.stopped is not None or not delays):
            self._leave_rest()
        elif delays:
            self._timer = self._loop.call_later(min(delays), self._pump)
        self._check_end()

    def _leave_rest(self) -> None:
        """Nothing is under way and nothing will start: whatever has not ended yet ends now, or the run never would."""
        if self._outstanding and self.stopped is None:
            self._break_off(RuntimeError(f"{self._outstanding} tasks were forgotten"))
        for root in self._roots if self._outstanding else ():
            self._leave(root)

    def _tell(self, tell: Callable[[], None]) -> None:
        """Tells somebody who may break at it."""
        try:
            tell()
        except Exception as error:  # noqa: BLE001 - raised again when everything has ended
            self._break_off(error)

    def _fill_lanes(self) -> list[float]:
        """Starts what the lanes let go; returns after how many seconds each wants to be looked at again."""
        delays: list[float] = []
        if self._writer.backlog > _MOST_WAITING_FOR_DISK:
            return [_LOOK_AT_DISK_AGAIN_S]  # nobody may be waiting for what it has to write, and wake us
        if self._refused and not self._under_way and self._loop.time() >= self._ask_again_at:
            self._claim_refused()
        for lane in list(self._lanes.values()):
            if (delay_s := self._serve(lane)) is not None:
                delays.append(delay_s)
        if self._refused and not self._under_way:
            delays.append(max(0.0, self._ask_again_at - self._loop.time()))
        return delays

    def _serve(self, lane: Lane) -> float | None:
        """Claims and starts what the lane lets go; returns after how many seconds to look again, as `_fill` does.

        What was claimed can end without a call, all of it: its pool is halted, or an input is missing. No call that
        ends would bring us back here then, so the rest of the backlog is taken up at once.
        """
        while True:
            self._claim_more(lane)
            delay_s = self._fill(lane)
            if lane or not lane.backlog:
                return delay_s

    def _fill(self, lane: Lane) -> float | None:
        """Starts what the lane lets go; returns after how many seconds to look again, None for when a call ended."""
        is_ending = self._outstanding <= _LAST_ROUNDS * lane.pacer.window.size
        while (task := lane.find_next(self._loop.time(), is_ending=is_ending)) is not None:
            if (halt := self._find_halt(task)) is not None:
                lane.drop(task)
                self._leave_halted(task, halt)
                continue
            delay_s = self._try_start(task, lane)
            if delay_s is None:
                return None
            if delay_s > LONGEST_WAIT_S:
                self._halt(f"pool {lane.pool.pool}", lane.explain_wait(delay_s))
            elif delay_s > 0:
                return delay_s
        return None if lane.wakes_at is None else max(0.0, lane.wakes_at - self._loop.time())

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
            self._end_failed(task, error)
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
            self._leave(task)
            self.request_stop(error)
            return 0.0
        task.attempt = None
        sent_at = self._loop.time()
        lane.pacer.note_sent(sent_at)
        self._spawn(task, self._perform(task, lane, attempt, call, sent_at))
        return 0.0

    def _start_local(self, task: Task, lane: Lane, attempt: Attempt) -> float | None:
        """What needs no call takes no room in a pool, but only so much of it is done at a time."""
        if lane.pool is _LOCAL_POOL and len(self._under_way) >= _MOST_WAITING_FOR_DISK:
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
                self._leave(task)
            raise
        except Exception as error:  # noqa: BLE001 - raised again when everything has ended
            if not task.has_ended:
                self._end_failed(task, _as_own_error(error))
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
            entry = await self._call(task, lane, attempt, call, sent_at)
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
            self._end_failed(task, error)
            self.request_stop(error)
            return
        if entry.outcome is not None:
            self._end_stored(task, entry.outcome, how)

    async def _call(self, task: Task, lane: Lane, attempt: Attempt, call: Call, sent_at: float) -> Entry | None:
        """The answer, or the failure that is stored in its place; None when there is nothing to store."""
        if attempt.request is None or attempt.endpoint is None:
            raise RuntimeError("nobody is to be called")
        endpoint = attempt.endpoint.endpoint
        if task.answers_before is None:
            task.answers_before = self._answers[endpoint]
        try:
            response = await self._clients.client(endpoint).complete(attempt.request)
        except ModelCallError as error:
            return self._on_failed_call(task, lane, attempt, call, error, sent_at)
        except ConfigurationError as error:
            self._book.record(self._book.close_failed(call, error, None))
            self._halt(f"endpoint {endpoint}", error)
            self._end_failed(task, error)
            return None
        self._answers[endpoint] += 1
        lane.pacer.note_answered()
        outcome = self._maker.judge(attempt, response)
        self.progress.count_call(outcome)
        return Entry(self._book.close_answered(call, outcome), outcome)

    def _on_failed_call(
        self, task: Task, lane: Lane, attempt: Attempt, call: Call, error: ModelCallError, sent_at: float
    ) -> Entry | None:
        row = self._book.close_failed(call, error, attempt.compute_cost_usd(error.usage) if error.usage else None)
        self._tell_pacer(lane, error, sent_at)
        reach = find_reach(error)
        if reach is not Reach.CALL:
            self._book.record(row)
            self._halt(_name_of(reach, attempt, lane), error)
            self._leave_halted(task, error)
            return None
        delay_s = self._retry.find_delay_s(error, task.attempts, self._jitter())
        if delay_s is not None:
            self._book.record(row)
            if self.stopped is not None:
                self._leave(task)
                return None
            self.progress.retries += 1
            self.progress.notice = f"{error.what} Next attempt in {delay_s:.0f} s."
            lane.push_later(task, self._loop.time() + delay_s)
            return None
        if isinstance(error, TransportError) and attempt.endpoint is not None and self._is_silent(task, attempt):
            self._halt(f"endpoint {attempt.endpoint.endpoint}", error)
        self.failed[task.member.gen_id] = error
        outcome = self._maker.judge_error(attempt, error)
        self.progress.count_call(outcome)
        return Entry(row, outcome)

    def _tell_pacer(self, lane: Lane, error: ModelCallError, sent_at: float) -> None:
        now = self._loop.time()
        if isinstance(error, RateLimitedError):
            lane.pacer.note_refused(now, sent_at, error.retry_after_s)
        elif isinstance(error, TransportError) and error.reason == "overloaded":
            lane.pacer.note_overloaded(now, sent_at, error.retry_after_s)
        elif isinstance(error, RefusedError):
            lane.pacer.note_answered()

    def _is_silent(self, task: Task, attempt: Attempt) -> bool:
        """Whether the endpoint answered nobody during all attempts of a task: it is gone, not busy."""
        return attempt.endpoint is not None and self._answers[attempt.endpoint.endpoint] == task.answers_before

    # Halts ----------------------------------------------------------------------------------------------------------
    def _halt(self, what: str, error: DayDreamingError) -> None:
        """No further calls to an endpoint, a model or a pool: each would fail as this one did."""
        self._halted.setdefault(what, error)
        self.errors.setdefault(error.reason, error)
        self.progress.notice = f"No further calls to {what}: {error.what}"

    def _find_halt(self, task: Task) -> DayDreamingError | None:
        if not self._halted or self._maker.is_local(task):
            return None
        model = self._maker.recipe.model(task.member)
        places = (f"endpoint {model.endpoint}", f"model {model.id}", f"pool {model.pool}")
        return next((self._halted[what] for what in places if what in self._halted), None)

    # Ends: each of these counts a task, and nothing else does ---------------------------------------------------------
    def _end_stored(self, task: Task, outcome: Outcome, how: Counter[Stage]) -> None:
        failure = outcome.raw_metadata.get("failure")
        if failure is None:
            self._end(task, how)
            self._maker.keep_at_hand(outcome)
            for child in task.children:
                self._make_ready(child)
            return
        self.progress.failures[task.member.stage, failure["reason"]] += 1
        self._end(task, self.progress.failed)
        self._block(task.children)

    def _end_failed(self, task: Task, error: DayDreamingError) -> None:
        self.errors.setdefault(error.reason, error)
        self.failed[task.member.gen_id] = error
        self.progress.failures[task.member.stage, error.reason] += 1
        self._end(task, self.progress.failed)
        self._block(task.children)

    def _block(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            if not task.has_ended:
                self._end(task, self.progress.blocked)
            self._block(task.children)

    def _leave_halted(self, task: Task, halt: DayDreamingError) -> None:
        """Nothing is wrong with the task itself: it stays to be done, when what halts it has been mended."""
        self.failed[task.member.gen_id] = halt
        self._leave(task)

    def _leave(self, task: Task) -> None:
        for each in task.walk():
            if each.has_ended:  # it waited in a lane when something else about it broke
                continue
            if self.stopped is not None:
                self.failed.setdefault(each.member.gen_id, self.stopped)
            self._end(each, self.progress.left)

    def _end(self, task: Task, how: Counter[Stage]) -> None:
        if task.has_ended:
            raise RuntimeError(f"{task.member.gen_id} ended twice")
        task.has_ended = True
        how[task.member.stage] += 1
        self._outstanding -= 1
        self._tell(lambda: self._claims.end(task))

    def _check_end(self) -> None:
        if self._outstanding == 0:
            self._all_ended.set()


def _name_of(reach: Reach, attempt: Attempt, lane: Lane) -> str:
    if reach is Reach.POOL or attempt.model is None:
        return f"pool {lane.pool.pool}"
    return f"model {attempt.model.id}" if reach is Reach.MODEL else f"endpoint {attempt.model.endpoint}"


def _as_own_error(error: Exception) -> DayDreamingError:
    return DayDreamingError(
        f"The run stopped on an error of its own: {type(error).__name__}: {error}.",
        fix="Run the command again with --debug and report what it prints; everything answered so far is stored.",
        reason="internal",
        lasting=False,
    )
