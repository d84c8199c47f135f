"""A client that answers from a script instead of a model: for tests, dry runs and rehearsals of failures.

Without a script it invents plausible, repeatable texts, so that a whole cohort can be run without a model. With one,
the first rule that matches a request decides: it answers, fails, stalls, or truncates.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import orjson

from daydreaming_dagster.domain.errors import ModelCallError
from daydreaming_dagster.llm.output_shapes import whole_scores
from daydreaming_dagster.llm.protocol import ChatRequest, ChatResponse, Usage

_NOUNS = (
    "pattern", "signal", "memory", "archive", "constraint", "feedback loop", "index", "detour", "threshold",
    "background process", "question", "catalogue", "rhythm", "boundary", "rehearsal", "fragment", "map", "filter",
)  # fmt: skip
_VERBS = (
    "recombines", "samples", "delays", "rewards", "filters", "reopens", "compares", "stores", "interrupts",
    "translates", "anchors", "contradicts",
)  # fmt: skip
_ADJECTIVES = (
    "idle", "sparse", "recurring", "unplanned", "slow", "cheap", "forgotten", "parallel", "noisy", "curious",
    "distant", "deliberate",
)  # fmt: skip

_ESSAY_TAG = re.compile(r"<essay>", re.IGNORECASE)
_IDEA_TAG = re.compile(r"<essay-idea", re.IGNORECASE)
_SCORE_WORD = re.compile(r"\bSCORE\b")
_SCORE_JSON = re.compile(r'"score"')


@dataclass(slots=True)
class Rule:
    """What happens to the requests it matches. The first rule of a script that matches and is not used up decides.

    Attributes:
        model: only requests for this API model; None for all.
        matches: only requests for which this holds; None for all.
        texts: answers in turn, the last one repeated; empty for an invented text.
        error: raised instead of an answer.
        finish_reason: of the answer; `length` cuts an invented text in half.
        gate: the call waits until this event is set.
        times: how many requests the rule serves; None for any number.
    """

    model: str | None = None
    matches: Callable[[ChatRequest], bool] | None = None
    texts: Sequence[str] = ()
    error: ModelCallError | None = None
    finish_reason: str = "stop"
    gate: asyncio.Event | None = None
    times: int | None = None
    served: int = field(default=0, init=False)

    def applies_to(self, request: ChatRequest) -> bool:
        """Whether this rule decides about the request."""
        if self.times is not None and self.served >= self.times:
            return False
        if self.model is not None and self.model != request.model:
            return False
        return self.matches is None or self.matches(request)


class ScriptedClient:
    """A `ChatClient` that never leaves the process.

    Attributes:
        requests: every request it was given, in order.
        in_flight: calls that have begun and not ended.
        peak_in_flight: the most there ever were at one time.
        closed: whether `aclose` was called.
    """

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = tuple(rules)
        self._asked: Counter[str] = Counter()
        self.requests: list[ChatRequest] = []
        self.in_flight = 0
        self.peak_in_flight = 0
        self.closed = False

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """Answers by the first rule that applies, else with an invented text."""
        if self.closed:
            raise RuntimeError("This client has been closed; open another one.")
        self.requests.append(request)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            await asyncio.sleep(0)  # other tasks get their turn, as they do while a real call waits
            rule = next((rule for rule in self._rules if rule.applies_to(request)), None)
            return self._invented(request) if rule is None else await self._by_rule(rule, request)
        finally:
            self.in_flight -= 1

    async def aclose(self) -> None:
        """Refuses every later call."""
        self.closed = True

    async def _by_rule(self, rule: Rule, request: ChatRequest) -> ChatResponse:
        turn = rule.served
        rule.served += 1
        if rule.gate is not None:
            await rule.gate.wait()
        if rule.error is not None:
            raise rule.error
        if rule.texts:
            text = rule.texts[min(turn, len(rule.texts) - 1)]
            return self._respond(request, text, rule.finish_reason)
        return self._invented(request, rule.finish_reason)

    def _invented(self, request: ChatRequest, finish_reason: str = "stop") -> ChatResponse:
        question = request.sha256()
        self._asked[question] += 1
        text = invent_text(request, occurrence=self._asked[question])
        if finish_reason == "length":
            text = text[: len(text) // 2]
        return self._respond(request, text, finish_reason)

    def _respond(self, request: ChatRequest, text: str, finish_reason: str) -> ChatResponse:
        return ChatResponse(
            text=text,
            finish_reason=finish_reason,
            native_finish_reason=finish_reason,
            model=request.model,
            provider="scripted",
            response_id=f"scripted-{len(self.requests)}",
            usage=Usage(
                prompt_tokens=_count_tokens(request.prompt), completion_tokens=_count_tokens(text), cost_usd=0.0
            ),
        )


def invent_text(request: ChatRequest, *, occurrence: int = 1) -> str:
    """A text of the kind the prompt asks for, the same for the same request and occurrence.

    Args:
        request: its prompt decides the kind: a score where one is asked for, essay ideas or an essay block where
            their tags occur, else paragraphs.
        occurrence: how often this request has been asked, from 1, so that replicates differ.
    """
    digest = hashlib.sha256(f"{request.sha256()}|{occurrence}".encode()).digest()
    dice = random.Random(int.from_bytes(digest[:8], "big"))
    if request.output is not None:
        return _judgement(dice, dice.choice(whole_scores(request.output)), as_json=request.output.kind == "score_json")
    if _SCORE_WORD.search(request.prompt) or _SCORE_JSON.search(request.prompt):
        return _judgement(dice, dice.randint(0, 9), as_json=not _SCORE_WORD.search(request.prompt))
    if _IDEA_TAG.search(request.prompt):
        return "\n\n".join(
            f'<essay-idea stage="{stage}">\n{_paragraphs(dice, stage + 1)}\n</essay-idea>' for stage in (1, 2, 3)
        )
    if _ESSAY_TAG.search(request.prompt):
        return f"<thinking>\n{_sentence(dice)}\n</thinking>\n\n<essay>\n{_paragraphs(dice, 4)}\n</essay>"
    return _paragraphs(dice, 4)


def _judgement(dice: random.Random, score: int, *, as_json: bool) -> str:
    reasoning = " ".join(_sentence(dice) for _ in range(3))
    if as_json:
        return orjson.dumps({"reasoning": reasoning, "score": score}).decode()
    return f"{reasoning}\n\nSCORE: {score}"


def _paragraphs(dice: random.Random, count: int) -> str:
    return "\n\n".join(" ".join(_sentence(dice) for _ in range(4)) for _ in range(count))


def _sentence(dice: random.Random) -> str:
    first, second, third = dice.sample(_NOUNS, 3)
    return (
        f"The {dice.choice(_ADJECTIVES)} {first} {dice.choice(_VERBS)} the {second} "
        f"until a {dice.choice(_ADJECTIVES)} {third} appears."
    )


def _count_tokens(text: str) -> int:
    """About what a tokenizer would count: four characters to the token."""
    return max(1, len(text) // 4)
