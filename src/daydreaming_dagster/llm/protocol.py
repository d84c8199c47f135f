"""The one door to a language model: a request, a response, and an async client that turns one into the other.

A client makes exactly one attempt per `complete`. Trying again, limits, budgets and records are the engine's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import orjson


@dataclass(frozen=True, slots=True)
class OutputShape:
    """A shape the answer must have, for models and servers that can be held to one.

    Attributes:
        kind: `score_line` is free text whose last line is `SCORE: <number>`; `score_json` is an object with
            `reasoning` (string) and `score` (number).
        scale_min, scale_max: ends of the scale, in points; whole numbers between them are allowed.
    """

    kind: Literal["score_line", "score_json"]
    scale_min: float
    scale_max: float


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What is asked of a model.

    Attributes:
        model: the name the API knows.
        prompt: text of the single user message.
        max_tokens: upper bound of the answer in tokens, reasoning included; None leaves it to the server.
        temperature: sampling temperature; None leaves it to the server.
        params: further fields of the request body (seed, provider policy, reasoning effort, …).
        output: the shape the answer must have; None for free text. Clients that cannot hold a model to it ignore it.
    """

    model: str
    prompt: str
    max_tokens: int | None = None
    temperature: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    output: OutputShape | None = None

    def sha256(self, endpoint: str = "") -> str:
        """Hash over everything that decides the answer; two equal hashes are the same question."""
        body = {
            "endpoint": endpoint,
            "model": self.model,
            "prompt": self.prompt,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "params": dict(self.params),
            "output": self.output,
        }
        return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call used. None means that the server did not say.

    Attributes:
        prompt_tokens, completion_tokens: counts; completion includes reasoning.
        reasoning_tokens, cached_tokens: parts of completion and prompt respectively.
        cost_usd: what was charged, USD.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class ChatResponse:
    """What a model answered; every field but the text may be missing.

    Attributes:
        finish_reason: `stop`, `length`, `content_filter`, … as the API normalizes it.
        native_finish_reason: the provider's own word for it.
        model: the model that really answered.
        provider: the host that ran it.
        response_id: the server's id of this response.
        seed: what the sampler was started with, where the client chose it.
    """

    text: str
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    model: str | None = None
    provider: str | None = None
    response_id: str | None = None
    seed: int | None = None
    usage: Usage = field(default_factory=Usage)


class ChatClient(Protocol):
    """Something that answers chat requests."""

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """One attempt. Cancelling it leaves the client usable.

        Raises:
            ConfigurationError: the call cannot be made at all: a key or a package is missing.
            ModelCallError: no usable answer (see `domain/errors.py` for the kinds).
        """
        ...

    async def aclose(self) -> None:
        """Releases connections, threads and memory; the client cannot be used afterwards."""
        ...
