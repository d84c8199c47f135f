"""What a run will take, told before it starts: calls, tokens, money and time, each with an interval.

What this store has seen of a template and a model says what the next calls will be like (`likeness`); without that,
what it has seen of the template with other models; without any, a guess with wide bounds. Tries that fail and answers
that cannot be used are counted in: they cost calls, and what follows from them will not be made.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from daydreaming_dagster.domain.catalogue import Model, Pool
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.likeness import Z_90_PERCENT, Figure, Likeness, Likenesses
from daydreaming_dagster.engine.plan import Action, Plan, Task
from daydreaming_dagster.engine.prices import is_free
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.recipe import Recipe
from daydreaming_dagster.store.index import Index
from daydreaming_dagster.store.ledger import Ledger


class Estimate(NamedTuple):
    """A number that is not known yet: in nine of ten cases it will lie between `low` and `high`."""

    low: float
    expected: float
    high: float


_START_S = 1.0
_OWN_WORK_S = Estimate(0.0, 0.002, 0.01)
"""Of this program, for a call."""


@dataclass(frozen=True, slots=True)
class Line:
    """What one stage will ask of one pool.

    Attributes:
        calls: tries that fail included.
        seconds: that the pool is busy with it, if it had nothing else to do.
        unpriced_models: models among them whose price nobody knows.
        from_history: share of the calls whose like this store has seen.
    """

    stage: str
    pool: str
    calls: Estimate
    prompt_tokens: Estimate
    completion_tokens: Estimate
    cost_usd: Estimate
    seconds: Estimate
    unpriced_models: tuple[str, ...] = ()
    from_history: float = 0.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run will take.

    Attributes:
        lines: by stage and pool.
        seconds: of the whole run.
        runs: earlier runs with calls like these; of different kinds of calls the fewest. 0 when all is guessed.
    """

    lines: tuple[Line, ...]
    calls: Estimate
    tokens: Estimate
    cost_usd: Estimate
    seconds: Estimate
    runs: int = 0

    @property
    def from_history(self) -> float:
        """Share of the calls whose like this store has seen."""
        calls = sum(line.calls.expected for line in self.lines)
        return sum(line.from_history * line.calls.expected for line in self.lines) / calls if calls else 0.0

    @property
    def unpriced_models(self) -> list[str]:
        """Models whose cost is not in the sum."""
        return sorted({name for line in self.lines for name in line.unpriced_models})

    def to_json(self) -> dict[str, Any]:
        """As it is kept beside what came of the run."""
        return {name: _as_plain(getattr(self, name)) for name in self.__slots__}

    def compare(self, progress: Progress, duration_s: float) -> list[tuple[str, Estimate, float, bool]]:
        """What was expected and what came: name, estimate, truth, and whether the truth lies in the interval."""
        truths = (
            ("calls", self.calls, float(progress.calls + progress.retries)),
            ("tokens", self.tokens, float(progress.prompt_tokens + progress.completion_tokens)),
            ("cost_usd", self.cost_usd, progress.cost_usd),
            ("seconds", self.seconds, duration_s),
        )
        return [(name, expected, truth, expected.low <= truth <= expected.high) for name, expected, truth in truths]


@dataclass(slots=True)
class _Sum:
    """A sum of many calls, and how wrong it may be.

    Attributes:
        variance: of what differs from call to call, or is known no better than from so many answers.
        drift: by model, standard deviation of what shifts all its calls together; models drift each on their own.
        chance, estimation: standard deviations, because it is not known how many calls there will be: which parents can
            be used is left to chance, and the share of them is estimated. A lost draft takes all stages with it, so
            that their deviations add up.
        guess: standard deviation of what is only guessed; guesses are all wrong in the same direction.
    """

    expected: float = 0.0
    variance: float = 0.0
    drift: dict[str, float] = field(default_factory=dict)
    chance: float = 0.0
    estimation: float = 0.0
    guess: float = 0.0

    def add(self, count: _Count, model_id: str, figure: Figure, answers: int) -> None:
        self.expected += count.expected * figure.mean
        self.variance += count.expected * figure.sd**2
        self.chance += math.sqrt(count.variance) * figure.mean
        self.estimation += count.error * figure.mean
        shift = count.expected * figure.drift
        if answers:
            self.variance += (count.expected * figure.sd) ** 2 / answers
            self.drift[model_id] = self.drift.get(model_id, 0.0) + shift
        else:
            self.guess += shift

    def merge(self, other: _Sum) -> None:
        for name in ("expected", "variance", "chance", "estimation", "guess"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for model_id, shift in other.drift.items():
            self.drift[model_id] = self.drift.get(model_id, 0.0) + shift

    def estimate(self) -> Estimate:
        squares = self.variance + self.chance**2 + self.estimation**2
        squares += sum(shift**2 for shift in self.drift.values())
        half = Z_90_PERCENT * (math.sqrt(squares) + self.guess)
        return Estimate(max(0.0, self.expected - half), self.expected, self.expected + half)


@dataclass(slots=True)
class _Count:
    """How many generations of a kind will be asked for: as many as have a parent that can be used.

    Attributes:
        variance: because each parent can be used or not.
        error: standard deviation, because the share of them that can be used is only estimated.
    """

    expected: float = 0.0
    variance: float = 0.0
    error: float = 0.0


@dataclass(slots=True)
class _Sums:
    calls: _Sum = field(default_factory=_Sum)
    prompt: _Sum = field(default_factory=_Sum)
    completion: _Sum = field(default_factory=_Sum)
    cost: _Sum = field(default_factory=_Sum)
    busy_s: _Sum = field(default_factory=_Sum)
    unpriced: set[str] = field(default_factory=set)
    seen_calls: float = 0.0


_Kind = tuple[Stage, str, str]
"""Stage, template, model."""


def forecast_plan(recipe: Recipe, plan: Plan, index: Index, ledger: Ledger) -> Forecast:
    """What running the plan will take.

    Args:
        recipe: how generations are made.
        plan: what is to be done.
        index: what earlier answers were like.
        ledger: what earlier runs were like.
    """
    histories = {stage: index.read_history(stage) for stage in Stage}
    runs = ledger.read_run_means()
    return _Forecaster(recipe, Likenesses(recipe, histories, runs, plan.ready)).forecast(plan)


class _Forecaster:
    def __init__(self, recipe: Recipe, likenesses: Likenesses) -> None:
        self._recipe = recipe
        self._likenesses = likenesses
        self._sums: defaultdict[tuple[Stage, str], _Sums] = defaultdict(_Sums)
        self._chain_s: dict[Stage, float] = defaultdict(float)
        self._runs: list[int] = []

    def forecast(self, plan: Plan) -> Forecast:
        counts: defaultdict[_Kind, _Count] = defaultdict(_Count)
        self._count(plan.ready, 1.0, 0.0, counts)
        for kind, count in counts.items():
            self._add(kind, count)
        lines = tuple(self._line(stage, pool, sums) for (stage, pool), sums in sorted(self._sums.items()))
        total = _Sums()
        for sums in self._sums.values():
            for name in ("calls", "prompt", "completion", "cost"):
                getattr(total, name).merge(getattr(sums, name))
        tokens = _Sum()
        tokens.merge(total.prompt)
        tokens.merge(total.completion)
        calls = total.calls.estimate()
        span = self._find_span(lines, calls)
        runs = min(self._runs, default=0)
        return Forecast(lines, calls, tokens.estimate(), total.cost.estimate(), span, runs)

    def _count(self, siblings: Iterable[Task], share: float, error: float, counts: dict[_Kind, _Count]) -> None:
        """Adds the calls of trees, each weighed by how probable it is that its parent can be used.

        Args:
            siblings: tasks with the same parent, or roots.
            share: probability that they are asked for.
            error: of that probability, as a share of it.
            counts: by kind, to be added to.
        """
        here: Counter[_Kind] = Counter()
        for task in siblings:
            member = task.member
            usable, usable_error = 1.0, 0.0
            if task.action is not Action.PARSE and not self._recipe.is_copy(member):
                kind = (member.stage, member.template_id, member.llm_model_id)
                here[kind] += 1
                usable, usable_error = self._likenesses.find(*kind).usable
            if task.children:
                error_below = math.hypot(error, usable_error / usable) if usable else error
                self._count(task.children, share * usable, error_below, counts)
        for kind, number in here.items():
            count = counts[kind]
            count.expected += share * number
            count.variance += share * (1.0 - share) * number**2
            count.error += share * number * error

    def _add(self, kind: _Kind, count: _Count) -> None:
        stage, _, model_id = kind
        like = self._likenesses.find(*kind)
        model = self._recipe.catalogue.models.get(model_id)
        if model is None:
            return
        sums = self._sums[stage, model.pool]
        sums.calls.add(count, model_id, like.tries, like.answers)
        sums.prompt.add(count, model_id, like.prompt, like.answers)
        sums.completion.add(count, model_id, like.completion, like.answers)
        sums.busy_s.add(count, model_id, _scale(like.seconds, like.tries.mean), like.answers)
        sums.seen_calls += count.expected * like.tries.mean if like.answers else 0.0
        if like.answers:
            self._runs.append(like.runs)
        self._chain_s[stage] = max(self._chain_s[stage], like.seconds.mean)
        cost = self._find_cost(model, like)
        if cost is None:
            sums.unpriced.add(model.id)
        else:
            sums.cost.add(count, model_id, cost, like.answers)

    def _find_cost(self, model: Model, like: Likeness) -> Figure | None:
        """Of a call, USD: by what such calls cost, else by the prices of the table; None when neither is known."""
        prompt, completion = like.prompt, like.completion
        if is_free(model, self._recipe.catalogue.endpoints[model.endpoint]):
            return Figure(0.0, 0.0, 0.0)
        if model.price_prompt is None or model.price_completion is None:
            if like.cost_usd is None:
                return None
            spread = completion.sd / completion.mean if completion.mean else 0.0
            drift = completion.drift / completion.mean if completion.mean else 0.0
            return Figure(like.cost_usd, like.cost_usd * spread, like.cost_usd * drift)
        prices = model.price_prompt, model.price_completion
        return Figure(
            prompt.mean * prices[0] + completion.mean * prices[1] if like.cost_usd is None else like.cost_usd,
            math.hypot(prompt.sd * prices[0], completion.sd * prices[1]),
            prompt.drift * prices[0] + completion.drift * prices[1],
        )

    # Time -----------------------------------------------------------------------------------------------------------
    def _line(self, stage: Stage, pool_name: str, sums: _Sums) -> Line:
        pool = self._recipe.catalogue.pools[pool_name]
        calls = sums.calls.estimate()
        prompt, completion = sums.prompt.estimate(), sums.completion.estimate()
        busy = sums.busy_s.estimate()
        seconds = Estimate(
            *(
                _find_seconds(pool, each_busy, each_calls, each_prompt + each_completion)
                for each_busy, each_calls, each_prompt, each_completion in zip(
                    busy, calls, prompt, completion, strict=True
                )
            )
        )
        share = sums.seen_calls / sums.calls.expected if sums.calls.expected else 0.0
        cost, unpriced = sums.cost.estimate(), tuple(sorted(sums.unpriced))
        return Line(stage.value, pool_name, calls, prompt, completion, cost, seconds, unpriced, share)

    def _find_span(self, lines: Iterable[Line], calls: Estimate) -> Estimate:
        """The busiest pool, the time for the last tree to go through all stages, and our own work."""
        by_pool: defaultdict[str, list[Estimate]] = defaultdict(list)
        for line in lines:
            by_pool[line.pool].append(line.seconds)
        sums = [tuple(map(sum, zip(*estimates, strict=True))) for estimates in by_pool.values()]
        if not sums:
            return Estimate(0, 0, 0)
        chain_s = sum(self._chain_s.values())
        low, expected, high = (max(values) for values in zip(*sums, strict=True))
        return Estimate(
            max(low, 0.5 * chain_s),
            max(expected, chain_s) + _OWN_WORK_S.expected * calls.expected,
            high + chain_s + _START_S + _OWN_WORK_S.high * calls.high,
        )


def _scale(figure: Figure, factor: float) -> Figure:
    return Figure(*(factor * value for value in figure))


def _as_plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return value._asdict()
    if isinstance(value, Line):
        return {name: _as_plain(getattr(value, name)) for name in Line.__slots__}
    return [_as_plain(each) for each in value] if isinstance(value, tuple) else value


def _find_seconds(pool: Pool, busy_s: float, calls: float, tokens: float) -> float:
    seconds = busy_s / pool.max_concurrent
    if pool.requests_per_minute:
        seconds = max(seconds, 60 * max(0.0, calls / pool.requests_per_minute - 1))
    if pool.tokens_per_minute:
        seconds = max(seconds, 60 * max(0.0, tokens / pool.tokens_per_minute - 1))
    if pool.requests_per_day:
        seconds = max(seconds, 86400.0 * math.floor(calls / pool.requests_per_day))
    return seconds


def build_record(forecast: Forecast, progress: Progress, duration_s: float, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Forecast and truth side by side, as they are kept under `forecasts/`."""
    compared = {
        name: {"expected": _as_plain(expected), "truth": truth, "inside": inside}
        for name, expected, truth, inside in forecast.compare(progress, duration_s)
    }
    return {**facts, "compared": compared, "forecast": forecast.to_json()}
