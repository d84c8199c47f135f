"""A server that speaks OpenRouter's chat completions and fails on order. It listens on loopback only.

In a test: `async with OpenAIServer(faults={1: Fault(status=503)}) as server:` and ask `server.base_url`; or, where
the code under test owns the event loop, `with serve_in_thread() as server:`. As a process of its own, for benchmarks
and end-to-end tests: `python tests/fakes/openai_server.py --port 0 --latency-ms 500` prints its base URL and serves
until it is ended.

It reads HTTP itself, as much of it as clients with a `Content-Length` need: a web framework takes three times as
long per request as the answer does, and would be what a benchmark measures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import orjson

from daydreaming_dagster.llm.protocol import ChatRequest
from daydreaming_dagster.llm.scripted import invent_text

PRICE_PROMPT, PRICE_COMPLETION = 2e-7, 8e-7
"""What the server charges, USD per token."""

MODELS = ("fake/writer", "fake/judge", "fake/writer:free")
_TURNS_TO_END = 10
"""Turns of the loop in which accepted connections become transports, and these notice that they end."""
_VARIANTS = 16  # invented texts per kind of prompt, made once: inventing costs more than serving

Trick = Literal["half_body", "hang_up", "never_answer"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request instead of an answer.

    Attributes:
        status: of the HTTP answer.
        body: a JSON value, or bytes as they are; None for an error object with the status as its code.
        headers: on top of the usual ones.
        trick: `half_body` sends half of the answer and hangs up, `hang_up` closes the connection without a word,
            `never_answer` keeps it open until the client gives up.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    trick: Trick | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer before it is sent: status, JSON, further headers, how long it takes, and how it goes wrong."""

    status: int
    raw: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    trick: Trick | None = None


@dataclass(slots=True)
class OpenAIServer:
    """The server and everything it remembers. Start it with `async with`.

    Attributes:
        port: 0 for any free one.
        api_key: what must follow `Bearer`; None lets everybody in.
        latency_s: how long each answer takes.
        requests_per_minute: more than these within 60 seconds are answered by 429 and `Retry-After`; None for no limit.
        free_per_day: requests for `:free` models it answers on a UTC day; more get OpenRouter's refusal. None for no
            such quota, and then `/key` does not speak of one.
        tells_key: whether it knows the path `/key`.
        credit_usd: what `/key` says is left of the key's limit; None for a key without a limit.
        batch_looks: how often a batch is looked at before it has ended.
        faults: by the index of the chat request, from 0 in order of arrival.
        find_fault: asked with index and body when `faults` has nothing; returns None for a proper answer.
        text: of every answer; None for an invented one that suits the prompt.
        finish_reason: of every answer.
        with_extras: whether answers carry what only OpenRouter tells (provider, cost, token details).
        keep_requests: whether `bodies` and `headers` are kept; they grow without end.
        clock: seconds, for the limit.
        utc: seconds since 1970, for the day.
        free_used: requests for `:free` models today, those of others included.
        answered: chat requests that got a proper answer.
        received: chat requests, whatever became of them.
        bodies, headers: of the chat requests.
        key_asked: requests for `/key`.
        batches: what was handed in, by batch id.
    """

    port: int = 0
    api_key: str | None = None
    latency_s: float = 0.0
    requests_per_minute: int | None = None
    free_per_day: int | None = None
    tells_key: bool = True
    credit_usd: float | None = 4.5
    batch_looks: int = 1
    faults: Mapping[int, Fault] = field(default_factory=dict)
    find_fault: Callable[[int, dict[str, Any]], Fault | None] | None = None
    text: str | None = None
    finish_reason: str = "stop"
    with_extras: bool = True
    keep_requests: bool = True
    clock: Callable[[], float] = time.monotonic
    utc: Callable[[], float] = time.time
    free_used: int = 0
    answered: int = field(default=0, init=False)
    received: int = field(default=0, init=False)
    bodies: list[dict[str, Any]] = field(default_factory=list, init=False)
    headers: list[Mapping[str, str]] = field(default_factory=list, init=False)
    in_flight: int = field(default=0, init=False)
    peak_in_flight: int = field(default=0, init=False)
    key_asked: int = field(default=0, init=False)
    batches: dict[str, list[dict[str, Any]]] = field(default_factory=dict, init=False)
    _looks: Counter[str] = field(default_factory=Counter, init=False)
    _day: int | None = field(default=None, init=False)
    _recent: deque[float] = field(default_factory=deque, init=False)
    _texts: dict[str, list[str]] = field(default_factory=dict, init=False)
    _connections: set[_Connection] = field(default_factory=set, init=False)
    _listener: asyncio.Server | None = field(default=None, init=False)

    @property
    def base_url(self) -> str:
        """What goes into `base_url` of an endpoint."""
        return f"http://127.0.0.1:{self.port}/api/v1"

    async def __aenter__(self) -> OpenAIServer:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port, backlog=4096)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._listener is None:
            return
        # No more are accepted; those that just were become transports only while the listener is open.
        for listening in self._listener.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        for _ in range(_TURNS_TO_END):
            for connection in list(self._connections):
                connection.abort()
            await asyncio.sleep(0)
        self._listener.close()

    def answer(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> Reply:
        """What one request gets.

        Args:
            target: path and query.
            headers: names in lower case.
            raw: the request's body.
        """
        url = urlsplit(target)
        if self.api_key is not None and headers.get("authorization") != f"Bearer {self.api_key}":
            return _json({"error": {"code": 401, "message": "No auth credentials found"}}, 401)
        if method == "GET":
            return self._answer_get(url.path, dict(parse_qsl(url.query)))
        if url.path.endswith("/chat/completions"):
            return self._answer_chat(headers, orjson.loads(raw))
        if url.path.endswith("/batches"):
            return self._take_batch(orjson.loads(raw))
        return _json({"detail": "Not Found"}, 404)

    def _answer_chat(self, headers: Mapping[str, str], body: dict[str, Any]) -> Reply:
        index = self.received
        self.received += 1
        if self.keep_requests:
            self.bodies.append(body)
            self.headers.append(headers)
        if (wait_s := self._seconds_over_limit()) is not None:
            return _rate_limited(wait_s)
        if not self._is_within_the_day(str(body.get("model"))):
            return self._refuse_for_today()
        fault = self.faults.get(index) or (self.find_fault(index, body) if self.find_fault else None)
        if fault is None:
            self.answered += 1
            return Reply(200, orjson.dumps(self._completion(body, index)), delay_s=self.latency_s)
        content = fault.body
        if fault.trick == "half_body":
            content = self._completion(body, index)
        elif content is None:
            content = {"error": {"code": fault.status, "message": f"ordered failure {fault.status}"}}
        raw = content if isinstance(content, bytes) else orjson.dumps(content)
        return Reply(fault.status, raw, fault.headers, self.latency_s, fault.trick)

    def _seconds_over_limit(self) -> float | None:
        """How long to wait; None when the request is within the limit, and then it counts."""
        if self.requests_per_minute is None:
            return None
        now = self.clock()
        while self._recent and self._recent[0] <= now - 60:
            self._recent.popleft()
        if len(self._recent) >= self.requests_per_minute:
            return self._recent[0] + 60 - now
        self._recent.append(now)
        return None

    def _take_batch(self, body: dict[str, Any]) -> Reply:
        batch_id = f"batch-{len(self.batches)}"
        self.batches[batch_id] = [{**row, "model": body["model"]} for row in body["requests"]]
        return _json({"id": batch_id, "object": "batch", "status": "validating"})

    def _tell_batch(self, batch_id: str) -> Reply:
        """Its requests are answered, or fail, as chat requests do; each at half the price."""
        if (rows := self.batches.get(batch_id)) is None:
            return _json({"error": {"code": 404, "message": f"Batch {batch_id} not found"}}, 404)
        self._looks[batch_id] += 1
        if self._looks[batch_id] < self.batch_looks:
            return _json({"id": batch_id, "status": "in_progress"})
        return _json({"id": batch_id, "status": "completed", "results": [self._answer_row(row) for row in rows]})

    def _answer_row(self, row: dict[str, Any]) -> dict[str, Any]:
        reply = self._answer_chat({}, {"model": row["model"], **row["body"]})
        body = orjson.loads(reply.raw)
        if reply.status != 200:
            return {"custom_id": row["custom_id"], "response": None, "error": body.get("error")}
        body["usage"]["cost"] /= 2
        return {"custom_id": row["custom_id"], "response": {"status_code": 200, "body": body}, "error": None}

    def _is_within_the_day(self, model: str) -> bool:
        """Whether the request is within the quota of free models; it counts in any case."""
        if self.free_per_day is None or not model.endswith(":free"):
            return True
        self._count_free(1)
        return self.free_used <= self.free_per_day

    def _count_free(self, requests: int) -> None:
        today = int(self.utc() // 86_400)
        if self._day not in (None, today):
            self.free_used = 0
        self._day = today
        self.free_used += requests

    def _refuse_for_today(self) -> Reply:
        limit, reset_ms = self.free_per_day, (int(self.utc() // 86_400) + 1) * 86_400_000
        told = {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset_ms)}
        message = "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day"
        return _json({"error": {"code": 429, "message": message, "metadata": {"headers": told}}}, 429)

    def _tell_key(self) -> Reply:
        self.key_asked += 1
        self._count_free(0)
        limit = None if self.credit_usd is None else 5
        data = {"label": "fake", "limit": limit, "limit_remaining": self.credit_usd, "usage": 0.5, "is_free_tier": True}
        if self.free_per_day is not None:
            left = max(0, self.free_per_day - self.free_used)
            data["free_model_daily_requests"] = {"used": self.free_used, "limit": self.free_per_day, "remaining": left}
        return _json({"data": data})

    def _completion(self, body: dict[str, Any], index: int) -> dict[str, Any]:
        prompt = "\n".join(str(message.get("content", "")) for message in body["messages"])
        text = self.text if self.text is not None else self._invent(body, prompt, index)
        tokens = {"prompt_tokens": 1 + len(prompt) // 4, "completion_tokens": 1 + len(text) // 4}
        completion: dict[str, Any] = {
            "id": f"gen-{index}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body.get("model"),
            "choices": [
                {"index": 0, "finish_reason": self.finish_reason, "message": {"role": "assistant", "content": text}}
            ],
            "usage": {**tokens, "total_tokens": sum(tokens.values())},
        }
        if self.with_extras:
            completion["provider"] = "FakeHost"
            completion["choices"][0]["native_finish_reason"] = self.finish_reason
            completion["usage"] |= {
                "completion_tokens_details": {"reasoning_tokens": 0},
                "prompt_tokens_details": {"cached_tokens": 0},
                "cost": _cost_usd(tokens),
            }
        return completion

    def _invent(self, body: dict[str, Any], prompt: str, index: int) -> str:
        kind = _kind_of_prompt(body, prompt)
        texts = self._texts.get(kind)
        if texts is None:
            sample = ChatRequest(model="fake", prompt=_PROMPT_OF_KIND[kind])
            texts = self._texts[kind] = [invent_text(sample, occurrence=n) for n in range(_VARIANTS)]
        text = texts[index % _VARIANTS]
        return text if kind == "json" else text.replace("The ", f"In case {index}, the ", 1)

    def _answer_get(self, path: str, query: Mapping[str, str]) -> Reply:
        if path.endswith("/models"):
            pricing = {"prompt": str(PRICE_PROMPT), "completion": str(PRICE_COMPLETION), "request": "0"}
            offers = [
                {"id": model, "name": model, "context_length": 131072, "pricing": pricing,
                 "supported_parameters": ["max_tokens", "temperature", "seed"], "expiration_date": None}
                for model in MODELS
            ]  # fmt: skip
            return _json({"data": offers})
        if path.endswith("/key") and self.tells_key:
            return self._tell_key()
        if "/batches/" in path:
            return self._tell_batch(path.rpartition("/")[2])
        if path.endswith("/generation"):
            response_id = query.get("id", "")
            number = response_id.removeprefix("gen-")
            if not number.isdecimal() or int(number) >= self.received:
                return _json({"error": {"code": 404, "message": f"Generation {response_id} not found"}}, 404)
            return _json(
                {"data": {"id": response_id, "model": MODELS[0], "provider_name": "FakeHost", "total_cost": 0.0015,
                          "native_tokens_prompt": 10, "native_tokens_completion": 25, "native_tokens_reasoning": 5,
                          "finish_reason": "stop", "native_finish_reason": "end_turn", "generation_time": 1200}}
            )  # fmt: skip
        return _json({"detail": "Not Found"}, 404)


_PROMPT_OF_KIND = {
    "json": 'Answer with {"score": 0}',
    "score": "End with SCORE: <0-9>",
    "ideas": "Use <essay-idea stage> tags",
    "block": "Use <essay> tags",
    "plain": "Write.",
}


def _kind_of_prompt(body: dict[str, Any], prompt: str) -> str:
    if "response_format" in body:
        return "json"
    if "SCORE" in prompt:
        return "score"
    if "<essay-idea" in prompt:
        return "ideas"
    return "block" if "<essay>" in prompt else "plain"


def _cost_usd(tokens: Mapping[str, int]) -> float:
    return tokens["prompt_tokens"] * PRICE_PROMPT + tokens["completion_tokens"] * PRICE_COMPLETION


def _json(value: Any, status: int = 200) -> Reply:
    return Reply(status, orjson.dumps(value))


def _rate_limited(wait_s: float) -> Reply:
    error = {"code": 429, "message": "Rate limit exceeded", "metadata": {"error_type": "rate_limit_exceeded"}}
    return Reply(429, orjson.dumps({"error": error}), {"Retry-After": f"{wait_s:.3f}"})


class _Connection(asyncio.Protocol):
    """One client's connection: requests in, replies out, one at a time."""

    def __init__(self, server: OpenAIServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._waiting = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server._connections.discard(self)
        self._server.in_flight -= self._waiting
        self._waiting = 0
        self._transport = None

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            size = end + 4 + int(headers.get("content-length", 0))
            if len(self._buffer) < size:
                return
            raw = bytes(self._buffer[end + 4 : size])
            del self._buffer[:size]
            method, target, _ = first.split(" ", 2)
            self._schedule(self._server.answer(method, target, headers, raw))

    def _schedule(self, reply: Reply) -> None:
        self._waiting += 1
        self._server.in_flight += 1
        self._server.peak_in_flight = max(self._server.peak_in_flight, self._server.in_flight)
        if reply.trick == "never_answer":
            return
        if reply.delay_s:
            asyncio.get_running_loop().call_later(reply.delay_s, self._send, reply)
        else:
            self._send(reply)

    def _send(self, reply: Reply) -> None:
        if self._transport is None:
            return  # the client has given up
        self._waiting -= 1
        self._server.in_flight -= 1
        if reply.trick == "hang_up":
            self._transport.abort()
            return
        more = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
        head = (
            f"HTTP/1.1 {reply.status} {_phrase(reply.status)}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(reply.raw)}\r\n{more}\r\n"
        ).encode("latin-1")
        if reply.trick == "half_body":
            self._transport.write(head + reply.raw[: len(reply.raw) // 2])
            self._transport.close()
            return
        self._transport.write(head + reply.raw)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"


@contextlib.contextmanager
def serve_in_thread(server: OpenAIServer | None = None) -> Iterator[OpenAIServer]:
    """Serves from an event loop in another thread, for code under test that owns its own loop."""
    served = server or OpenAIServer()
    started = threading.Event()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        async with served:
            started.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    try:
        if not started.wait(10):
            raise RuntimeError("the server did not start")
        yield served
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()


async def _serve_until_signalled(server: OpenAIServer) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with server:
        print(server.base_url, flush=True)
        await ended.wait()
    print(f"answered {server.answered} of {server.received}", file=sys.stderr, flush=True)


def main() -> None:
    """Serves with what the command line says, until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description="A scripted OpenAI-compatible server on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--api-key", default=None, help="required from clients")
    parser.add_argument("--requests-per-minute", type=int, default=None, help="more get 429 and Retry-After")
    parser.add_argument("--free-per-day", type=int, default=None, help="more for :free models get 429 until midnight")
    parser.add_argument("--fail-every", type=int, default=None, metavar="N", help="every Nth request gets a 503")
    options = parser.parse_args()
    every = options.fail_every
    server = OpenAIServer(
        port=options.port,
        api_key=options.api_key,
        latency_s=options.latency_ms / 1000,
        requests_per_minute=options.requests_per_minute,
        free_per_day=options.free_per_day,
        find_fault=(lambda index, _: Fault(status=503) if (index + 1) % every == 0 else None) if every else None,
        keep_requests=False,
    )
    asyncio.run(_serve_until_signalled(server))


if __name__ == "__main__":
    main()
