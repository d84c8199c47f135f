"""Tells Dagster what a bulk run stored, from a thread of its own, after the disk and never before it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from dagster import AssetMaterialization

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.steps import StepResult
from daydreaming_dagster.resources.recorder import EventRecorder, FailedMaterialization, Record
from daydreaming_dagster.store.generations import Outcome

_OUTCOMES_PER_BATCH = 300


class OutcomeRecorder:
    """A queue of outcomes and a thread that turns them into Dagster's events. Use as a context manager.

    Leaving the context waits until everything is recorded; an error of Dagster's storage is raised then and not
    earlier, because it must not stop a run whose responses are safe.
    """

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder
        self._queue: queue.SimpleQueue[Sequence[Outcome] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="dagster-recorder", daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> OutcomeRecorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Takes a batch and returns at once."""
        self._queue.put(outcomes)

    def _serve(self) -> None:
        waiting: list[Outcome] = []
        running = True
        while running:
            item = self._queue.get()
            while item is not None:
                waiting.extend(item)
                if self._queue.empty() or len(waiting) >= _OUTCOMES_PER_BATCH:
                    break
                item = self._queue.get()
            running = item is not None
            self._store(waiting)
            waiting = []

    def _store(self, outcomes: Sequence[Outcome]) -> None:
        records = [record for outcome in outcomes for record in build_records(outcome)]
        if not records or self._error is not None:
            return
        try:
            self._recorder.record(records)
        except Exception as error:  # noqa: BLE001 - raised when the context is left
            self._error = error


def build_records(outcome: Outcome) -> Iterator[Record]:
    """What Dagster is told of one outcome: the steps that succeeded, and a failure for the first that did not."""
    stage, gen_id, raw = outcome.metadata.stage, outcome.metadata.gen_id, outcome.raw_metadata
    failure = raw.get("failure") or {}
    if outcome.prompt is not None:
        yield _materialization(outcome, "prompt", {"characters": len(outcome.prompt)})
    if outcome.text is not None:
        usage = raw.get("usage") or {}
        yield _materialization(
            outcome,
            "raw",
            {
                "model": raw.get("model_answered") or raw.get("model_asked"),
                "finish_reason": raw.get("finish_reason"),
                "prompt_tokens": usage.get("prompt_tokens"),
                "completion_tokens": usage.get("completion_tokens"),
                "cost_usd": raw.get("cost_usd"),
                "duration_s": raw.get("duration_s"),
                "attempts": raw.get("attempts"),
            },
        )
    if outcome.parsed is not None:
        yield _materialization(outcome, "parsed", {"characters": len(outcome.parsed)})
    elif failure:
        step = "raw" if outcome.text is None else "parsed"
        yield FailedMaterialization(
            f"{stage}_{step}",
            gen_id,
            f"{failure.get('message')}\nShow it: daydreaming show {gen_id}",
            {"reason": str(failure.get("reason")), "code": str(failure.get("code") or "")},
        )


def build_step_record(stage: Stage, step: str, result: StepResult) -> Record:
    """What Dagster is told of one step of one generation."""
    name, gen_id = f"{stage}_{step}", result.member.gen_id
    if result.error is not None:
        return FailedMaterialization(name, gen_id, str(result.error), {"reason": result.error.reason})
    return AssetMaterialization(name, partition=gen_id, metadata=result.facts)


def _materialization(outcome: Outcome, step: str, facts: dict[str, Any]) -> AssetMaterialization:
    metadata = outcome.metadata
    named = {"template": metadata.template_id, "model_id": metadata.llm_model_id, **facts}
    return AssetMaterialization(
        f"{metadata.stage}_{step}",
        partition=metadata.gen_id,
        metadata={name: value for name, value in named.items() if value is not None},
    )
