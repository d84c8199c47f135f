"""Wide tables: a row per essay (or per judging of it), a column per evaluator.

An evaluator is an evaluation template together with a judge model. Replicates of one evaluator share its column as
their mean, with how many there were beside it; they never count as evaluators of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from daydreaming_dagster.analysis.parsed_scores import PENDING, select_valid_scores
from daydreaming_dagster.analysis.schema import Schema

ESSAY_FACTS: Schema = {
    "parent_gen_id": pl.String(),
    "combo_id": pl.String(),
    "draft_template": pl.String(),
    "generation_template": pl.String(),
    "generation_model": pl.String(),
}
"""What identifies a row of the essay tables; `parent_gen_id`, the essay, is the key."""

Evaluator = tuple[str, str]
"""Judge model and evaluation template."""


def build_generation_scores_pivot(scores: pl.DataFrame) -> pl.DataFrame:
    """One row per essay, its scores by evaluator; key `parent_gen_id`.

    Columns: `ESSAY_FACTS`; per evaluator `<model>_<template>` with the mean of its replicates in points; then for each
    `_min`, `_max` and `_n` (how many replicates gave a score; 0 when none did); `sum_scores`, the sum of the means
    that exist (null when none does); `generation_response_path`; `n_scores` and `n_errors`, evaluations that gave
    a score and that failed to: those not made or not read yet are neither. `sum_scores` adds up rubrics, so only essays
    with the same evaluators compare by it.

    Args:
        scores: a frame of `PARSED_SCORES_SCHEMA`.
    """
    pivot, names = _pivot_by_evaluator(scores, separator="_", suffixes=("_min", "_max", "_n"))
    means = [pl.col(name) for name in names]
    total = pl.sum_horizontal(means) if means else pl.lit(0.0)
    complete = pivot.with_columns(
        sum_scores=pl.when(pl.col("n_scores") > 0).then(total).otherwise(None).cast(pl.Float64)
    )
    ordered = [
        *ESSAY_FACTS,
        *names,
        *(f"{name}{suffix}" for name in names for suffix in ("_min", "_max", "_n")),
        "sum_scores",
        "generation_response_path",
        "n_scores",
        "n_errors",
    ]
    return complete.select(ordered)


def build_evaluation_model_template_pivot(scores: pl.DataFrame) -> pl.DataFrame:
    """One row per essay: mean and count (`_n`) by evaluator `<model>_<template>`; key `parent_gen_id`."""
    pivot, names = _pivot_by_evaluator(scores, separator="_", suffixes=("_n",))
    return pivot.select(*ESSAY_FACTS, *names, *(f"{name}_n" for name in names))


def build_evaluation_scores_by_template_model(scores: pl.DataFrame) -> pl.DataFrame:
    """One row per essay over all cohorts: mean and count (`_n`) by evaluator `<template>__<model>`.

    Key `essay_gen_id`. `origin_cohort_id` lists every cohort whose evaluations of the essay are in the row,
    separated by `;`.
    """
    pivot, names = _pivot_by_evaluator(scores, separator="__", suffixes=("_n",), template_first=True)
    return pivot.select(
        pl.col("parent_gen_id").alias("essay_gen_id"),
        "combo_id",
        "draft_template",
        "generation_template",
        "generation_model",
        "origin_cohort_id",
        *names,
        *(f"{name}_n" for name in names),
    )


def build_template_version_comparison_pivot(
    scores: pl.DataFrame, template_versions: Sequence[str] | None = None
) -> pl.DataFrame:
    """One row per judging of an essay, a column per evaluation template: what each version of a rubric gave.

    Key: essay, judge model and replicate; nothing is averaged. A cell is null where that template gave no score.

    Args:
        scores: a frame of `PARSED_SCORES_SCHEMA`.
        template_versions: evaluation templates to compare, in column order; None takes all, by name.
    """
    valid = select_valid_scores(scores)
    if template_versions is None:
        template_versions = sorted(valid["evaluation_template"].unique().to_list())
    keys = [*ESSAY_FACTS, "evaluation_llm_model", "replicate"]
    columns = {name: name if name not in keys else f"evaluation_template: {name}" for name in template_versions}
    return (
        valid.filter(pl.col("evaluation_template").is_in(list(template_versions)))
        .group_by("parent_gen_id", "evaluation_llm_model", "replicate", maintain_order=True)
        .agg(
            *(pl.col(name).drop_nulls().first() for name in ESSAY_FACTS if name != "parent_gen_id"),
            *(
                pl.col("score").filter(pl.col("evaluation_template") == template).first().alias(column)
                for template, column in columns.items()
            ),
        )
        .select(*keys, *columns.values())
        .sort("parent_gen_id", "evaluation_llm_model", "replicate")
    )


def unique_column_names(
    keys: Iterable[Evaluator], separator: str, suffixes: Sequence[str], reserved: Iterable[str] = ()
) -> dict[Evaluator, str]:
    """A column name per pair such that no name, with or without a suffix, is another's or a reserved one.

    Names are the two parts around the separator. Where that would make two columns one (`a_b` with `c`, and `a` with
    `b_c`), all names take the next longer separator.
    """
    wanted = list(keys)
    blocked = list(reserved)
    for joint in (separator, "__", " | ", " || "):
        names = {key: joint.join(key) for key in wanted}
        every = blocked + [name + suffix for name in names.values() for suffix in ("", *suffixes)]
        if len(set(every)) == len(every):
            return names
    return {key: f"{number}: {separator.join(key)}" for number, key in enumerate(wanted, start=1)}


def _pivot_by_evaluator(
    scores: pl.DataFrame, *, separator: str, suffixes: Sequence[str], template_first: bool = False
) -> tuple[pl.DataFrame, list[str]]:
    """Essay facts, evaluator columns and counts, a row per essay by id; and the evaluator columns' names."""
    known = scores.filter(pl.col("parent_gen_id").is_not_null()).unique("gen_id", keep="first", maintain_order=True)
    parts = ("evaluation_template", "evaluation_llm_model")
    first, second = parts if template_first else parts[::-1]
    pairs = known.select(first, second).drop_nulls().unique().sort(first, second).rows()
    reserved = [*_essay_rows(known).columns, "sum_scores", "essay_gen_id"]
    names = unique_column_names(pairs, separator, suffixes, reserved)
    pivot = _essay_rows(known)
    if names:
        pivot = pivot.join(_evaluator_cells(known, first, second, names), on="parent_gen_id", how="left")
    counts = [f"{name}_n" for name in names.values()]
    return pivot.with_columns(pl.col(counts).fill_null(0)).sort("parent_gen_id"), list(names.values())


def _essay_rows(known: pl.DataFrame) -> pl.DataFrame:
    facts = [name for name in (*ESSAY_FACTS, "generation_response_path") if name != "parent_gen_id"]
    scored = pl.col("score").is_not_null()
    pending = pl.col("error").fill_null("").is_in(PENDING)
    return known.group_by("parent_gen_id", maintain_order=True).agg(
        *(pl.col(name).drop_nulls().first() for name in facts),
        pl.col("origin_cohort_id").drop_nulls().unique().sort().str.join(";"),
        scored.sum().cast(pl.Int64).alias("n_scores"),
        (~scored & ~pending).sum().cast(pl.Int64).alias("n_errors"),
    )


def _evaluator_cells(known: pl.DataFrame, first: str, second: str, names: dict[Evaluator, str]) -> pl.DataFrame:
    """A row per essay; per evaluator the mean, `_min`, `_max` and `_n` of its replicates' scores."""
    columns = pl.DataFrame(
        [(*pair, name) for pair, name in names.items()], schema=[first, second, "name"], orient="row"
    )
    score = pl.col("score")
    cells = (
        known.join(columns, on=[first, second], how="inner")
        .group_by("parent_gen_id", "name")
        .agg(
            score.mean().alias("mean"),
            score.min().alias("min"),
            score.max().alias("max"),
            score.count().cast(pl.Int64).alias("n"),
        )
        .pivot("name", on_columns=list(names.values()), index="parent_gen_id", values=["mean", "min", "max", "n"])
    )
    renamed = {f"mean_{name}": name for name in names.values()}
    for statistic in ("min", "max", "n"):
        renamed |= {f"{statistic}_{name}": f"{name}_{statistic}" for name in names.values()}
    return cells.select(pl.col("parent_gen_id"), *(pl.col(old).alias(new) for old, new in renamed.items()))
