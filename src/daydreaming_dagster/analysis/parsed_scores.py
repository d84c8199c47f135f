"""The table of scores: one row per evaluation, whether it gave a score or not.

Everything else in this package starts from this table. Reading the files is the store's business; what a stored
text is worth as a score is decided here, in one place, for the cohort's table and for the one over all cohorts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields

import polars as pl

from daydreaming_dagster.analysis.schema import Schema

PARSED_SCORES_SCHEMA: Schema = {
    "gen_id": pl.String(),
    "parent_gen_id": pl.String(),
    "evaluation_template": pl.String(),
    "evaluation_llm_model": pl.String(),
    "score": pl.Float64(),
    "error": pl.String(),
    "evaluation_response_path": pl.String(),
    "combo_id": pl.String(),
    "draft_template": pl.String(),
    "generation_template": pl.String(),
    "generation_model": pl.String(),
    "generation_response_path": pl.String(),
    "origin_cohort_id": pl.String(),
    "input_mode": pl.String(),
    "copied_from": pl.String(),
    "cohort_id": pl.String(),
    "draft_gen_id": pl.String(),
    "replicate": pl.Int64(),
    "scale_min": pl.Float64(),
    "scale_max": pl.Float64(),
    "experiment_id": pl.String(),
}
"""Columns of `parsed_scores.csv` and `aggregated_scores.csv`, in order.

One row per evaluation, key `gen_id`. `score` is in points of the template's scale and null exactly when `error`
holds a reason code. Any other null means that the fact is not known.
"""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRecord:
    """What the store knows of one evaluation.

    Attributes:
        gen_id: the evaluation's own id.
        parent_gen_id: the essay that was judged; None when the metadata is damaged.
        parsed_text: content of `parsed.txt`; None when there is none.
        error: reason code of a failure that is known already (`parse_failed`, `truncated`, `metadata_corrupt`, …).
        replicate: the evaluation's own replicate, from 1.
        scale_min, scale_max: ends of the template's scale, points; None when the template is not in the catalogue.
        generation_template: the essay's template.
        generation_model: the model that wrote the essay.
        generation_response_path: the essay's `parsed.txt`.
        origin_cohort_id: the cohort that first made this evaluation; `cohort_id` the one the table is for.
    """

    gen_id: str
    parent_gen_id: str | None
    evaluation_template: str | None
    evaluation_llm_model: str | None
    parsed_text: str | None
    error: str | None = None
    evaluation_response_path: str | None = None
    combo_id: str | None = None
    draft_template: str | None = None
    generation_template: str | None = None
    generation_model: str | None = None
    generation_response_path: str | None = None
    origin_cohort_id: str | None = None
    input_mode: str | None = None
    copied_from: str | None = None
    cohort_id: str | None = None
    draft_gen_id: str | None = None
    replicate: int | None = None
    scale_min: float | None = None
    scale_max: float | None = None
    experiment_id: str | None = None


_COPIED = tuple(field.name for field in fields(EvaluationRecord) if field.name not in {"parsed_text", "error"})


def build_parsed_scores(records: Iterable[EvaluationRecord]) -> pl.DataFrame:
    """The table of scores in the order of the records; see `PARSED_SCORES_SCHEMA`.

    No record is left out: one without a usable score becomes a row whose `error` says why.
    """
    columns: dict[str, list[object]] = {name: [] for name in PARSED_SCORES_SCHEMA}
    for record in records:
        score, error = compute_score(record)
        columns["score"].append(score)
        columns["error"].append(error)
        for name in _COPIED:
            columns[name].append(getattr(record, name))
    return pl.DataFrame(columns, schema=PARSED_SCORES_SCHEMA)


def compute_score(record: EvaluationRecord) -> tuple[float | None, str | None]:
    """The record's score and no reason, or no score and the reason code why not.

    Codes besides those the record brings along: `parent_unknown`, `evaluator_unknown`, `parsed_missing`,
    `parsed_empty`, `score_not_a_number`, `score_not_finite`, `scale_unknown`, `score_off_scale`.
    """
    if record.error:
        return None, record.error
    if not record.parent_gen_id:
        return None, "parent_unknown"
    if not record.evaluation_template or not record.evaluation_llm_model:
        return None, "evaluator_unknown"
    if record.parsed_text is None:
        return None, "parsed_missing"
    return _read_score(record.parsed_text, record.scale_min, record.scale_max)


def select_valid_scores(scores: pl.DataFrame) -> pl.DataFrame:
    """The rows with a score, each evaluation once even when several cohorts list it; columns as they came."""
    usable = pl.col("error").is_null() & pl.col("score").is_finite()
    return scores.filter(usable).unique("gen_id", keep="first", maintain_order=True)


def _read_score(text: str, scale_min: float | None, scale_max: float | None) -> tuple[float | None, str | None]:
    lines = text.strip().splitlines()
    if not lines:
        return None, "parsed_empty"
    last = lines[-1].strip()
    score = float(last) if _NUMBER.fullmatch(last) or _NOT_FINITE.fullmatch(last) else None
    if score is None:
        return None, "score_not_a_number"
    if not math.isfinite(score):
        return None, "score_not_finite"
    if scale_min is None or scale_max is None:
        return None, "scale_unknown"
    return (score, None) if scale_min <= score <= scale_max else (None, "score_off_scale")
