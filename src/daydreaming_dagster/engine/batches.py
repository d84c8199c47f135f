"""A cheaper lane: requests that can wait are handed in together, and their answers fetched when they are ready.

To the scheduler this is a client like any other, only slower: it gathers what is asked for a moment, submits it as one
batch per model, and looks now and then. What lies at the provider is written down below `batches/`, so that a run that
was killed finds its batch again instead of paying for another.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from daydreaming_dagster.domain.errors import ModelCallError, TransportError
from daydreaming_dagster.llm.protocol import ChatRequest, ChatResponse
from daydreaming_dagster.store import files
from daydreaming_dagster.store.paths import DataPaths

MOST_REQUESTS = 5000
_GATHER_S = 2.0
_FIRST_LOOK_S, _LONGEST_LOOK_S = 10.0, 300.0
_LIFETIME_S = 48 * 3600.0
"""After a window of 24 hours, and as much again, nobody has the results any more."""
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


class BatchServer(Protocol):
    """The provider's side (`llm/openai_compatible.py`)."""

    async def submit_batch(self, model: str, requests: Mapping[str, ChatRequest]) -> Mapping[str, Any]:
        """Hands in a batch."""
        ...

    async def fetch_batch(self, batch_id: str) -> Mapping[str, Any]:
        """What became of it so far."""
        ...

    def read_answer(self, model: str, status: int, body: Any) -> ChatResponse:
        """The answer in a body; raises `ModelCallError` when there is none."""
        ...

    async def aclose(self) -> None:
        """Closes all connections."""
        ...


@dataclass(slots=True)
class _Asked:
    request: ChatRequest
    sha256: str
    future: asyncio.Future[ChatResponse]


@dataclass(slots=True)
class _Batch:
    """A batch that lies at the provider.

    Attributes:
        hashes: of each request, by its custom id.
        is_earlier: an earlier run handed it in.
        waiting: who waits for which result.
        results: by custom id; None while it has not ended.
    """

    batch_id: str
    model: str
    submitted_at: float
    hashes: dict[str, str]
    is_earlier: bool = False
    waiting: dict[str, asyncio.Future[ChatResponse]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    results: dict[str, Mapping[str, Any]] | None = None
    problem: str = ""

    def find_free(self, sha256: str) -> str | None:
        """The id of a request like this one whose result nobody has taken."""
        names = (name for name, found in self.hashes.items() if found == sha256 and name not in self.taken)
        return next(names, None)


class BatchClient:
    """A `ChatClient` over batches. It belongs to the event loop of its first call.

    Args:
        server: the provider.
        paths: where batches are remembered.
        gather_s: how long requests are gathered after the last one came.
        first_look_s: seconds until a batch is looked at; then twice as long each time.

    Attributes:
        resumed: when those batches of earlier runs were handed in of which this one took answers, the first and the
            last, seconds since 1970; None when there were none.
    """

    def __init__(
        self, server: BatchServer, paths: DataPaths, *, gather_s: float = _GATHER_S, first_look_s: float = _FIRST_LOOK_S
    ) -> None:
        self.resumed: tuple[float, float] | None = None
        self._server = server
        self._folder = paths.provider_batches
        self._gather_s = gather_s
        self._first_look_s = first_look_s
        self._gathered: defaultdict[str, list[_Asked]] = defaultdict(list)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._batches: list[_Batch] | None = None

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """The answer, hours later; from a batch of an earlier run when it was asked for there.

        Raises:
            ModelCallError: the batch was refused, or failed, or this request in it.
            ConfigurationError: the endpoint's key is not set.
            StoreError: what was handed in could not be written down.
        """
        loop = asyncio.get_running_loop()
        if self._batches is None:
            self._batches = self._read_batches()
        asked = _Asked(request, request.sha256(), loop.create_future())
        for batch in self._batches:
            if (name := batch.find_free(asked.sha256)) is not None:
                self._attach(batch, name, asked.future)
                if batch.is_earlier:
                    first, last = self.resumed or (batch.submitted_at, batch.submitted_at)
                    self.resumed = min(first, batch.submitted_at), max(last, batch.submitted_at)
                return await asked.future
        waiting = self._gathered[request.model]
        waiting.append(asked)
        if (timer := self._timers.pop(request.model, None)) is not None:
            timer.cancel()
        if len(waiting) >= MOST_REQUESTS:
            self._start_submitting(request.model)
        else:
            self._timers[request.model] = loop.call_later(self._gather_s, self._start_submitting, request.model)
        return await asked.future

    async def aclose(self) -> None:
        """Forgets batches whose results have been stored, and leaves the others for the next run."""
        for timer in self._timers.values():
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for batch in self._batches or []:
            if batch.results is not None:
                self._path(batch.batch_id).unlink(missing_ok=True)
        await self._server.aclose()

    # Submitting -----------------------------------------------------------------------------------------------------
    def _start_submitting(self, model: str) -> None:
        self._timers.pop(model, None)
        if asked := self._gathered.pop(model, []):
            self._spawn(self._submit(model, asked))

    async def _submit(self, model: str, asked: list[_Asked]) -> None:
        names = {f"{number}-{each.sha256[:32]}": each for number, each in enumerate(asked)}
        try:
            answer = await self._server.submit_batch(model, {name: each.request for name, each in names.items()})
            batch = _Batch(str(answer["id"]), model, time.time(), {name: each.sha256 for name, each in names.items()})
            facts = {"model": model, "submitted_at": batch.submitted_at, "hashes": batch.hashes}
            files.write_json(self._path(batch.batch_id), facts, durable=True)
        except Exception as error:  # noqa: BLE001 - whoever waits has to hear of it
            _refuse((each.future for each in asked), error)
            return
        if self._batches is not None:
            self._batches.append(batch)
        for name, each in names.items():
            self._attach(batch, name, each.future)

    def _attach(self, batch: _Batch, name: str, future: asyncio.Future[ChatResponse]) -> None:
        batch.taken.add(name)
        if batch.results is not None:
            self._hand_out(batch, name, future)
            return
        is_first = not batch.waiting
        batch.waiting[name] = future
        if is_first:
            self._spawn(self._watch(batch))

    # Fetching -------------------------------------------------------------------------------------------------------
    async def _watch(self, batch: _Batch) -> None:
        """Waits for the batch to end, then hands out its answers."""
        try:
            await self._fetch(batch)
        except Exception as error:  # noqa: BLE001 - whoever waits has to hear of it
            _refuse(batch.waiting.values(), error)
        else:
            for name, future in batch.waiting.items():
                self._hand_out(batch, name, future)
        batch.waiting.clear()

    async def _fetch(self, batch: _Batch) -> None:
        """Looks until the batch has ended; a look that fails is repeated, because the answers are paid for."""
        delay_s = self._first_look_s if time.time() - batch.submitted_at < self._first_look_s else 0.0
        while batch.results is None:
            await asyncio.sleep(delay_s)
            delay_s = min(_LONGEST_LOOK_S, max(self._first_look_s, 2 * delay_s))
            try:
                found = await self._server.fetch_batch(batch.batch_id)
            except ModelCallError as error:
                if error.lasting or time.time() - batch.submitted_at > _LIFETIME_S:
                    batch.results, batch.problem = {}, error.what
                continue
            if found.get("status") in _ENDED:
                rows = found.get("results") or []
                batch.results = {str(row.get("custom_id")): row for row in rows if isinstance(row, dict)}
                batch.problem = _describe_end(found)

    def _hand_out(self, batch: _Batch, name: str, future: asyncio.Future[ChatResponse]) -> None:
        if future.done():
            return
        try:
            future.set_result(self._read(batch, name))
        except ModelCallError as error:
            future.set_exception(error)

    def _read(self, batch: _Batch, name: str) -> ChatResponse:
        row = (batch.results or {}).get(name)
        if row is None:
            raise TransportError(
                f"The batch {batch.batch_id} of '{batch.model}' ended without an answer to this request"
                + (f": {batch.problem}" if batch.problem else "."),
                fix="Run the command again: what is missing is handed in anew.",
                reason="server_error",
            )
        response = row.get("response")
        if not isinstance(response, dict) or row.get("error"):
            return self._server.read_answer(batch.model, 500, {"error": row.get("error") or {"message": "no response"}})
        status = response.get("status_code")
        return self._server.read_answer(batch.model, status if isinstance(status, int) else 200, response.get("body"))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What lies at the provider ----------------------------------------------------------------------------------------
    def _read_batches(self) -> list[_Batch]:
        batches = []
        for path in sorted(self._folder.glob("*.json")):
            value = files.find_json(path) or {}
            submitted_at = float(value.get("submitted_at") or 0.0)
            if time.time() - submitted_at > _LIFETIME_S:
                path.unlink(missing_ok=True)
                continue
            hashes = dict(value.get("hashes") or {})
            batches.append(_Batch(path.stem, str(value.get("model")), submitted_at, hashes, is_earlier=True))
        return batches

    def _path(self, batch_id: str) -> Path:
        safe = "".join(each if each.isalnum() or each in "-_" else "_" for each in batch_id)
        return self._folder / f"{safe}.json"


def _refuse(futures: Iterable[asyncio.Future[ChatResponse]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)


def _describe_end(found: Mapping[str, Any]) -> str:
    error = found.get("error")
    message = error.get("message") if isinstance(error, dict) else error
    return f"{found.get('status')}{f' ({message})' if message else ''}"
