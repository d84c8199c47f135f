"""What a run will take, told before it starts: calls, tokens, money and time, each with an interval.

What this store has seen of a template and a model says what the next calls will be like; without that, what it has seen
of the template with other models; without any, a guess with wide bounds. Tries that fail and answers that cannot be
used are counted in: they cost calls, and what follows from them will not be made.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from daydreaming_dagster.domain.catalogue import Model, Pool
from daydreaming_dagster.domain.errors import DayDreamingError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.plan import Action, Plan, Task
from daydreaming_dagster.engine.prices import find_bound_in_params, is_free
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.recipe import Recipe
from daydreaming_dagster.store.index import History, Index
from daydreaming_dagster.store.ledger import Ledger

_Z_90_PERCENT = 1.645
_SAMPLED_PROMPTS = 20
_BYTES_PER_TOKEN = 4.0
_PRIOR_ANSWER_SHARE = 0.35
"""Of max_tokens, when nothing is known."""
_PRIOR_SPREAD = 0.6
"""Standard deviation of a guess, as a share of it."""
_PRIOR_TOKENS_PER_S = 60.0
_PRIOR_LATENCY_S = 1.0


class Estimate(NamedTuple):
    """A number that is not known yet: in nine of ten cases it will lie between `low` and `high`."""

    low: float
    expected: float
    high: float


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
    """

    lines: tuple[Line, ...]
    calls: Estimate
    tokens: Estimate
    cost_usd: Estimate
    seconds: Estimate

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
    """Sums of independent and of common errors."""

    expected: float = 0.0
    variance: float = 0.0
    common_sd: float = 0.0

    def add(self, count: float, mean: float, sd: float, seen: int | None) -> None:
        self.expected += count * mean
        if seen is None:
            self.common_sd += count * sd  # a guess is wrong for all calls in the same direction
        else:
            self.variance += count * sd**2 + (count * sd) ** 2 / max(seen, 1)

    def merge(self, other: _Sum) -> None:
        self.expected += other.expected
        self.variance += other.variance
        self.common_sd += other.common_sd

    def estimate(self) -> Estimate:
        half = _Z_90_PERCENT * (math.sqrt(self.variance) + self.common_sd)
        return Estimate(max(0.0, self.expected - half), self.expected, self.expected + half)


@dataclass(slots=True)
class _Sums:
    calls: _Sum = field(default_factory=_Sum)
    prompt: _Sum = field(default_factory=_Sum)
    completion: _Sum = field(default_factory=_Sum)
    cost: _Sum = field(default_factory=_Sum)
    busy_s: _Sum = field(default_factory=_Sum)
    unpriced: set[str] = field(default_factory=set)
    seen_calls: float = 0.0


@dataclass(frozen=True, slots=True)
class _Likeness:
    """What the next calls of a template and a model will be like; `seen` is None for a guess."""

    prompt: tuple[float, float]
    completion: tuple[float, float]
    seconds: tuple[float, float]
    usable: float
    tries: float
    cost_usd: float | None
    seen: int | None


def forecast_plan(recipe: Recipe, plan: Plan, index: Index, ledger: Ledger | None) -> Forecast:
    """What running the plan will take.

    Args:
        recipe: how generations are made.
        plan: what is to be done.
        index: what earlier answers were like.
        ledger: how many tries they took; None when nothing was ever called.
    """
    return _Forecaster(recipe, index, ledger).forecast(plan)


class _Forecaster:
    def __init__(self, recipe: Recipe, index: Index, ledger: Ledger | None) -> None:
        self._recipe = recipe
        self._histories = {stage: index.read_history(stage) for stage in Stage}
        self._attempts = {} if ledger is None else ledger.count_attempts()
        self._likenesses: dict[tuple[Stage, str, str], _Likeness] = {}
        self._answer_tokens: dict[str, float] = {}
        self._sums: defaultdict[tuple[Stage, str], _Sums] = defaultdict(_Sums)
        self._chain_s: dict[Stage, float] = defaultdict(float)

    def forecast(self, plan: Plan) -> Forecast:
        self._sample_drafts(plan.ready)
        groups: defaultdict[tuple[Stage, str, str], float] = defaultdict(float)
        for root in plan.ready:
            self._count(root, 1.0, groups)
        for (stage, template_id, model_id), count in groups.items():
            self._add(stage, template_id, model_id, count)
        lines = tuple(self._line(stage, pool, sums) for (stage, pool), sums in sorted(self._sums.items()))
        total = _Sums()
        for sums in self._sums.values():
            for name in ("calls", "prompt", "completion", "cost"):
                getattr(total, name).merge(getattr(sums, name))
        tokens = _Sum()
        tokens.merge(total.prompt)
        tokens.merge(total.completion)
        return Forecast(lines, total.calls.estimate(), tokens.estimate(), total.cost.estimate(), self._find_span(lines))

    def _count(self, task: Task, share: float, groups: dict[tuple[Stage, str, str], float]) -> None:
        """Adds the calls of a tree, each weighed by how probable it is that its parent can be used."""
        member = task.member
        usable = 1.0
        if task.action is not Action.PARSE and not self._recipe.is_copy(member):
            key = (member.stage, member.template_id, member.llm_model_id)
            groups[key] = groups.get(key, 0.0) + share
            usable = self._likeness(*key).usable
        for child in task.children:
            self._count(child, share * usable, groups)

    def _add(self, stage: Stage, template_id: str, model_id: str, count: float) -> None:
        like = self._likeness(stage, template_id, model_id)
        model = self._recipe.catalogue.models.get(model_id)
        if model is None:
            return
        sums = self._sums[stage, model.pool]
        calls = count * like.tries
        sums.calls.add(calls, 1.0, math.sqrt(max(0.0, like.tries - 1.0)), like.seen)
        sums.prompt.add(count, *like.prompt, like.seen)
        sums.completion.add(count, *like.completion, like.seen)
        sums.busy_s.add(calls, *like.seconds, like.seen)
        sums.seen_calls += calls if like.seen is not None else 0.0
        self._chain_s[stage] = max(self._chain_s[stage], like.seconds[0])
        prices = self._find_prices(model)
        if prices is not None:
            mean = like.prompt[0] * prices[0] + like.completion[0] * prices[1]
            sd = math.hypot(like.prompt[1] * prices[0], like.completion[1] * prices[1])
            sums.cost.add(count, mean if like.cost_usd is None else like.cost_usd, sd, like.seen)
        elif like.cost_usd is not None:
            sums.cost.add(count, like.cost_usd, like.cost_usd * _PRIOR_SPREAD, like.seen)
        else:
            sums.unpriced.add(model.id)

    def _find_prices(self, model: Model) -> tuple[float, float] | None:
        if is_free(model, self._recipe.catalogue.endpoints[model.endpoint]):
            return 0.0, 0.0
        if model.price_prompt is None or model.price_completion is None:
            return None
        return model.price_prompt, model.price_completion

    # What calls will be like ----------------------------------------------------------------------------------------
    def _likeness(self, stage: Stage, template_id: str, model_id: str) -> _Likeness:
        key = (stage, template_id, model_id)
        if key not in self._likenesses:
            self._likenesses[key] = self._find_likeness(stage, template_id, model_id)
        return self._likenesses[key]

    def _find_likeness(self, stage: Stage, template_id: str, model_id: str) -> _Likeness:
        histories = self._histories[stage]
        own = histories.get((template_id, model_id))
        if own is not None and own.answers >= 3:
            return self._from_history(own, self._find_tries((stage.value, template_id, model_id)), own.answers)
        same_template = [history for (template, _), history in histories.items() if template == template_id]
        if same_template:  # another model's answers: a guess still, but a better one
            nearest = max(same_template, key=lambda history: history.answers)
            return self._from_history(nearest, 1.0, None)
        return self._guess(stage, template_id, model_id)

    def _from_history(self, history: History, tries: float, seen: int | None) -> _Likeness:
        def widen(value: tuple[float, float]) -> tuple[float, float]:
            return value if seen is not None else (value[0], max(value[1], _PRIOR_SPREAD * value[0]))

        return _Likeness(
            widen(history.prompt_tokens),
            widen(history.completion_tokens),
            widen(history.duration_s),
            history.usable / history.answers if history.answers else 1.0,
            tries,
            history.cost_usd if seen is not None else None,
            seen,
        )

    def _find_tries(self, key: tuple[str, str, str]) -> float:
        sent, failed = self._attempts.get(key, (0, 0))
        return sent / (sent - failed) if sent > failed else 1.0

    def _guess(self, stage: Stage, template_id: str, model_id: str) -> _Likeness:
        template = self._recipe.catalogue.templates[stage].get(template_id)
        prompt = len(template.source.encode()) / _BYTES_PER_TOKEN if template is not None else 500.0
        if stage is Stage.DRAFT:
            prompt = self._answer_tokens.get(template_id, prompt)
        else:
            writers = [model.id for model in self._recipe.catalogue.generation_models()]
            parent_bounds = [self._find_answer_bound(stage.parent or Stage.DRAFT, writer) for writer in writers]
            prompt += max(parent_bounds, default=0) * _PRIOR_ANSWER_SHARE
        completion = self._find_answer_bound(stage, model_id) * _PRIOR_ANSWER_SHARE
        seconds = _PRIOR_LATENCY_S + completion / _PRIOR_TOKENS_PER_S
        return _Likeness(
            (prompt, prompt * _PRIOR_SPREAD / 2),
            (completion, completion * _PRIOR_SPREAD),
            (seconds, seconds * _PRIOR_SPREAD),
            usable=1.0,
            tries=1.0,
            cost_usd=None,
            seen=None,
        )

    def _find_answer_bound(self, stage: Stage, model_id: str) -> int:
        model = self._recipe.catalogue.models.get(model_id)
        bound = find_bound_in_params(model.params) if model is not None else None
        return self._recipe.config.stages[stage].max_tokens if bound is None else bound

    def _sample_drafts(self, ready: Iterable[Task]) -> None:
        """How long the prompts of each draft template are, from some of them."""
        sizes: defaultdict[str, list[float]] = defaultdict(list)
        for task in islice((task for task in ready if task.member.stage is Stage.DRAFT), 50 * _SAMPLED_PROMPTS):
            if len(sizes[task.member.template_id]) < _SAMPLED_PROMPTS:
                try:
                    prompt = self._recipe.build_prompt(task.member)
                except DayDreamingError:
                    continue  # the run itself will say so
                sizes[task.member.template_id].append(len(prompt.encode("utf-8", "replace")) / _BYTES_PER_TOKEN)
        self._answer_tokens = {name: sum(values) / len(values) for name, values in sizes.items() if values}

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

    def _find_span(self, lines: Iterable[Line]) -> Estimate:
        """The busiest pool, and the time for the last tree to go through all stages."""
        by_pool: defaultdict[str, list[Estimate]] = defaultdict(list)
        for line in lines:
            by_pool[line.pool].append(line.seconds)
        sums = [tuple(map(sum, zip(*estimates, strict=True))) for estimates in by_pool.values()]
        if not sums:
            return Estimate(0, 0, 0)
        chain_s = sum(self._chain_s.values())
        low, expected, high = (max(values) for values in zip(*sums, strict=True))
        return Estimate(max(low, 0.5 * chain_s), max(expected, chain_s), high + chain_s)


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
