"""Outcomes and calls as values, for tests of the store."""

from __future__ import annotations

from typing import Any

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.generations import GenerationMetadata, Outcome, compute_text_sha256
from daydreaming_dagster.store.ledger import CallRow


def make_outcome(
    gen_id: str = "d_1",
    text: str | None = "A response.",
    parsed: str | None = "A response.",
    call_id: str = "call-1",
    failure: dict[str, Any] | None = None,
    stage: Stage = Stage.DRAFT,
    **raw: Any,
) -> Outcome:
    metadata = GenerationMetadata(stage, gen_id, "cohort-1", "cartesian", "template", "combo", "", "writer", 1)
    sha256 = None if text is None else compute_text_sha256(text)
    return Outcome(
        metadata,
        "A prompt.",
        text,
        {"call_id": call_id, "raw_sha256": sha256, "failure": failure, "usage": {}, **raw},
        parsed,
        None if parsed is None else {"parser_name": "identity", "raw_sha256": sha256},
    )


def make_call(call_id: str = "call-1", **fields: Any) -> CallRow:
    values: dict[str, Any] = {
        "owner": "owner-1",
        "gen_id": "d_1",
        "stage": "draft",
        "run_id": "run-1",
        "cohort_id": "cohort-1",
        "template_id": "template",
        "llm_model_id": "writer",
        "endpoint": "endpoint",
        "pool": "pool",
        "sent_at": 1.0,
        "reserved_usd": 0.5,
        "reserved_tokens": 100,
        **fields,
    }
    return CallRow(call_id, **values)
