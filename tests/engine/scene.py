"""A run whose models, disk and clock are in the test's hand: nothing happens unless the test says so."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.engine.stepped_loop import SteppedLoop

from daydreaming_dagster.domain.catalogue import Catalogue, Concept, Endpoint, EndpointKind, Model, Pool, Template
from daydreaming_dagster.domain.combinations import Combination
from daydreaming_dagster.domain.errors import DayDreamingError, ModelCallError, StoreError
from daydreaming_dagster.domain.experiment_config import ExperimentConfig, StageConfig
from daydreaming_dagster.domain.membership import Axes, Member, build_cartesian_members
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.budget import Budget
from daydreaming_dagster.engine.callbook import CallBook
from daydreaming_dagster.engine.claims import ClaimSource, NoClaims
from daydreaming_dagster.engine.lanes import Room
from daydreaming_dagster.engine.maker import Maker
from daydreaming_dagster.engine.plan import Plan, build_plan
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.recipe import Recipe
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.engine.scheduler import Scheduler
from daydreaming_dagster.llm.protocol import ChatRequest, ChatResponse, Usage
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.store.journal import Entry
from daydreaming_dagster.store.ledger import CallRow, CallState
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.store.states import MISSING_STATE

PRICE = 0.001
"""USD per token of every model here."""

GOOD_TEXT = "One line.\nSCORE: 7"


@dataclass(eq=False)
class Asked:
    """A call that waits for its answer."""

    request: ChatRequest
    future: asyncio.Future[ChatResponse]


class HandClient:
    """A client that answers when the test does."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.total = 0
        self.peak: Counter[str] = Counter()

    async def complete(self, request: ChatRequest) -> ChatResponse:
        asked = Asked(request, asyncio.get_running_loop().create_future())
        self.asked.append(asked)
        self.total += 1
        for model, count in Counter(each.request.model for each in self.asked).items():
            self.peak[model] = max(self.peak[model], count)
        try:
            return await asked.future
        finally:
            self.asked.remove(asked)

    async def aclose(self) -> None:
        """Nothing to close."""


@dataclass
class HandWriter:
    """A disk that stores when the test says so, and remembers everything."""

    is_slow: bool = False
    trouble: StoreError | None = None
    refusal: StoreError | None = None
    stored: dict[str, Entry] = field(default_factory=dict)
    rows: dict[str, CallRow] = field(default_factory=dict)
    noted: list[str] = field(default_factory=list)
    waiting: list[tuple[Entry, asyncio.Future[None]]] = field(default_factory=list)

    @property
    def backlog(self) -> int:
        return len(self.waiting)

    def note(self, call: CallRow) -> None:
        if self.refusal is not None:
            raise self.refusal
        assert call.call_id not in self.rows, "a call was written down twice"
        self.noted.append(call.call_id)
        self.rows[call.call_id] = call

    def record(self, entry: Entry) -> None:
        if entry.call is not None:
            assert self.rows[entry.call.call_id].ended_at is None, "a call was closed twice"
            self.rows[entry.call.call_id] = entry.call

    def commit(self, entry: Entry) -> asyncio.Future[None]:
        self.record(entry)
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((entry, future))
        if not self.is_slow:
            self.flush()
        return future

    def flush(self) -> None:
        """Stores, or refuses, everything that waits."""
        waiting, self.waiting = self.waiting, []
        for entry, future in waiting:
            if future.done():
                continue
            if self.refusal is not None:
                future.set_exception(self.refusal)
                continue
            assert entry.outcome is not None
            self.stored[entry.outcome.metadata.gen_id] = entry
            future.set_result(None)


class HandClients:
    """The same client for every endpoint, or an error."""

    def __init__(self, client: HandClient) -> None:
        self._client = client

    def client(self, endpoint: str) -> HandClient:
        return self._client


def make_catalogue(
    pools: Mapping[str, Pool], *, essay_generator: str = "llm", kind: EndpointKind = "openai"
) -> Catalogue:
    """A writer and a judge; each in the pool of its name where there is one, else in the only one."""
    only = next(iter(pools))

    def model(name: str) -> Model:
        pool = name if name in pools else only
        return Model(name, name, "maker", name, True, True, "", "endpoint", pool, "", PRICE, PRICE)

    def template(stage: Stage, parser: str, generator: str = "llm") -> Template:
        source = {"draft": "{{ concepts[0].name }}", "essay": "{{ draft_block }}", "evaluation": "{{ response }}"}
        text = f"{stage} {source[stage]}"
        return Template(stage, stage.value, "", "", parser, generator, True, text)  # type: ignore[arg-type]

    return Catalogue(
        concepts={"a": Concept("a", "Alpha", True), "b": Concept("b", "Beta", True)},
        templates={
            Stage.DRAFT: {"draft": template(Stage.DRAFT, "identity")},
            Stage.ESSAY: {"essay": template(Stage.ESSAY, "identity", essay_generator)},
            Stage.EVALUATION: {"evaluation": template(Stage.EVALUATION, "in_last_line")},
        },
        models={name: model(name) for name in ("writer", "judge")},
        endpoints={"endpoint": Endpoint("endpoint", kind, "http://127.0.0.1:1/v1")},
        pools=dict(pools),
        replicates=dict.fromkeys(Stage, 1),
    )


def make_members(drafts: int, essays: int = 1, evaluations: int = 1) -> list[Member]:
    """Trees of drafts, essays and evaluations."""
    axes = Axes(
        ("draft",), ("essay",), ("evaluation",), ("writer",), ("judge",),
        {Stage.DRAFT: drafts, Stage.ESSAY: essays, Stage.EVALUATION: evaluations},
    )  # fmt: skip
    return build_cartesian_members("cohort-test", ["combo"], axes)


class Scene:
    """One run under way."""

    def __init__(
        self,
        folder: Path,
        members: list[Member],
        pools: Mapping[str, Pool],
        *,
        budget: Budget | None = None,
        plan: Plan | None = None,
        max_tokens: int = 50,
        essay_generator: str = "llm",
        kind: EndpointKind = "openai",
        claims: ClaimSource | None = None,
        open_room: Callable[[Pool], Room] | None = None,
        wrap: Callable[[str, Any], Any] = lambda _, collaborator: collaborator,
    ) -> None:
        self.loop = SteppedLoop()
        self.members = {member.gen_id: member for member in members}
        self.client = HandClient()
        self.writer = HandWriter()
        self.plan = plan or build_plan(members, lambda _: MISSING_STATE)
        store = GenerationStore(DataPaths(folder))
        config = ExperimentConfig(2, "paragraph", {stage: StageConfig(max_tokens, 0.5, 1) for stage in Stage})
        combination = Combination("combo", ("a", "b"), "paragraph", 2)
        catalogue = make_catalogue(pools, essay_generator=essay_generator, kind=kind)
        recipe = Recipe(catalogue, config, {"combo": combination}, store)
        run_info = RunInfo("run-test", "cohort-test")
        self.book = CallBook(self.writer, run_info, "owner", budget)
        self.progress = Progress()
        self.error: BaseException | None = None
        self.has_ended = False
        self._recipe, self._run_info = recipe, run_info
        self._claims, self._open_room, self._wrap = claims, open_room, wrap

    def start(self) -> None:
        async def run() -> None:
            self.scheduler = Scheduler(
                self._wrap("maker", Maker(self._recipe, self._run_info)),
                self._wrap("clients", HandClients(self.client)),
                self._wrap("writer", self.writer),
                self._wrap("book", self.book),
                claims=self._wrap("claims", self._claims or NoClaims()),
                open_room=self._open_room,
                progress=self.progress,
                jitter=lambda: 0.5,
            )
            try:
                await self.scheduler.run(self.plan)
            except Exception as error:  # noqa: BLE001 - the test looks at it
                self.error = error
            finally:
                self.has_ended = True

        self.task = self.loop.create_task(run())
        self.loop.settle()

    def answer(self, position: int = 0, text: str = GOOD_TEXT, finish_reason: str = "stop", tokens: int = 10) -> None:
        asked = self.client.asked[position]
        usage = Usage(prompt_tokens=tokens, completion_tokens=tokens)
        asked.future.set_result(ChatResponse(text, finish_reason, response_id="r", usage=usage))
        self.loop.settle()

    def fail(self, position: int, error: Exception) -> None:
        self.client.asked[position].future.set_exception(error)
        self.loop.settle()

    def stop(self, error: DayDreamingError) -> None:
        self.scheduler.request_stop(error)
        self.loop.settle()

    def finish(self, rounds: int = 10_000) -> None:
        """Answers everything until the run has ended."""
        for _ in range(rounds):
            if self.has_ended:
                return
            self.writer.flush()
            self.loop.settle()
            if self.client.asked:
                self.answer()
            elif not self.has_ended:
                self.loop.advance(30.0)
        raise AssertionError("the run does not end")

    def close(self) -> None:
        if not self.has_ended:
            self.task.cancel()
            self.loop.settle()
        self.loop.close()

    @property
    def ended(self) -> int:
        return sum(self.progress.ended(stage) for stage in Stage)

    def open_calls(self) -> list[CallRow]:
        return [row for row in self.writer.rows.values() if row.ended_at is None]

    def spent_or_reserved_usd(self) -> float:
        """What was spent, and what the calls under way could still cost."""
        return sum(
            row.reserved_usd if row.state == CallState.UNKNOWN else row.spent.usd for row in self.writer.rows.values()
        )


def call_error(
    kind: type[ModelCallError], reason: str | None = None, retry_after_s: float | None = None
) -> ModelCallError:
    return kind("It failed.", fix="Mend it.", reason=reason, retry_after_s=retry_after_s)
