"""Runs a plan in one event loop: every pool as busy as its limits allow, no barrier between the stages.

    ready task → lane of its pool → call → durable on disk → its children become ready

Invariants, whatever the models, the disk and the user do:

- a pool never has more calls under way than its limit;
- a child starts only when its parent's parsed text can be read from the disk;
- every task ends exactly once: made, parsed again, reused, failed, blocked or not attempted;
- an answer that arrived is stored, also while the run is being stopped or after something else broke;
- a call that failed in passing gives its room back while it waits for its next attempt.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from daydreaming_dagster.domain.catalogue import Pool
from daydreaming_dagster.domain.errors import (
    ConfigurationError,
    DayDreamingError,
    ModelCallError,
    RateLimitedError,
    RefusedError,
    ResponseError,
    StoreError,
    TransportError,
)
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.engine.lanes import Lane
from daydreaming_dagster.engine.plan import Action, Plan, Task
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.recipe import Recipe
from daydreaming_dagster.engine.records import Attempt, RunInfo, build_copy_response, build_parsed_metadata
from daydreaming_dagster.engine.writer import DurableWriter
from daydreaming_dagster.llm.protocol import ChatClient, ChatResponse
from daydreaming_dagster.store.generations import GenerationMetadata, Outcome, compute_text_sha256
from daydreaming_dagster.store.states import Failure

_LOCAL_POOL = Pool("local work", max_concurrent=16)
_MOST_WAITING_FOR_DISK = 2000
_HALTS_ENDPOINT = frozenset({"unauthorized", "payment_required"})
_HALTS_MODEL = frozenset({"model_unknown"})


class ClientSource(Protocol):
    """Hands out the client of an endpoint, the same one every time."""

    def client(self, endpoint: str) -> ChatClient:
        """The endpoint's client.

        Raises:
            ConfigurationError: the endpoint cannot be used here (a missing package, say).
        """
        ...


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a call that failed in passing is sent again: exponential, fully jittered, a server's own wish first.

    Attributes:
        max_attempts: attempts per generation and run, the first one included.
        max_rate_limited: attempts when the server says "too many requests"; that costs nothing but time.
        base_s, cap_s: first and longest delay, seconds.
    """

    max_attempts: int = 6
    max_rate_limited: int = 40
    base_s: float = 1.0
    cap_s: float = 60.0

    def find_delay_s(self, error: ModelCallError, attempts: int, jitter: float) -> float | None:
        """Seconds until the next attempt; None when there is to be none.

        Args:
            error: how the last attempt ended.
            attempts: attempts so far.
            jitter: random number in [0, 1).
        """
        if not isinstance(error, RateLimitedError | TransportError):
            return None
        limit = self.max_rate_limited if isinstance(error, RateLimitedError) else self.max_attempts
        if attempts >= limit:
            return None
        backoff = min(self.cap_s, self.base_s * 2 ** min(attempts - 1, 30)) * (0.5 + jitter / 2)
        return float(max(backoff, error.retry_after_s or 0.0))


class Scheduler:
    """One run of a plan.

    Args:
        recipe: how generations are made.
        clients: the doors to the models.
        writer: running writer of the loop that calls `run`.
        run_info: names that go into the metadata.
        retry: when to try again.
        parse: also read the responses; without it raw texts are stored and nothing else.
        sleep, jitter: the clock and the dice, so that tests can hold them.
    """

    def __init__(
        self,
        recipe: Recipe,
        clients: ClientSource,
        writer: DurableWriter,
        run_info: RunInfo,
        *,
        retry: RetryPolicy | None = None,
        parse: bool = True,
        progress: Progress | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.progress = progress or Progress()
        self.errors: dict[str, DayDreamingError] = {}
        """First error of each reason, for people."""
        self.failed: dict[str, DayDreamingError] = {}
        """By gen_id, tasks that ended without a response."""
        self.reused: set[str] = set()
        """Gen_ids whose stored response was taken again."""
        self._recipe = recipe
        self._clients = clients
        self._writer = writer
        self._run_info = run_info
        self._retry = retry or RetryPolicy()
        self._parse = parse
        self._sleep = sleep
        self._jitter = jitter
        self._lanes: dict[str, Lane] = {}
        self._outstanding = 0
        self._ended = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._waiting: dict[asyncio.Task[None], Task] = {}
        self._halted: dict[str, DayDreamingError] = {}
        self._answers: Counter[str] = Counter()
        self.stopped: DayDreamingError | None = None
        """Why no further call is sent; None while all goes on."""
        self._crash: BaseException | None = None

    async def run(self, plan: Plan) -> Progress:
        """Ends when every task of the plan has ended.

        Raises:
            StoreError: the disk refused a response; everything else under way was brought to its end first.
        """
        for (stage, _), count in plan.tasks.items():
            self.progress.planned[stage] += count
        self._outstanding = plan.size
        for task in plan.ready:
            self._enqueue(task)
        self._pump()
        if self._outstanding:
            await self._ended.wait()
        while self._under_way:
            await asyncio.gather(*self._under_way, return_exceptions=True)
        if self._crash is not None:
            raise self._crash
        return self.progress

    def request_stop(self, why: DayDreamingError) -> None:
        """Starts no further call; what is under way is finished and stored. Call it from the loop's thread."""
        if self.stopped is not None:
            return
        self.stopped = why
        self.progress.notice = why.what
        for sleeper in list(self._waiting):
            sleeper.cancel()
        for lane in self._lanes.values():
            for task in lane.drain():
                self._end_failed(task, why)

    # Ready tasks and room -----------------------------------------------------------------------------------------
    def _enqueue(self, task: Task) -> None:
        try:
            pool = self._pool_of(task)
        except DayDreamingError as error:
            self._end_failed(task, error)
            return
        if self.stopped is not None:
            self._end_failed(task, self.stopped)
            return
        lane = self._lanes.get(pool.pool)
        if lane is None:
            lane = self._lanes[pool.pool] = Lane(pool)
        lane.push(task)

    def _pool_of(self, task: Task) -> Pool:
        if task.action is Action.PARSE or self._recipe.is_copy(task.member):
            return _LOCAL_POOL
        name = self._recipe.model(task.member).pool
        return self._recipe.catalogue.pools[name]

    def _pump(self) -> None:
        if self._writer.backlog > _MOST_WAITING_FOR_DISK:
            return  # the next batch that reaches the disk pumps again
        for lane in self._lanes.values():
            while (task := lane.pop()) is not None:
                self._spawn(self._perform(task, lane))
        self.progress.in_flight = sum(lane.in_flight for lane in self._lanes.values() if lane.pool is not _LOCAL_POOL)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        running = asyncio.get_running_loop().create_task(work)
        self._under_way.add(running)
        running.add_done_callback(self._reap)
        return running

    def _reap(self, ended: asyncio.Task[None]) -> None:
        self._under_way.discard(ended)
        if not ended.cancelled() and (error := ended.exception()) is not None:
            # Not a failure of a generation but of the disk or of this program: start nothing more, finish the rest.
            self._crash = self._crash or error
            self._outstanding -= 1
            self.request_stop(_as_stop(error))
        self._pump()
        if self._outstanding == 0 or (self._crash is not None and not self._under_way):
            self._ended.set()

    # One task -----------------------------------------------------------------------------------------------------
    async def _perform(self, task: Task, lane: Lane) -> None:
        released = False
        try:
            attempt = self._prepare(task)
            outcome = self._reuse(task, attempt)
            how = self.progress.reused
            if outcome is None and task.action is Action.PARSE:
                how, outcome = self.progress.parsed_again, self._parse_again(task)
            if outcome is None:
                how = self.progress.made
                outcome = await self._call(task, attempt)
            lane.release()
            released = True
            self._pump()
            await self._writer.commit(outcome)
            self._end(task, outcome, how)
        except ModelCallError as error:
            self._try_later(task, error)
        except StoreError as error:
            if released or error.reason == "disk_full":
                raise
            self._end_failed(task, error)
        except DayDreamingError as error:
            self._end_failed(task, error)
        finally:
            if not released:
                lane.release()

    def _prepare(self, task: Task) -> Attempt:
        member = task.member
        if task.action is Action.PARSE:
            return Attempt(member, "parse", "")
        prompt = self._recipe.build_prompt(member)
        if self._recipe.is_copy(member):
            return Attempt(member, "copy", prompt)
        model = self._recipe.model(member)
        for key in (f"endpoint {model.endpoint}", f"model {model.id}"):
            if (halt := self._halted.get(key)) is not None:
                raise _not_attempted(halt)
        request = self._recipe.build_request(member, prompt)
        return Attempt(member, "llm", prompt, number=task.attempts + 1, model=model, request=request)

    async def _call(self, task: Task, attempt: Attempt) -> Outcome:
        if attempt.request is None or attempt.model is None:
            return self._judge(attempt, build_copy_response(attempt.prompt))
        self._writer.require_space()
        task.attempts += 1
        endpoint = attempt.model.endpoint
        if task.answers_before is None:
            task.answers_before = self._answers[endpoint]
        try:
            response = await self._clients.client(endpoint).complete(attempt.request)
        except ModelCallError as error:
            return self._judge_error(task, attempt, error)
        except ConfigurationError as error:
            self._halt(f"endpoint {endpoint}", error)
            raise
        self._answers[endpoint] += 1
        outcome = self._judge(attempt, response)
        self.progress.count_call(outcome)
        return outcome

    def _judge(self, attempt: Attempt, response: ChatResponse) -> Outcome:
        text = response.text.replace("\r\n", "\n")
        response = replace(response, text=text)
        failure, parsed = self._read(attempt.member, text, response.finish_reason)
        raw = attempt.build_raw_metadata(self._run_info, self._recipe.store.paths, response, failure)
        return self._outcome(attempt.member, attempt.prompt, text, raw, parsed)

    def _judge_error(self, task: Task, attempt: Attempt, error: ModelCallError) -> Outcome:
        """What is stored of a call that failed for good.

        Raises:
            DayDreamingError: nothing is stored: it is tried again, or a whole endpoint or model is halted.
        """
        model = attempt.model
        if model is not None and isinstance(error, RefusedError):
            if error.reason in _HALTS_ENDPOINT:
                self._halt(f"endpoint {model.endpoint}", error)
                raise _not_attempted(error) from error
            if error.reason in _HALTS_MODEL:
                self._halt(f"model {model.id}", error)
                raise _not_attempted(error) from error
        if self._retry.find_delay_s(error, task.attempts, 0.0) is not None and self.stopped is None:
            raise error
        if model is not None and isinstance(error, TransportError) and self._is_silent(task, model.endpoint):
            self._halt(f"endpoint {model.endpoint}", error)
        raw = attempt.build_raw_metadata(self._run_info, self._recipe.store.paths, None, Failure.of_error(error), error)
        self.errors.setdefault(error.reason, error)
        self.failed[attempt.member.gen_id] = error
        outcome = self._outcome(attempt.member, attempt.prompt, error.partial_text, raw, None)
        self.progress.count_call(outcome)
        return outcome

    def _is_silent(self, task: Task, endpoint: str) -> bool:
        """Whether the endpoint answered nobody during all attempts of a task: it is gone, not busy."""
        return self._answers[endpoint] == task.answers_before

    def _try_later(self, task: Task, error: ModelCallError) -> None:
        delay = self._retry.find_delay_s(error, task.attempts, self._jitter())
        if delay is None or self.stopped is not None:
            self._end_failed(task, error)
            return
        self.progress.retries += 1
        self.progress.notice = f"{error.what} Next attempt in {delay:.0f} s."
        sleeper = self._spawn(self._wait(task, delay))
        self._waiting[sleeper] = task

    async def _wait(self, task: Task, delay_s: float) -> None:
        try:
            await self._sleep(delay_s)
        except asyncio.CancelledError:
            if self.stopped is None:
                raise
            self._end_failed(task, self.stopped)
            return
        finally:
            current = asyncio.current_task()
            if current is not None:
                self._waiting.pop(current, None)
        self._enqueue(task)

    # Stored responses ---------------------------------------------------------------------------------------------
    def _reuse(self, task: Task, attempt: Attempt) -> Outcome | None:
        """The stored response, when somebody asked for this generation by name and it still is the answer."""
        member, store = task.member, self._recipe.store
        if task.action is not Action.ENSURE or self._recipe.config.stages[member.stage].force:
            return None
        text = store.find_raw(member.stage, member.gen_id)
        raw = store.find_raw_metadata(member.stage, member.gen_id) or {}
        if text is None or not self._answers_same_request(raw, attempt):
            return None
        failure, parsed = self._read(member, text, raw.get("finish_reason"))
        if failure is not None or (raw.get("failure") or {}).get("reason") in {"provider_error", "transport"}:
            return None
        self.reused.add(member.gen_id)
        return self._outcome(member, attempt.prompt, text, {**raw, "failure": None}, parsed)

    def _answers_same_request(self, raw: Mapping[str, Any], attempt: Attempt) -> bool:
        # Data made before requests were hashed cannot tell; a response that was paid for gets the benefit of the doubt.
        stored = raw.get("request_sha256")
        return stored is None or stored == attempt.request_sha256()

    def _parse_again(self, task: Task) -> Outcome:
        member, store = task.member, self._recipe.store
        text = store.find_raw(member.stage, member.gen_id) or ""
        raw = store.find_raw_metadata(member.stage, member.gen_id) or {}
        failure, parsed = self._read(member, text, raw.get("finish_reason"))
        return self._outcome(member, None, text, {**raw, "failure": failure and failure.to_json()}, parsed)

    def _read(self, member: Member, text: str, finish_reason: str | None) -> tuple[Failure | None, str | None]:
        try:
            return None, self._recipe.parse(member, text, finish_reason)
        except ResponseError as error:
            self.errors.setdefault(error.reason, error)
            return Failure.of_error(error), None

    def _outcome(
        self, member: Member, prompt: str | None, text: str | None, raw: Mapping[str, Any], parsed: str | None
    ) -> Outcome:
        parsed_metadata = None
        if not self._parse:
            parsed = None
        if parsed is not None and text is not None:
            parser = self._recipe.template(member).parser
            parsed_metadata = build_parsed_metadata(member, parser, parsed, compute_text_sha256(text))
        metadata = GenerationMetadata.of_member(member, self._run_info.experiment_id)
        return Outcome(metadata, prompt, text, raw, parsed, parsed_metadata)

    # Ends ---------------------------------------------------------------------------------------------------------
    def _end(self, task: Task, outcome: Outcome, how: Any) -> None:
        stage = task.member.stage
        failure = outcome.raw_metadata.get("failure")
        self._outstanding -= 1
        if failure is None:
            how[stage] += 1
            for child in task.children:
                self._enqueue(child)
            return
        self.progress.failed[stage] += 1
        self.progress.failures[stage, failure["reason"]] += 1
        self._block(task.children)

    def _end_failed(self, task: Task, error: DayDreamingError) -> None:
        self.errors.setdefault(error.reason, error)
        self.failed[task.member.gen_id] = error
        self._outstanding -= 1
        self.progress.failed[task.member.stage] += 1
        self.progress.failures[task.member.stage, error.reason] += 1
        self._block(task.children)

    def _block(self, tasks: list[Task]) -> None:
        for task in tasks:
            self._outstanding -= 1
            self.progress.blocked[task.member.stage] += 1
            self._block(task.children)

    def _halt(self, what: str, error: DayDreamingError) -> None:
        self._halted.setdefault(what, error)
        self.errors.setdefault(error.reason, error)
        self.progress.notice = f"No further calls to {what}: {error.what}"


def _not_attempted(cause: DayDreamingError) -> ConfigurationError:
    return ConfigurationError(cause.what, fix=cause.fix, reason=cause.reason, lasting=False)


def _as_stop(error: BaseException) -> DayDreamingError:
    if isinstance(error, DayDreamingError):
        return error
    return DayDreamingError(
        f"The run stopped on an error of its own: {type(error).__name__}: {error}.",
        fix="Run the command again with --debug and report what it prints; everything answered so far is stored.",
        reason="internal",
        lasting=False,
    )
