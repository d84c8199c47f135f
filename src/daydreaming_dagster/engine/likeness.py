"""What the next calls of a template and a model will be like: from answers like them, else a guess.

Two things make a mean wrong that was taken from earlier answers. Answers differ from each other, which matters less the
more of them there are. And runs differ from each other: other concepts, another host, another hour of the day shift all
answers of a run together, however many there are. The second is estimated from the means of the earlier runs (analysis
of variance with random run effects, Searle, Casella and McCulloch 1992), mixed with what is usual as if that had been
seen in a few runs before: after one run, nobody can know how much the next one will differ.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from daydreaming_dagster.domain.errors import DayDreamingError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.plan import Task
from daydreaming_dagster.engine.prices import find_bound_in_params
from daydreaming_dagster.engine.recipe import Recipe
from daydreaming_dagster.store.index import History
from daydreaming_dagster.store.ledger import RunMeans

Z_90_PERCENT = 1.645
_USUAL_RUNS = 4
"""As many runs as what is usual counts for."""
_USUAL_DRIFT = {"prompt": 0.03, "completion": 0.05, "seconds": 0.25, "tries": 0.01}
"""Standard deviation of a run's mean from that of all runs, as a share of it."""
_FEWEST_ANSWERS = 3
_SAMPLED_PROMPTS = 20
_BYTES_PER_TOKEN = 4.0
_PRIOR_ANSWER_SHARE = 0.35
"""Of max_tokens, when nothing is known."""
_PRIOR_SPREAD = 0.6
"""Standard deviation of a guess, as a share of it."""
_PRIOR_TOKENS_PER_S = 60.0
_PRIOR_LATENCY_S = 1.0


class Figure(NamedTuple):
    """A quantity of a call.

    Attributes:
        mean: what is expected.
        sd: how calls of a run differ from each other, standard deviation.
        drift: how far the mean of the next run may be from `mean`, standard deviation.
    """

    mean: float
    sd: float
    drift: float


@dataclass(frozen=True, slots=True)
class Likeness:
    """What the next calls of a template and a model will be like.

    Attributes:
        prompt, completion: tokens of an answered call.
        seconds: that it takes.
        tries: calls that it takes to get an answer.
        usable: share of the answers that can be used, with its standard error.
        cost_usd: of an answered call; None when nobody knows.
        answers, runs: how many of them were seen, and in how many runs; both 0 for a guess.
    """

    prompt: Figure
    completion: Figure
    seconds: Figure
    tries: Figure
    usable: tuple[float, float] = (1.0, 0.0)
    cost_usd: float | None = None
    answers: int = 0
    runs: int = 0


class Likenesses:
    """Finds the likeness of each template and model, once.

    Args:
        recipe: how generations are made.
        histories: answers by stage, template and model.
        runs: means of the earlier runs.
        ready: drafts among these tell how long prompts are, where no answer does.
    """

    def __init__(
        self,
        recipe: Recipe,
        histories: Mapping[Stage, Mapping[tuple[str, str], History]],
        runs: Iterable[RunMeans],
        ready: Iterable[Task],
    ) -> None:
        self._recipe = recipe
        self._histories = histories
        self._runs: defaultdict[tuple[str, str, str], list[RunMeans]] = defaultdict(list)
        for run in runs:
            self._runs[run.stage, run.template_id, run.llm_model_id].append(run)
        self._prompt_tokens = _sample_drafts(recipe, ready)
        self._found: dict[tuple[Stage, str, str], Likeness] = {}

    def find(self, stage: Stage, template_id: str, model_id: str) -> Likeness:
        """What the next calls will be like."""
        key = (stage, template_id, model_id)
        if key not in self._found:
            self._found[key] = self._find(*key)
        return self._found[key]

    def _find(self, stage: Stage, template_id: str, model_id: str) -> Likeness:
        histories = self._histories[stage]
        own = histories.get((template_id, model_id))
        if own is not None and own.answers >= _FEWEST_ANSWERS:
            return build_likeness(own, self._runs[stage.value, template_id, model_id])
        same_template = [history for (template, _), history in histories.items() if template == template_id]
        if same_template:  # another model's answers: a guess still, but a better one
            nearest = max(same_template, key=lambda history: history.answers)
            means = (nearest.prompt_tokens[0], nearest.completion_tokens[0], nearest.duration_s[0])
            share = nearest.usable / nearest.answers if nearest.answers else 1.0
            return _guess(*means, prompt_spread=_PRIOR_SPREAD, usable=share)
        return self._guess_from_inputs(stage, template_id, model_id)

    def _guess_from_inputs(self, stage: Stage, template_id: str, model_id: str) -> Likeness:
        template = self._recipe.catalogue.templates[stage].get(template_id)
        prompt = len(template.source.encode()) / _BYTES_PER_TOKEN if template is not None else 500.0
        if stage is Stage.DRAFT:
            prompt = self._prompt_tokens.get(template_id, prompt)
        else:
            writers = [model.id for model in self._recipe.catalogue.generation_models()]
            parent_bounds = [self._find_answer_bound(stage.parent or Stage.DRAFT, writer) for writer in writers]
            prompt += max(parent_bounds, default=0) * _PRIOR_ANSWER_SHARE
        completion = self._find_answer_bound(stage, model_id) * _PRIOR_ANSWER_SHARE
        seconds = _PRIOR_LATENCY_S + completion / _PRIOR_TOKENS_PER_S
        return _guess(prompt, completion, seconds, prompt_spread=_PRIOR_SPREAD / 2)

    def _find_answer_bound(self, stage: Stage, model_id: str) -> int:
        model = self._recipe.catalogue.models.get(model_id)
        bound = find_bound_in_params(model.params) if model is not None else None
        return self._recipe.config.stages[stage].max_tokens if bound is None else bound


def build_likeness(history: History, runs: Sequence[RunMeans]) -> Likeness:
    """What was seen, carried on to the next run.

    Args:
        history: all answers of the template and the model.
        runs: means of the runs that they came from, as far as they are on record.
    """
    answered = [run for run in runs if run.answered]
    counts = [run.answered for run in answered]
    sent, got = sum(run.sent for run in runs), sum(counts)
    tries = sent / got if got else 1.0
    return Likeness(
        _carry_on("prompt", history.prompt_tokens, [run.prompt_tokens for run in answered], counts),
        _carry_on("completion", history.completion_tokens, [run.completion_tokens for run in answered], counts),
        _carry_on("seconds", history.duration_s, [run.seconds for run in answered], counts),
        _carry_on("tries", (tries, _sd_of_tries(sent, got)), [run.sent / run.answered for run in answered], counts),
        _find_usable(history),
        history.cost_usd,
        history.answers,
        max(1, len(answered)),
    )


def _carry_on(what: str, seen: tuple[float, float], means: Sequence[float | None], counts: Sequence[int]) -> Figure:
    """A figure of the next run from that of the earlier ones."""
    mean, sd = seen
    usual = _USUAL_DRIFT[what] * mean
    pairs = [(value, count) for value, count in zip(means, counts, strict=True) if value is not None]
    total = sum(count for _, count in pairs)
    if len(pairs) < 2:  # its own mean is off by as much as the next one's
        return Figure(mean, sd, _widen(usual * math.sqrt(2.0), _USUAL_RUNS))
    degrees = len(pairs) - 1
    centre = sum(value * count for value, count in pairs) / total
    between = sum(count * (value - centre) ** 2 for value, count in pairs)
    uneven = sum(count**2 for _, count in pairs) / total
    seen_variance = max(0.0, (between - degrees * sd**2) / (total - uneven))
    variance = (_USUAL_RUNS * usual**2 + degrees * seen_variance) / (_USUAL_RUNS + degrees)
    # The mean of all runs is not known exactly either: fewer runs, or one much larger than the others, tell less.
    variance *= 1.0 + uneven / total
    return Figure(mean, sd, _widen(math.sqrt(variance), _USUAL_RUNS + degrees))


def _widen(sd: float, degrees: float) -> float:
    """Makes up for a standard deviation that is itself estimated: Student's t instead of the normal distribution."""
    z = Z_90_PERCENT
    quantile = z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    return sd * quantile / z


def _sd_of_tries(sent: int, got: int) -> float:
    """Of the calls that one answer takes; a share that was never seen is not taken for impossible (Jeffreys)."""
    failing = (max(0, sent - got) + 0.5) / (sent + 1) if sent else 0.0
    return math.sqrt(failing) / (1.0 - failing)


def _find_usable(history: History) -> tuple[float, float]:
    if not history.answers:
        return 1.0, 0.0
    share = (history.usable + 0.5) / (history.answers + 1)
    return history.usable / history.answers, math.sqrt(share * (1 - share) / (history.answers + 2))


def _guess(prompt: float, completion: float, seconds: float, *, prompt_spread: float, usable: float = 1.0) -> Likeness:
    """A guess is wrong for all calls in the same direction."""
    return Likeness(
        Figure(prompt, 0.0, prompt * prompt_spread),
        Figure(completion, 0.0, completion * _PRIOR_SPREAD),
        Figure(seconds, 0.0, seconds * _PRIOR_SPREAD),
        Figure(1.0, 0.0, 0.0),
        (usable, 0.0),
    )


def _sample_drafts(recipe: Recipe, ready: Iterable[Task]) -> dict[str, float]:
    """How long the prompts of each draft template are, tokens, from some of them."""
    sizes: defaultdict[str, list[float]] = defaultdict(list)
    for task in islice((task for task in ready if task.member.stage is Stage.DRAFT), 50 * _SAMPLED_PROMPTS):
        if len(sizes[task.member.template_id]) < _SAMPLED_PROMPTS:
            try:
                prompt = recipe.build_prompt(task.member)
            except DayDreamingError:
                continue  # the run itself will say so
            sizes[task.member.template_id].append(len(prompt.encode("utf-8", "replace")) / _BYTES_PER_TOKEN)
    return {name: sum(values) / len(values) for name, values in sizes.items() if values}
