"""The client for the model inside this process: one request in, one answer out, nothing leaves the machine.

It shows that the machinery works, without a key and without a network. It is far too small to judge anything.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from daydreaming_dagster.domain.catalogue import Endpoint
from daydreaming_dagster.domain.errors import ConfigurationError, ModelCallError, RefusedError, TransportError
from daydreaming_dagster.llm.llama_server import (
    CONTEXT_TOKENS,
    LlamaServer,
    LlamaSettings,
    acquire_server,
    release_server,
    require_weights,
)
from daydreaming_dagster.llm.output_shapes import build_grammar
from daydreaming_dagster.llm.protocol import ChatRequest, ChatResponse, Usage
from daydreaming_dagster.utils.json_values import as_int, as_mapping, as_text

MODEL_NAME = "SmolLM2-135M-Instruct"
_SAMPLING = {"repeat_penalty": 1.1}  # without it so small a model soon repeats one sentence for ever
_SEED_BITS = 31
_SHAPE_FIELDS = {"grammar", "json_schema", "response_format"}  # llama.cpp takes one of them


class EmbeddedClient:
    """A `ChatClient` for the embedded model.

    The endpoint's `extra_body` may hold `n_threads` and `n_ctx`, which load the model differently; everything else in
    it goes into each request. The model is loaded at the first call, once per process however many clients there
    are, and its memory is freed when the last of them is closed.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        extra = dict(endpoint.extra_body)
        self._threads = _require_count(endpoint, extra.pop("n_threads", 1))
        self._context_tokens = _require_count(endpoint, extra.pop("n_ctx", CONTEXT_TOKENS))
        self._extra_body = extra
        self._settings: LlamaSettings | None = None
        self._server: LlamaServer | None = None
        self._running: set[threading.Event] = set()
        self._closed = False

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """One answer; cancelling it stops the model within about a second.

        Raises:
            ConfigurationError: the model is not installed.
            RefusedError: the prompt does not fit (`context_length`), or a parameter is not accepted (`bad_request`).
            TransportError: the model broke off.
        """
        server = self._require_server()
        body = self._build_body(request)
        stop = threading.Event()
        self._running.add(stop)
        try:
            chunks = await asyncio.wrap_future(server.submit(body, stop))
        finally:
            stop.set()
            self._running.discard(stop)
        return replace(parse_chunks(chunks, request, context_tokens=self._context_tokens), seed=as_int(body["seed"]))

    async def aclose(self) -> None:
        """Stops what is running, and frees the memory when no other client needs the model."""
        self._closed = True
        for stop in self._running:
            stop.set()
        settings, self._settings, self._server = self._settings, None, None
        if settings is not None:
            await asyncio.to_thread(release_server, settings)

    def _require_server(self) -> LlamaServer:
        if self._closed:
            raise RuntimeError("This client has been closed; open another one.")
        if self._server is None:
            self._settings = LlamaSettings(require_weights(), self._context_tokens, self._threads)
            self._server = acquire_server(self._settings)
        return self._server

    def _build_body(self, request: ChatRequest) -> dict[str, Any]:
        fields: dict[str, Any] = {"messages": [{"role": "user", "content": request.prompt}]}
        if request.max_tokens is not None:
            fields["max_tokens"] = request.max_tokens
        if request.temperature is not None:
            fields["temperature"] = request.temperature
        body = {"seed": secrets.randbits(_SEED_BITS)} | _SAMPLING | self._extra_body | fields
        body |= {name: value for name, value in request.params.items() if value is not None}
        if request.output is not None and body.keys().isdisjoint(_SHAPE_FIELDS):
            body["grammar"] = build_grammar(request.output, as_int(body.get("max_tokens")))
        return body


def parse_chunks(chunks: list[dict[str, Any]], request: ChatRequest, *, context_tokens: int) -> ChatResponse:
    """The answer that llama.cpp's stream of chunks adds up to.

    Raises:
        RefusedError: the stream is an error that another try would meet again.
        TransportError: the stream ends without a finish reason.
    """
    texts: list[str] = []
    finish_reason: str | None = None
    usage: Mapping[str, Any] = {}
    response_id: str | None = None
    for chunk in chunks:
        if error := chunk.get("error"):
            raise _as_error(error, request, context_tokens)
        response_id = as_text(chunk.get("id")) or response_id
        usage = as_mapping(chunk.get("usage")) or usage
        for choice in chunk.get("choices", ()):
            texts.append(as_text(choice["delta"].get("content")) or "")
            finish_reason = as_text(choice.get("finish_reason")) or finish_reason
    text = "".join(texts)
    if finish_reason is None:
        raise TransportError(
            "The embedded model stopped before its answer was complete.",
            fix="Run the command again.",
            partial_text=text or None,
        )
    return ChatResponse(
        text=text,
        finish_reason=finish_reason,
        native_finish_reason=finish_reason,
        model=MODEL_NAME,
        provider="embedded",
        response_id=response_id,
        usage=Usage(
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens"),
            cached_tokens=as_mapping(usage.get("prompt_tokens_details")).get("cached_tokens"),
            cost_usd=0.0,
        ),
    )


def _require_count(endpoint: Endpoint, value: Any) -> int:
    if (count := as_int(value)) is not None and count > 0:
        return count
    raise ConfigurationError(
        f"n_threads and n_ctx of endpoint '{endpoint.endpoint}' have to be whole numbers above 0 (found {value!r}).",
        fix="Mend its `extra_body` cell in data/1_raw/llm_endpoints.csv.",
        culprits={"endpoint": endpoint.endpoint, "value": value},
    )


def _as_error(error: dict[str, Any], request: ChatRequest, context_tokens: int) -> ModelCallError:
    message = str(error.get("message", "no reason given"))
    if error.get("type") == "exceed_context_size_error":
        return RefusedError(
            f"The prompt has {error.get('n_prompt_tokens', 'too many')} tokens; the embedded model has room for "
            f"{context_tokens}, its answer included.",
            fix="Use a shorter description level (DD_DESCRIPTION_LEVEL=sentence), or a model with a longer context.",
            reason="context_length",
            culprits={"prompt_tokens": error.get("n_prompt_tokens"), "context_tokens": context_tokens},
        )
    if error.get("type") == "invalid_request_error":
        return RefusedError(
            f"The embedded model does not accept the request: {message}.",
            fix="Mend the `params` of the model in data/1_raw/llm_models.csv, or the endpoint's `extra_body`.",
            reason="bad_request",
            culprits={"model": request.model, "message": message},
        )
    return TransportError(f"The embedded model failed: {message}.", fix="Run the command again.")
