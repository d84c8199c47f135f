"""Runs a plan from beginning to end: opens clients and writer, listens for Ctrl-C, closes everything."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence, Set
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import dataclass, field
from types import FrameType

from daydreaming_dagster.domain.catalogue import Catalogue, Endpoint, Pool
from daydreaming_dagster.domain.errors import DayDreamingError, RunInterruptedError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.budget import Budget, BudgetLimits
from daydreaming_dagster.engine.callbook import CallBook
from daydreaming_dagster.engine.claims import Claims
from daydreaming_dagster.engine.forecast import Forecast
from daydreaming_dagster.engine.limits import SharedLimits
from daydreaming_dagster.engine.maker import Maker
from daydreaming_dagster.engine.plan import Action, Plan
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.quota import KeyRecords, find_free_endpoint
from daydreaming_dagster.engine.recipe import Recipe
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.engine.retries import RetryPolicy
from daydreaming_dagster.engine.scheduler import Scheduler
from daydreaming_dagster.engine.settling import settle_unknown
from daydreaming_dagster.engine.writer import DurableWriter
from daydreaming_dagster.llm.clients import open_client
from daydreaming_dagster.llm.openrouter_records import KeyStatus
from daydreaming_dagster.llm.protocol import ChatClient
from daydreaming_dagster.store.generations import Outcome
from daydreaming_dagster.store.journal import recover
from daydreaming_dagster.store.ledger import CallState, Ledger, Spending, build_scopes
from daydreaming_dagster.store.owners import Owner
from daydreaming_dagster.store.paths import DataPaths

_OBJECTS_PER_COLLECTION = 50_000
_SWITCH_INTERVAL_S = 0.0005


@dataclass(slots=True)
class RunReport:
    """How a run ended.

    Attributes:
        progress: final counts.
        errors: the first error of each reason.
        failed: tasks that ended without a response, those left to do among them, by gen_id.
        reused: gen_ids whose stored response was taken again.
        stopped: why it ended before all was done; None when it was not cut short.
        duration_s: wall time, seconds.
        forecast: what was expected of it; None when nobody asked.
        unknown: calls of the cohort, in all its runs, of which nobody knows whether they were answered and charged.
    """

    progress: Progress
    errors: Mapping[str, DayDreamingError] = field(default_factory=dict)
    failed: Mapping[str, DayDreamingError] = field(default_factory=dict)
    reused: Set[str] = frozenset()
    stopped: DayDreamingError | None = None
    duration_s: float = 0.0
    forecast: Forecast | None = None
    unknown: Spending | None = None


class EndpointClients:
    """One client per endpoint, opened when it is first needed."""

    def __init__(self, endpoints: Mapping[str, Endpoint], environ: Mapping[str, str], paths: DataPaths) -> None:
        self._endpoints = endpoints
        self._paths = paths
        self._environ = environ
        self._clients: dict[str, ChatClient] = {}

    def client(self, endpoint: str) -> ChatClient:
        """The endpoint's client."""
        client = self._clients.get(endpoint)
        if client is None:
            client = self._clients[endpoint] = self._open(self._endpoints[endpoint])
        return client

    def find_open(self, endpoint: str) -> ChatClient | None:
        """The endpoint's client if this run used it."""
        return self._clients.get(endpoint)

    def _open(self, endpoint: Endpoint) -> ChatClient:
        if not endpoint.answers_later:
            return open_client(endpoint, environ=self._environ)
        from daydreaming_dagster.engine.batches import BatchClient
        from daydreaming_dagster.llm.openai_compatible import OpenAICompatibleClient

        return BatchClient(OpenAICompatibleClient(endpoint, environ=self._environ), self._paths)

    async def aclose(self) -> None:
        """Closes all of them, also when one cannot be closed."""
        async with AsyncExitStack() as stack:
            for client in self._clients.values():
                stack.push_async_callback(client.aclose)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a plan is run.

    Attributes:
        parse: also read the responses; without it raw texts are stored and nothing else.
        retry: when to try again.
        budget: what may be spent.
        on_stored: told of each batch that reached the disk, from another thread.
    """

    parse: bool = True
    retry: RetryPolicy | None = None
    budget: BudgetLimits = field(default_factory=BudgetLimits)
    on_stored: Callable[[Sequence[Outcome]], None] | None = None


def run_plan(
    recipe: Recipe,
    plan: Plan,
    run_info: RunInfo,
    *,
    environ: Mapping[str, str],
    progress: Progress | None = None,
    options: RunOptions | None = None,
) -> RunReport:
    """Runs the plan and returns when everything that was begun is stored.

    Args:
        recipe: how generations are made.
        plan: what to do.
        run_info: names for the metadata.
        environ: where endpoints' keys are looked up.
        progress: counts to be updated while the run goes on.
        options: how it is run.
    """
    progress = progress or Progress()
    if plan.size == 0:
        return RunReport(progress=progress)
    import uvloop  # here and not above: commands that only look at a plan need not wait for it

    with _tune_interpreter(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(recipe, plan, run_info, environ, progress, options or RunOptions()))


async def _run(
    recipe: Recipe,
    plan: Plan,
    run_info: RunInfo,
    environ: Mapping[str, str],
    progress: Progress,
    options: RunOptions,
) -> RunReport:
    started = time.perf_counter()
    progress.batched = _find_batched_stages(recipe, plan)
    store, paths = recipe.store, recipe.store.paths
    maker = Maker(recipe, run_info, parse=options.parse)
    async with AsyncExitStack() as stack:
        owner = stack.enter_context(closing(Owner(paths)))
        ledger = stack.enter_context(closing(Ledger(paths)))
        stack.callback(ledger.forget_owner, owner.id)
        clients = EndpointClients(recipe.catalogue.endpoints, environ, paths)
        stack.push_async_callback(clients.aclose)

        def recover_others() -> int:
            return recover(store, ledger)

        scopes = build_scopes(run_info.run_id, run_info.cohort_id)
        budget = Budget(ledger, owner.id, scopes, options.budget, recover_others)
        async with DurableWriter(store, owner.id, options.on_stored) as writer:
            scheduler = Scheduler(
                maker,
                clients,
                writer,
                CallBook(writer, run_info, owner.id, budget if budget.is_bounded else None),
                claims=Claims(ledger, store, owner.id, recover_others),
                open_room=lambda pool: SharedLimits(
                    paths, pool, ask_provider=_find_key_records(recipe.catalogue, clients, pool)
                ),
                retry=options.retry,
                progress=progress,
            )
            with _stop_on_signals(scheduler):
                await scheduler.run(plan)
        if writer.trouble is not None:  # it may have come after the last call
            scheduler.request_stop(writer.trouble)
        await settle_unknown(ledger, clients.find_open)
        spending = {row.state: row for row in ledger.summarize(cohort_id=run_info.cohort_id or None)}
    return RunReport(
        progress=progress,
        errors=scheduler.errors,
        failed=scheduler.failed,
        reused=scheduler.reused,
        stopped=scheduler.stopped,
        duration_s=time.perf_counter() - started,
        unknown=spending.get(CallState.UNKNOWN.value),
    )


def _find_batched_stages(recipe: Recipe, plan: Plan) -> frozenset[Stage]:
    endpoints = recipe.catalogue.endpoints
    later = {model.id for model in recipe.catalogue.models.values() if endpoints[model.endpoint].answers_later}
    tasks = (task for root in plan.ready for task in root.walk()) if later else ()
    return frozenset(
        task.member.stage
        for task in tasks
        if task.member.llm_model_id in later and task.action is not Action.PARSE and not recipe.is_copy(task.member)
    )


def _find_key_records(
    catalogue: Catalogue, clients: EndpointClients, pool: Pool
) -> Callable[[], Awaitable[KeyStatus]] | None:
    """How to ask what is left of a pool's free requests; None where nobody says."""
    endpoint = find_free_endpoint(catalogue, pool.pool)
    client = None if endpoint is None else clients.client(endpoint)
    return client.fetch_key_status if isinstance(client, KeyRecords) else None


@contextmanager
def _tune_interpreter() -> Iterator[None]:
    """Sets Python up for one busy loop with threads beside it, and back again.

    Garbage is looked for less often, and not among what was there before: a large plan lives as long as the run. And
    a thread that computes gives way sooner: whenever the loop has sent or read something, it has to get the interpreter
    back, and would wait as long as a thread may keep it.
    """
    thresholds, interval_s = gc.get_threshold(), sys.getswitchinterval()
    gc.freeze()
    gc.set_threshold(_OBJECTS_PER_COLLECTION, *thresholds[1:])
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(interval_s)
        gc.set_threshold(*thresholds)
        gc.unfreeze()


@contextmanager
def _stop_on_signals(scheduler: Scheduler) -> Iterator[None]:
    """Ctrl-C and SIGTERM end a run politely; a second one ends it at once, and calls under way are given up."""
    running = asyncio.current_task()
    if running is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    given_up = False

    def stop() -> None:
        nonlocal given_up
        if scheduler.stopped is not None:
            given_up = running.cancel()
            return
        scheduler.request_stop(
            RunInterruptedError(
                "Stopping: calls under way are finished and stored (again Ctrl-C gives them up).",
                fix="Run the same command again to go on where this one stopped.",
            )
        )

    loop = asyncio.get_running_loop()

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop)

    # Not loop.add_signal_handler: uvloop may call that one twice for a single signal, and the second
    # time would give up what is under way.
    before = {
        number: signal.signal(number, pass_on)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN  # a job in the background of a script
    }
    try:
        yield
    except asyncio.CancelledError:
        if not given_up:
            raise
        running.uncancel()  # what was done until now is still reported
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
