"""How far the scores of one essay lie apart, and along which axis: replicates, rubrics or judges.

These tables describe single essays in points. Whether judges agree beyond chance over all essays is `agreement`,
and how much each axis contributes is `variance_components`.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from daydreaming_dagster.analysis.constructs import MEASURE, with_construct
from daydreaming_dagster.analysis.parsed_scores import select_valid_scores
from daydreaming_dagster.analysis.schema import Schema, to_schema

_ESSAY: Schema = {
    "parent_gen_id": pl.String(),
    "combo_id": pl.String(),
    "draft_template": pl.String(),
    "generation_template": pl.String(),
    "generation_model": pl.String(),
}
_SPREAD: Schema = {
    "mean_score": pl.Float64(),
    "std_dev": pl.Float64(),
    "min_score": pl.Float64(),
    "max_score": pl.Float64(),
    "median_score": pl.Float64(),
    "score_range": pl.Float64(),
    "relative_range": pl.Float64(),
    "coefficient_of_variation": pl.Float64(),
}

EVALUATOR_AGREEMENT_SCHEMA: Schema = {
    **_ESSAY,
    **MEASURE,
    "evaluator_count": pl.Int64(),
    "n_scores": pl.Int64(),
    **_SPREAD,
    "agreement_classification": pl.String(),
}
"""One row per essay and measure; see `build_evaluator_agreement_analysis`."""

COMPREHENSIVE_VARIANCE_SCHEMA: Schema = {
    "analysis_type": pl.String(),
    **_ESSAY,
    **MEASURE,
    "evaluation_template": pl.String(),
    "evaluation_llm_model": pl.String(),
    "n_values": pl.Int64(),
    "n_scores": pl.Int64(),
    "num_templates": pl.Int64(),
    "num_models": pl.Int64(),
    **_SPREAD,
    "stability_classification": pl.String(),
}
"""One row per axis, essay, measure and what is held fixed; see `build_comprehensive_variance_analysis`."""

_CLASSES = ((1 / 9, "high_agreement"), (2 / 9, "moderate_agreement"), (3 / 9, "low_agreement"))
_ROUNDING = 1e-9
_EVALUATOR = ("evaluation_template", "evaluation_llm_model")


def build_evaluator_agreement_analysis(
    scores: pl.DataFrame, constructs: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """How closely the evaluators of one essay agree, a row per essay and measure.

    The values compared are one per evaluator (template and judge), the mean of its replicates: `evaluator_count`
    counts evaluators, `n_scores` the scores behind them. `relative_range` is the range as a share of the scale;
    up to 1/9 it is called `high_agreement`, up to 2/9 `moderate_agreement`, up to 3/9 `low_agreement`, beyond
    `poor_agreement` (1, 2 and 3 points on a 0-9 scale), and `insufficient_data` below two evaluators.
    """
    cells = _evaluator_means(scores, constructs)
    table = _spread(cells, list(MEASURE)).rename(
        {"n_values": "evaluator_count", "classification": "agreement_classification"}
    )
    return to_schema(table, EVALUATOR_AGREEMENT_SCHEMA)


def build_comprehensive_variance_analysis(
    scores: pl.DataFrame, constructs: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """Where the spread of an essay's scores comes from, a row per axis and essay; classes as in the agreement table.

    `analysis_type` says what varies: `overall_variance` over evaluators, `template_variance` over templates with the
    judge held fixed, `model_variance` over judges with the template held fixed (these three compare the means of the
    replicates), `replicate_variance` over the replicates of one evaluator. What is held fixed is named in
    `evaluation_template` and `evaluation_llm_model`. All but the first have a row only where at least two values can
    be compared.
    """
    cells = _evaluator_means(scores, constructs)
    single = _valid(scores, constructs).with_columns(n_scores=pl.lit(1, dtype=pl.Int64))
    axes = {
        "overall_variance": _spread(cells, list(MEASURE)),
        "template_variance": _spread(cells, [*MEASURE, "evaluation_llm_model"]),
        "model_variance": _spread(cells, [*MEASURE, "evaluation_template"]),
        "replicate_variance": _spread(single, [*MEASURE, *_EVALUATOR]),
    }
    parts = []
    for axis, spread in axes.items():
        kept = spread if axis == "overall_variance" else spread.filter(pl.col("n_values") >= 2)
        missing = [name for name in _EVALUATOR if name not in kept.columns]
        named = kept.rename({"classification": "stability_classification"}).with_columns(
            pl.lit(axis).alias("analysis_type"), *(pl.lit(None).alias(name) for name in missing)
        )
        parts.append(to_schema(named, COMPREHENSIVE_VARIANCE_SCHEMA))
    return pl.concat(parts)


def _valid(scores: pl.DataFrame, constructs: Mapping[str, str] | None) -> pl.DataFrame:
    return with_construct(select_valid_scores(scores), constructs)


def _evaluator_means(scores: pl.DataFrame, constructs: Mapping[str, str] | None) -> pl.DataFrame:
    """One row per essay and evaluator: the mean of its replicates, and how many they are."""
    return (
        _valid(scores, constructs)
        .group_by("parent_gen_id", *MEASURE, *_EVALUATOR)
        .agg(
            *(pl.col(name).drop_nulls().first() for name in _ESSAY if name != "parent_gen_id"),
            pl.col("score").mean(),
            pl.len().cast(pl.Int64).alias("n_scores"),
        )
    )


def _spread(values: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    score = pl.col("score")
    spread = (
        values.group_by("parent_gen_id", *keys)
        .agg(
            *(pl.col(name).drop_nulls().first() for name in _ESSAY if name != "parent_gen_id"),
            pl.len().cast(pl.Int64).alias("n_values"),
            pl.col("n_scores").sum(),
            pl.col("evaluation_template").n_unique().alias("num_templates"),
            pl.col("evaluation_llm_model").n_unique().alias("num_models"),
            score.mean().alias("mean_score"),
            score.std().alias("std_dev"),
            score.min().alias("min_score"),
            score.max().alias("max_score"),
            score.median().alias("median_score"),
        )
        .with_columns(score_range=pl.col("max_score") - pl.col("min_score"))
    )
    span = pl.col("scale_max") - pl.col("scale_min")
    mean = pl.col("mean_score")
    return (
        spread.with_columns(
            relative_range=pl.when(span > 0).then(pl.col("score_range") / span),
            coefficient_of_variation=pl.when(mean > 0).then(pl.col("std_dev") / mean),
        )
        .with_columns(classification=_classify())
        .sort("parent_gen_id", *keys)
    )


def _classify() -> pl.Expr:
    word = pl.lit("poor_agreement")
    for limit, name in reversed(_CLASSES):
        word = pl.when(pl.col("relative_range") <= limit + _ROUNDING).then(pl.lit(name)).otherwise(word)
    unknown = (pl.col("n_values") < 2) | pl.col("relative_range").is_null()
    return pl.when(unknown).then(pl.lit("insufficient_data")).otherwise(word)
