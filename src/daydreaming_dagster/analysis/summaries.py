"""Summaries of the scores by template, model and combination, and the lists that lead back to the texts."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import polars as pl

from daydreaming_dagster.analysis.constructs import MEASURE, with_construct
from daydreaming_dagster.analysis.parsed_scores import select_valid_scores
from daydreaming_dagster.analysis.schema import Schema, to_schema

FINAL_RESULTS_SECTIONS: dict[str, tuple[str, ...]] = {
    "by_generation_template": ("generation_template",),
    "by_generation_model": ("generation_model",),
    "by_evaluation_model": ("evaluation_llm_model",),
    "by_combo_id": ("combo_id",),
    "by_template_and_generation_model": ("generation_template", "generation_model"),
    "by_generation_vs_evaluation_model": ("generation_model", "evaluation_llm_model"),
    "overall_statistics": (),
}
"""Value of `analysis_type` and the columns its rows are grouped by, in the order of the table."""

_GROUPS = ("generation_template", "generation_model", "evaluation_llm_model", "combo_id")

FINAL_RESULTS_SCHEMA: Schema = {
    "analysis_type": pl.String(),
    **dict.fromkeys(_GROUPS, pl.String()),
    **MEASURE,
    "count": pl.Int64(),
    "n_essays": pl.Int64(),
    "average": pl.Float64(),
    "std_dev": pl.Float64(),
    "min_score": pl.Float64(),
    "max_score": pl.Float64(),
    "perfect_scores": pl.Int64(),
    "perfect_score_pct": pl.Float64(),
    "high_scores": pl.Int64(),
    "high_score_pct": pl.Float64(),
    "low_scores": pl.Int64(),
    "low_score_pct": pl.Float64(),
}
"""One row per section, group and measure; see `build_final_results`."""

PERFECT_SCORE_PATHS_SCHEMA: Schema = {
    "gen_id": pl.String(),
    "parent_gen_id": pl.String(),
    "combo_id": pl.String(),
    "draft_template": pl.String(),
    "generation_template": pl.String(),
    "generation_model": pl.String(),
    "evaluation_template": pl.String(),
    "evaluation_llm_model": pl.String(),
    "replicate": pl.Int64(),
    "score": pl.Float64(),
    "scale_max": pl.Float64(),
    "generation_response_path": pl.String(),
    "evaluation_response_path": pl.String(),
    "notes": pl.String(),
}
"""One row per evaluation that gave the top of its template's scale."""

_HIGH, _LOW = 8 / 9, 3 / 9
_ROUNDING = 1e-9


def build_final_results(scores: pl.DataFrame, constructs: Mapping[str, str] | None = None) -> pl.DataFrame:
    """Counts, means and shares of the scores in seven sections; see `FINAL_RESULTS_SECTIONS`.

    `count` is the number of scores, replicates included; `n_essays` says how many essays they are about. `std_dev`
    is the sample's and null for a single score. A score is perfect at the top of its scale, high from 8/9 of the
    way up (8 on a 0-9 scale) and low up to 3/9 (3 on a 0-9 scale); `_pct` is the share of `count` in percent.

    Args:
        scores: a frame of `PARSED_SCORES_SCHEMA`.
        constructs: construct by evaluation template. Rows are kept apart by construct and scale, by template where
            no construct is declared.
    """
    valid = with_construct(select_valid_scores(scores), constructs)
    sections = [_summarise(valid, name, list(keys)) for name, keys in FINAL_RESULTS_SECTIONS.items()]
    return pl.concat(sections)


def build_perfect_score_paths(scores: pl.DataFrame) -> pl.DataFrame:
    """The evaluations that gave the top of their scale, with the files of essay and evaluation."""
    perfect = (
        select_valid_scores(scores)
        .filter(pl.col("score") >= pl.col("scale_max"))
        .with_columns(
            notes=pl.format(
                "Perfect score from {} generation + {} evaluation",
                pl.col("generation_model").fill_null("unknown"),
                pl.col("evaluation_llm_model"),
            )
        )
        .sort("combo_id", "parent_gen_id", "evaluation_template", "evaluation_llm_model", "replicate")
    )
    return to_schema(perfect, PERFECT_SCORE_PATHS_SCHEMA)


def build_filtered_evaluation_results(scores: pl.DataFrame, **allowed: Collection[str] | None) -> pl.DataFrame:
    """The rows of the scores whose named columns hold an allowed value; rows with errors stay.

    Args:
        scores: a frame of `PARSED_SCORES_SCHEMA`.
        **allowed: column name to the values wanted; None does not filter. Without any, all rows are wanted.

    Raises:
        KeyError: a name is not a column of the scores.
    """
    for column, values in allowed.items():
        if column not in scores.columns:
            raise KeyError(column)
        if values is not None:
            scores = scores.filter(pl.col(column).is_in(list(values)))
    return scores


def _summarise(valid: pl.DataFrame, section: str, keys: list[str]) -> pl.DataFrame:
    score, count = pl.col("score"), pl.len()
    span = pl.col("scale_max") - pl.col("scale_min")
    height = (score - pl.col("scale_min")) / span
    marks = {
        "perfect_score": score >= pl.col("scale_max"),
        "high_score": height >= _HIGH - _ROUNDING,
        "low_score": height <= _LOW + _ROUNDING,
    }
    summary = (
        valid.group_by(*keys, *MEASURE)
        .agg(
            count.alias("count"),
            pl.col("parent_gen_id").n_unique().alias("n_essays"),
            score.mean().alias("average"),
            score.std().alias("std_dev"),
            score.min().alias("min_score"),
            score.max().alias("max_score"),
            *(mark.sum().alias(f"{name}s") for name, mark in marks.items()),
            *((mark.mean() * 100).alias(f"{name}_pct") for name, mark in marks.items()),
        )
        .sort(*keys, *MEASURE)
        .with_columns(
            pl.lit(section).alias("analysis_type"),
            *(pl.lit(None, dtype=pl.String).alias(name) for name in _GROUPS if name not in keys),
        )
    )
    return to_schema(summary, FINAL_RESULTS_SCHEMA)
