"""The table of scores: one row per evaluation, whether it gave a score or not.

Everything else in this package starts from this table. Reading the files is the store's business; what a stored
number is worth as a score is decided here, in one place, for the cohort's table and for the one over all cohorts.
"""

from __future__ import annotations

import polars as pl

from daydreaming_dagster.analysis.schema import Schema, to_schema

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

PENDING = ("not_made", "not_parsed")
"""Values of `error` of evaluations that have not failed: nobody has asked, or read the answer, yet."""

EVALUATIONS_SCHEMA: Schema = {
    ("number" if name == "score" else name): dtype for name, dtype in PARSED_SCORES_SCHEMA.items()
}
"""What the store knows of evaluations: one row each, key `gen_id`, columns as in the table of scores.

- `number`: on the last line of `parsed.txt`, on whatever scale; null when there is none.
- `error`: reason code of a failure that is known already (`parse_failed`, `truncated`, `score_no_number`, …).
- Null stands for everything that is not known, such as the parent when the metadata is damaged, or the scale of a
  template that is not in the catalogue.
"""


def build_parsed_scores(evaluations: pl.DataFrame) -> pl.DataFrame:
    """The table of scores in the order of the evaluations; see `PARSED_SCORES_SCHEMA`.

    No evaluation is left out: one without a usable score becomes a row whose `error` says why. Codes besides those that
    are known already: `parent_unknown`, `evaluator_unknown`, `parsed_missing`, `scale_unknown`, `score_not_finite`,
    `score_off_scale`.

    Args:
        evaluations: a frame of `EVALUATIONS_SCHEMA`.
    """
    number, low, high = pl.col("number"), pl.col("scale_min"), pl.col("scale_max")
    evaluator_unknown = pl.col("evaluation_template").is_null() | pl.col("evaluation_llm_model").is_null()
    error = pl.coalesce(
        pl.col("error"),
        _named("parent_unknown", pl.col("parent_gen_id").is_null()),
        _named("evaluator_unknown", evaluator_unknown),
        _named("parsed_missing", number.is_null()),
        _named("scale_unknown", low.is_null() | high.is_null()),
        _named("score_not_finite", number.is_finite().not_()),
        _named("score_off_scale", number.is_between(low, high).not_()),
    )
    named = evaluations.with_columns(error=error)
    return to_schema(named.with_columns(score=pl.when(pl.col("error").is_null()).then(number)), PARSED_SCORES_SCHEMA)


def _named(error: str, holds: pl.Expr) -> pl.Expr:
    return pl.when(holds).then(pl.lit(error))


def select_valid_scores(scores: pl.DataFrame) -> pl.DataFrame:
    """The rows with a score, each evaluation once even when several cohorts list it; columns as they came."""
    usable = pl.col("error").is_null() & pl.col("score").is_finite()
    return scores.filter(usable).unique("gen_id", keep="first", maintain_order=True)
