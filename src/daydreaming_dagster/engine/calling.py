"""One call, from its request to what is stored of it: the answer, the failure, or nothing because it is sent again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from daydreaming_dagster.domain.errors import (
    ConfigurationError,
    ModelCallError,
    RateLimitedError,
    RefusedError,
    TransportError,
)
from daydreaming_dagster.engine.callbook import Call, CallBook
from daydreaming_dagster.engine.halts import Halts, find_halted_place
from daydreaming_dagster.engine.lanes import Lane
from daydreaming_dagster.engine.maker import Maker
from daydreaming_dagster.engine.plan import Task
from daydreaming_dagster.engine.records import Attempt
from daydreaming_dagster.engine.retries import RetryPolicy
from daydreaming_dagster.engine.task_ends import TaskEnds
from daydreaming_dagster.llm.protocol import ChatClient
from daydreaming_dagster.store.journal import Entry


class ClientSource(Protocol):
    """Hands out the client of an endpoint, the same one every time."""

    def client(self, endpoint: str) -> ChatClient:
        """The endpoint's client.

        Raises:
            ConfigurationError: the endpoint cannot be used here (a missing package, say).
        """
        ...


class Caller:
    """Performs the calls of one run, in the loop's thread.

    A task whose call leaves nothing to store has ended when its call has, or waits in its lane for the next attempt.

    Args:
        maker: judges answers.
        clients: the doors to the models.
        book: closes each call.
        halts: told of what no further call should go to.
        ends: of tasks that cannot be made.
        retry: when to try again.
        jitter: random numbers in [0, 1).
        read_time: the loop's time, seconds.
    """

    def __init__(
        self,
        maker: Maker,
        clients: ClientSource,
        book: CallBook,
        halts: Halts,
        ends: TaskEnds,
        *,
        retry: RetryPolicy,
        jitter: Callable[[], float],
        read_time: Callable[[], float],
    ) -> None:
        self._maker = maker
        self._clients = clients
        self._book = book
        self._halts = halts
        self._ends = ends
        self._progress = ends.progress
        self._retry = retry
        self._jitter = jitter
        self._read_time = read_time

    async def call(self, task: Task, lane: Lane, attempt: Attempt, call: Call, sent_at: float) -> Entry | None:
        """The answer, or the failure that is stored in its place; None when there is nothing to store."""
        if attempt.request is None or attempt.endpoint is None:
            raise RuntimeError("nobody is to be called")
        endpoint = attempt.endpoint.endpoint
        if task.answers_before is None:
            task.answers_before = self._halts.count_answers(endpoint)
        later = int(attempt.endpoint.answers_later)
        self._progress.in_batches += later
        try:
            response = await self._clients.client(endpoint).complete(attempt.request)
        except ModelCallError as error:
            return self._on_failed_call(task, lane, endpoint, attempt, call, error, sent_at)
        except ConfigurationError as error:
            self._book.record(self._book.close_failed(call, error, None))
            self._halts.add_endpoint(endpoint, error)
            self._ends.fail(task, error)
            return None
        finally:
            self._progress.in_batches -= later
        self._halts.note_answered(endpoint)
        lane.pacer.note_answered()
        outcome = self._maker.judge(attempt, response)
        self._progress.count_call(outcome)
        return Entry(self._book.close_answered(call, outcome), outcome)

    def _on_failed_call(
        self,
        task: Task,
        lane: Lane,
        endpoint: str,
        attempt: Attempt,
        call: Call,
        error: ModelCallError,
        sent_at: float,
    ) -> Entry | None:
        row = self._book.close_failed(call, error, attempt.compute_cost_usd(error.usage) if error.usage else None)
        self._tell_pacer(lane, error, sent_at)
        place = None if attempt.model is None else find_halted_place(error, attempt.model)
        if place is not None:
            self._book.record(row)
            self._halts.add(place, error)
            self._ends.leave_halted(task, error)
            return None
        delay_s = self._retry.find_delay_s(error, task.attempts, self._jitter())
        if delay_s is not None:
            self._book.record(row)
            self._put_off(task, lane, error, delay_s)
            return None
        if isinstance(error, TransportError) and self._halts.count_answers(endpoint) == task.answers_before:
            self._halts.add_endpoint(endpoint, error)  # not one answer during all attempts: it is gone, not busy
        self._ends.failed[task.member.gen_id] = error
        outcome = self._maker.judge_error(attempt, error)
        self._progress.count_call(outcome)
        return Entry(row, outcome)

    def _put_off(self, task: Task, lane: Lane, error: ModelCallError, delay_s: float) -> None:
        """The call is sent again after so many seconds, unless the run is being stopped."""
        if self._ends.stopped is not None:
            self._ends.leave(task)
            return
        self._progress.retries += 1
        self._progress.notice = f"{error.what} Next attempt in {delay_s:.0f} s."
        lane.push_later(task, self._read_time() + delay_s)

    def _tell_pacer(self, lane: Lane, error: ModelCallError, sent_at: float) -> None:
        now = self._read_time()
        if isinstance(error, RateLimitedError):
            lane.pacer.note_refused(now, sent_at, error.retry_after_s)
        elif isinstance(error, TransportError) and error.reason == "overloaded":
            lane.pacer.note_overloaded(now, sent_at, error.retry_after_s)
        elif isinstance(error, RefusedError):
            lane.pacer.note_answered()
