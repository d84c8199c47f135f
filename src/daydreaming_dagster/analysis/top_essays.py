"""The essays that evaluations of one kind put first."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from daydreaming_dagster.analysis.parsed_scores import select_valid_scores
from daydreaming_dagster.analysis.schema import Schema

TOP_ESSAYS_SCHEMA: Schema = {
    "parent_gen_id": pl.String(),
    "score": pl.Float64(),
    "n": pl.UInt32(),
    "judges": pl.UInt32(),
    "combo_id": pl.String(),
    "draft_template": pl.String(),
    "generation_template": pl.String(),
    "generation_model": pl.String(),
}
"""One row per essay, best first, key `parent_gen_id`.

`score`, in points of the rubric, is the mean over its evaluators (a judge with a rubric). Each counts once, with the
mean of its replicates, so that one that is lost tips no scales. `n` counts evaluations, `judges` who made them.
"""

_KEPT = ("combo_id", "draft_template", "generation_template", "generation_model")


def select_top_essays(
    scores: pl.DataFrame, templates: Collection[str], top_n: int, score_span: float | None = None
) -> pl.DataFrame:
    """The best essays by the mean of their evaluators' means; see `TOP_ESSAYS_SCHEMA`.

    Args:
        scores: a frame of `PARSED_SCORES_SCHEMA`.
        templates: evaluation templates that count.
        top_n: the most essays to return. Ties are broken by more evaluations, then by id, so that the same scores give
            the same essays.
        score_span: essays further than this below the best one are left out, in points; None for no such bound.
    """
    essays = (
        select_valid_scores(scores)
        .filter(pl.col("evaluation_template").is_in(list(templates)))
        .group_by("parent_gen_id", "evaluation_template", "evaluation_llm_model", maintain_order=True)
        .agg(pl.col("score").mean(), pl.len().alias("n"), *(pl.col(name).first() for name in _KEPT))
        .group_by("parent_gen_id")
        .agg(
            pl.col("score").mean(),
            pl.col("n").sum().cast(pl.UInt32),
            pl.col("evaluation_llm_model").n_unique().alias("judges"),
            *(pl.col(name).first() for name in _KEPT),
        )
        .sort(["score", "n", "parent_gen_id"], descending=[True, True, False])
    )
    if score_span is not None:
        essays = essays.filter(pl.col("score") >= pl.col("score").max() - score_span)
    return essays.head(top_n).select(TOP_ESSAYS_SCHEMA.keys())
