"""Small tables of scores for the tests, written as the store would give them."""

from __future__ import annotations

from typing import Any

import polars as pl

from daydreaming_dagster.analysis.parsed_scores import EVALUATIONS_SCHEMA, build_parsed_scores
from daydreaming_dagster.analysis.schema import table_of_rows


def evaluation(gen_id: str, essay: str, score: float | None, **facts: Any) -> dict[str, Any]:
    """One evaluation of an essay on a 0-9 scale; `score` None means that nothing was parsed."""
    known: dict[str, Any] = {
        "evaluation_template": "novelty",
        "evaluation_llm_model": "judge-a",
        "evaluation_response_path": f"gens/evaluation/{gen_id}/parsed.txt",
        "combo_id": "combo-1",
        "draft_template": "draft-A",
        "generation_template": "essay-X",
        "generation_model": "writer",
        "generation_response_path": f"gens/essay/{essay}/parsed.txt",
        "origin_cohort_id": "cohort-1",
        "input_mode": "prompt",
        "cohort_id": "cohort-1",
        "draft_gen_id": "d_1",
        "replicate": 1,
        "scale_min": 0.0,
        "scale_max": 9.0,
    }
    return {"gen_id": gen_id, "parent_gen_id": essay, "number": score, **known, **facts}


def scores_of(*records: dict[str, Any]) -> pl.DataFrame:
    return build_parsed_scores(table_of_rows(records, EVALUATIONS_SCHEMA))
