"""What is written about an attempt: `raw_metadata.json` and `parsed_metadata.json`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from daydreaming_dagster.domain.catalogue import Endpoint, Model
from daydreaming_dagster.domain.errors import ModelCallError
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.engine.prices import compute_cost_usd
from daydreaming_dagster.llm.protocol import ChatRequest, ChatResponse, Usage
from daydreaming_dagster.store.generations import GenerationMetadata, GenerationStore, Outcome, compute_text_sha256
from daydreaming_dagster.store.paths import RAW
from daydreaming_dagster.store.states import Failure


@dataclass(frozen=True, slots=True)
class RunInfo:
    """In which run and under which name generations are made.

    Attributes:
        run_id: Dagster's run id where there is one.
        experiment_id: None when the run carries no such tag.
    """

    run_id: str
    cohort_id: str = ""
    experiment_id: str | None = None


@dataclass(slots=True)
class Attempt:
    """One try at a generation: what is to be done, and when it began.

    Attributes:
        metadata: what stands in `metadata.json`, or will.
        mode: `llm`, `copy` or `parse`.
        number: counts the calls of this run for this generation from 1.
        model, endpoint, request: what is to be called; None when nobody is.
        stored: a response that makes a call needless, already judged; None when there is none.
        template_sha256: of the template's text; None when nobody is called.
        started_at: seconds since 1970.
    """

    member: Member
    metadata: GenerationMetadata
    mode: str
    prompt: str
    number: int = 1
    model: Model | None = None
    endpoint: Endpoint | None = None
    request: ChatRequest | None = None
    stored: Outcome | None = None
    template_sha256: str | None = None
    call_id: str = ""
    started_at: float = 0.0
    _started: float = 0.0
    _request_sha256: str = ""

    def start(self, call_id: str) -> None:
        """Now it begins."""
        self.call_id = call_id
        self.started_at = time.time()
        self._started = time.perf_counter()

    def request_sha256(self) -> str:
        """Hash of the request, endpoint included; of the text alone for a copy."""
        if not self._request_sha256:
            if self.request is None or self.model is None:
                self._request_sha256 = compute_text_sha256(self.prompt)
            else:
                self._request_sha256 = self.request.sha256(self.model.endpoint)
        return self._request_sha256

    def build_raw_metadata(
        self,
        run: RunInfo,
        store: GenerationStore,
        response: ChatResponse | None,
        failure: Failure | None,
        error: ModelCallError | None = None,
    ) -> dict[str, Any]:
        """Content of `raw_metadata.json`; times in seconds, UTC, money in USD."""
        member, request = self.member, self.request
        text = response.text if response is not None else None
        usage = _usage_of(response, error)
        return {
            "function": f"{member.stage}_raw",
            "mode": self.mode,
            "stage": member.stage,
            "gen_id": member.gen_id,
            "run_id": run.run_id,
            "cohort_id": run.cohort_id,
            "experiment_id": run.experiment_id,
            "call_id": self.call_id,
            "llm_model_id": member.llm_model_id,
            "model_asked": request.model if request is not None else None,
            "model_answered": response.model if response is not None else None,
            "endpoint": self.model.endpoint if self.model is not None else None,
            "pool": self.model.pool if self.model is not None else None,
            "provider": response.provider if response is not None else None,
            "response_id": response.response_id if response is not None else None,
            "started_at": _utc(self.started_at),
            "finished_at": _utc(time.time()),
            "duration_s": round(time.perf_counter() - self._started, 4),
            "attempts": self.number,
            "finish_reason": response.finish_reason if response is not None else None,
            "native_finish_reason": response.native_finish_reason if response is not None else None,
            "truncated": response is not None and response.finish_reason == "length",
            "usage": usage,
            "cost_usd": self.compute_cost_usd(usage),
            "input_mode": "copy" if request is None else "prompt",
            "copied_from": member.parent_gen_id if request is None else None,
            "max_tokens": request.max_tokens if request is not None else None,
            "temperature": request.temperature if request is not None else None,
            "params": dict(request.params) if request is not None else {},
            "template_sha256": self.template_sha256,
            "prompt_sha256": compute_text_sha256(self.prompt),
            "request_sha256": self.request_sha256(),
            "raw_sha256": None if text is None else compute_text_sha256(text),
            "raw_length": None if text is None else len(text),
            "raw_lines": None if text is None else len(text.splitlines()),
            "raw_path": None if text is None else f"{store.stage_folder(member.stage)}/{member.gen_id}/{RAW}",
            "failure": None if failure is None else failure.to_json(),
        }

    def compute_cost_usd(self, usage: Mapping[str, Any]) -> float | None:
        """What the call cost, USD; None when nobody knows. Copies are free."""
        if self.model is None or self.endpoint is None:
            return 0.0
        return compute_cost_usd(usage, self.model, self.endpoint)


def build_copy_response(text: str) -> ChatResponse:
    """A copied text, as if a model had answered with it at no cost."""
    return ChatResponse(text=text, finish_reason="stop", usage=Usage(0, 0, 0, 0, 0.0))


def build_parsed_metadata(member: Member, parser_name: str, parsed: str, raw_sha256: str) -> dict[str, Any]:
    """Content of `parsed_metadata.json`."""
    return {
        "function": f"{member.stage}_parsed",
        "stage": member.stage,
        "gen_id": member.gen_id,
        "parser_name": parser_name,
        "success": True,
        "error": None,
        "raw_sha256": raw_sha256,
        "parsed_length": len(parsed),
        "parsed_at": _utc(time.time()),
    }


def _usage_of(response: ChatResponse | None, error: ModelCallError | None) -> dict[str, Any]:
    if response is not None:
        return {name: getattr(response.usage, name) for name in Usage.__slots__}
    return dict(error.usage) if error is not None else {}


def _utc(seconds: float) -> str:
    whole_s, ms = divmod(int(seconds * 1000), 1000)
    return f"{_utc_second(whole_s)}.{ms:03d}+00:00"


@lru_cache(maxsize=64)
def _utc_second(whole_s: int) -> str:
    return datetime.fromtimestamp(whole_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
