"""Tells Dagster what a bulk run stored, from a thread of its own, after the disk and never before it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.resources.event_rows import Materialization
from daydreaming_dagster.resources.explorer_links import link_generation
from daydreaming_dagster.resources.recorder import EventRecorder, FailedMaterialization, Record
from daydreaming_dagster.store.generations import GenerationMetadata, GenerationStore, Outcome
from daydreaming_dagster.store.paths import RAW

_STORED_PER_BATCH = 300
_REST_PER_WORK = 20.0
"""How long to rest after a batch, as a multiple of what it took: the event loop needs the interpreter more."""
_MOST_WAITING = 20_000
"""With more generations waiting than this, there is no rest: what waits takes memory."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What Dagster is told of one generation; its texts stay where they are.

    Attributes:
        prompt_chars, parsed_chars: lengths; None when there is none.
        has_text: whether a response is stored.
        facts: names and values worth showing beside the response.
        failure: as in `raw_metadata.json`; None when the response is usable.
    """

    metadata: GenerationMetadata
    prompt_chars: int | None
    has_text: bool
    parsed_chars: int | None
    facts: Mapping[str, Any]
    failure: Mapping[str, Any] | None = None

    @classmethod
    def of_outcome(cls, outcome: Outcome) -> Stored:
        """What is told of an attempt."""
        return cls(
            outcome.metadata,
            None if outcome.prompt is None else len(outcome.prompt),
            outcome.text is not None,
            None if outcome.parsed is None else len(outcome.parsed),
            _build_facts(outcome.raw_metadata),
            outcome.raw_metadata.get("failure"),
        )


class OutcomeRecorder:
    """A queue of stored generations and a thread that turns them into Dagster's events. Use as a context manager.

    Leaving the context waits until everything is recorded; an error of Dagster's storage is raised then and not
    earlier, because it must not stop a run whose responses are safe.
    """

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder
        self._queue: queue.SimpleQueue[Sequence[Stored] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="dagster-recorder", daemon=True)
        self._closing = threading.Event()
        self._waiting = 0
        self._error: BaseException | None = None

    def __enter__(self) -> OutcomeRecorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._queue.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Takes a batch and returns at once."""
        self._put([Stored.of_outcome(outcome) for outcome in outcomes])

    def record_missed(self, store: GenerationStore, done: Mapping[Stage, Collection[str]]) -> int:
        """Takes up finished generations that Dagster knows nothing of, after a crash or with a new DAGSTER_HOME.

        Args:
            store: where they are read.
            done: finished generations by stage.

        Returns:
            How many there are.
        """
        missed = {stage: self._recorder.find_unrecorded(f"{stage}_parsed", gen_ids) for stage, gen_ids in done.items()}
        return self._take_up(store, missed)

    def record_failed(self, store: GenerationStore, failed: Mapping[Stage, Collection[str]]) -> int:
        """Takes up failed generations, whether Dagster knows of them or not; the run must end in failure then.

        Args:
            store: where they are read.
            failed: generations that have no usable response, by stage.

        Returns:
            How many there are.
        """
        return self._take_up(store, failed)

    def _take_up(self, store: GenerationStore, gen_ids: Mapping[Stage, Collection[str]]) -> int:
        for stage, of_stage in gen_ids.items():
            ordered = sorted(of_stage)
            for start in range(0, len(ordered), _STORED_PER_BATCH):
                batch = [_read_stored(store, stage, gen_id) for gen_id in ordered[start : start + _STORED_PER_BATCH]]
                self._put([stored for stored in batch if stored is not None])
        return sum(len(of_stage) for of_stage in gen_ids.values())

    def _put(self, batch: Sequence[Stored]) -> None:
        self._waiting += len(batch)
        self._queue.put(batch)

    def _serve(self) -> None:
        running = True
        while running:
            batch: list[Stored] = []
            item = self._queue.get()
            while item is not None:
                batch.extend(item)
                if self._queue.empty() or len(batch) >= _STORED_PER_BATCH:
                    break
                item = self._queue.get()
            running = item is not None
            started = time.thread_time()
            self._store(batch)
            self._waiting -= len(batch)
            if self._waiting < _MOST_WAITING:
                self._closing.wait(_REST_PER_WORK * (time.thread_time() - started))

    def _store(self, batch: Sequence[Stored]) -> None:
        records = [record for stored in batch for record in build_records(stored)]
        if not records or self._error is not None:
            return
        try:
            self._recorder.record(records)
        except Exception as error:  # noqa: BLE001 - raised when the context is left
            self._error = error


def build_records(stored: Stored) -> Iterator[Record]:
    """What Dagster is told of one generation: the steps that succeeded, and a failure for the first that did not."""
    stage, gen_id = stored.metadata.stage, stored.metadata.gen_id
    if stored.prompt_chars is not None:
        yield _materialization(stored, "prompt", {"characters": stored.prompt_chars})
    if stored.has_text:
        yield _materialization(stored, "raw", stored.facts)
    if stored.parsed_chars is not None:
        yield _materialization(stored, "parsed", {"characters": stored.parsed_chars, **link_generation(gen_id)})
    elif stored.failure:
        step = "parsed" if stored.has_text else "raw"
        yield FailedMaterialization(
            f"{stage}_{step}",
            gen_id,
            f"{stored.failure.get('message')}\nShow it: daydreaming show {gen_id}",
            {
                "reason": str(stored.failure.get("reason")),
                "code": str(stored.failure.get("code") or ""),
                **link_generation(gen_id),
            },
        )


def _materialization(stored: Stored, step: str, facts: Mapping[str, Any]) -> Materialization:
    metadata = stored.metadata
    named = {"template": metadata.template_id, "model_id": metadata.llm_model_id, **facts}
    told = {name: value for name, value in named.items() if value is not None}
    return Materialization(f"{metadata.stage}_{step}", metadata.gen_id, told)


def _build_facts(raw: Mapping[str, Any]) -> dict[str, Any]:
    usage = raw.get("usage") or {}
    return {
        "model": raw.get("model_answered") or raw.get("model_asked"),
        "finish_reason": raw.get("finish_reason"),
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
        "cost_usd": raw.get("cost_usd"),
        "duration_s": raw.get("duration_s"),
        "attempts": raw.get("attempts"),
    }


def _read_stored(store: GenerationStore, stage: Stage, gen_id: str) -> Stored | None:
    try:
        metadata = store.find_metadata(stage, gen_id)
        parsed = store.find_parsed(stage, gen_id)
        prompt = store.find_prompt(stage, gen_id)
        raw = store.find_raw_metadata(stage, gen_id) or {}
    except StoreError:
        return None  # damaged: `daydreaming status` tells of it
    if metadata is None or (parsed is None and not raw.get("failure")):
        return None
    has_text = parsed is not None or (store.folder(stage, gen_id) / RAW).exists()
    return Stored(
        metadata,
        None if prompt is None else len(prompt),
        has_text,
        None if parsed is None else len(parsed),
        _build_facts(raw),
        raw.get("failure"),
    )
