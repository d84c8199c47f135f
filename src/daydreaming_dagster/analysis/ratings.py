"""The long table of ratings: every fact about a rating in its row, which all statistics start from."""

from __future__ import annotations

import polars as pl

from daydreaming_dagster.analysis.constructs import with_construct
from daydreaming_dagster.analysis.schema import Schema, to_schema

ESSAYS_SCHEMA: Schema = {"essay_gen_id": pl.String(), "essay_length_words": pl.Int64()}
"""One row per essay: the number of words of its parsed text."""

MODELS_SCHEMA: Schema = {
    "llm_model_id": pl.String(),
    "family": pl.String(),
    "price_prompt": pl.Float64(),
    "price_completion": pl.Float64(),
}
"""One row per model of the catalogue; prices in USD per token, null when unknown; family blank or null likewise."""

TEMPLATES_SCHEMA: Schema = {
    "template_id": pl.String(),
    "construct": pl.String(),
    "direction": pl.String(),
}
"""One row per evaluation template; `direction` is `higher_is_better` or `lower_is_better`, construct may be blank."""

CALLS_SCHEMA: Schema = {
    "gen_id": pl.String(),
    "stage": pl.String(),
    "template_id": pl.String(),
    "llm_model_id": pl.String(),
    "provider": pl.String(),
    "status": pl.String(),
    "prompt_tokens": pl.Int64(),
    "completion_tokens": pl.Int64(),
    "cost_usd": pl.Float64(),
    "duration_s": pl.Float64(),
    "template_sha256": pl.String(),
}
"""One row per call to a model, in order of time; a generation has several when earlier answers were unusable.

`status` is `ok` or the reason code of the failure; `cost_usd` is null when nobody knows the price. `template_sha256` is
the hash of the template's text as it was sent, which need not be the text of today; null when that is not known.
"""

RATINGS_LONG_SCHEMA: Schema = {
    "gen_id": pl.String(),
    "essay_gen_id": pl.String(),
    "draft_gen_id": pl.String(),
    "combo_id": pl.String(),
    "cohort_id": pl.String(),
    "experiment_id": pl.String(),
    "draft_template": pl.String(),
    "essay_template": pl.String(),
    "generator_model": pl.String(),
    "generator_family": pl.String(),
    "judge_model": pl.String(),
    "judge_family": pl.String(),
    "evaluation_template": pl.String(),
    "template_sha256": pl.String(),
    "construct": pl.String(),
    "direction": pl.String(),
    "replicate": pl.Int64(),
    "score": pl.Float64(),
    "value": pl.Float64(),
    "scale_min": pl.Float64(),
    "scale_max": pl.Float64(),
    "parse_status": pl.String(),
    "same_family": pl.Boolean(),
    "essay_length_words": pl.Int64(),
    "prompt_tokens": pl.Int64(),
    "completion_tokens": pl.Int64(),
    "cost_usd": pl.Float64(),
    "provider": pl.String(),
}
"""One row per rating, key `gen_id`, rated or not.

- `construct`: what is measured; the template's id where no construct is declared. Where templates of one construct
  have different scales, the scale is part of the name, so that ratings with equal `construct` can be averaged.
- `score`: as given; `value`: the score turned round for rubrics where lower is better, so that more is always better.
  Both in points of the scale, null without a score.
- `parse_status`: `ok`, or why there is no score.
- `same_family`: whether judge and generator share a family; null when one of them has none.
- `prompt_tokens`, `completion_tokens`, `cost_usd`: of all calls made for the rating; cost from the price list where the
  provider named none, null where neither is known. `provider`, `template_sha256`: of the last call.
"""

_HIGHER, _LOWER = "higher_is_better", "lower_is_better"


def build_ratings_long(
    scores: pl.DataFrame, essays: pl.DataFrame, models: pl.DataFrame, templates: pl.DataFrame, calls: pl.DataFrame
) -> pl.DataFrame:
    """The long table of ratings, in the order of the scores, each evaluation once; see `RATINGS_LONG_SCHEMA`.

    Args:
        scores: a frame of `PARSED_SCORES_SCHEMA`.
        essays: a frame of `ESSAYS_SCHEMA`; essays not in it have no length.
        models: a frame of `MODELS_SCHEMA`; models not in it have no family and no price.
        templates: a frame of `TEMPLATES_SCHEMA`; templates not in it measure themselves, higher is better.
        calls: a frame of `CALLS_SCHEMA`; rows of other stages are ignored.
    """
    constructs = dict(templates.select("template_id", "construct").rows())
    rows = with_construct(scores.unique("gen_id", keep="first", maintain_order=True), constructs)
    rows = _name_scales(rows).rename(
        {
            "parent_gen_id": "essay_gen_id",
            "generation_template": "essay_template",
            "generation_model": "generator_model",
            "evaluation_llm_model": "judge_model",
        }
    )
    families = models.select("llm_model_id", pl.col("family").replace("", None).alias("family"))
    joined = (
        rows.join(essays.unique("essay_gen_id"), on="essay_gen_id", how="left", maintain_order="left")
        .join(_renamed(families, "generator"), on="generator_model", how="left", maintain_order="left")
        .join(_renamed(families, "judge"), on="judge_model", how="left", maintain_order="left")
        .join(
            templates.select(pl.col("template_id").alias("evaluation_template"), "direction"),
            on="evaluation_template",
            how="left",
            maintain_order="left",
        )
        .join(_cost_of_ratings(calls, models), on="gen_id", how="left", maintain_order="left")
    )
    turned = pl.col("scale_min") + pl.col("scale_max") - pl.col("score")
    valid = pl.col("error").is_null() & pl.col("score").is_finite()
    complete = joined.with_columns(
        pl.col("direction").fill_null(_HIGHER),
        same_family=pl.col("generator_family") == pl.col("judge_family"),
        parse_status=pl.when(valid).then(pl.lit("ok")).otherwise(pl.col("error").fill_null("score_missing")),
    ).with_columns(
        score=pl.when(valid).then("score"),
        value=pl.when(valid & (pl.col("direction") == _LOWER)).then(turned).when(valid).then("score"),
    )
    return to_schema(complete, RATINGS_LONG_SCHEMA)


def select_rated(ratings: pl.DataFrame) -> pl.DataFrame:
    """The rows with a rating of a known essay by a known judge."""
    known = [pl.col(name).is_not_null() for name in ("essay_gen_id", "judge_model", "evaluation_template", "construct")]
    return ratings.filter(pl.col("value").is_finite(), *known)


def _name_scales(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds the scale to the name of a construct that is measured on more than one."""
    low, high = pl.col("scale_min"), pl.col("scale_max")
    known = low.is_not_null() & high.is_not_null()
    scales = pl.struct("scale_min", "scale_max").filter(known).n_unique().over("construct")
    number = [pl.col(name).round(6).cast(pl.String).str.strip_suffix(".0") for name in ("scale_min", "scale_max")]
    named = pl.format("{} [{}–{}]", "construct", *number)
    return rows.with_columns(construct=pl.when(known & (scales > 1)).then(named).otherwise("construct"))


def _renamed(families: pl.DataFrame, role: str) -> pl.DataFrame:
    return families.rename({"llm_model_id": f"{role}_model", "family": f"{role}_family"})


def _cost_of_ratings(calls: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """Tokens, cost, last provider and last text of the rubric by evaluation."""
    priced = with_list_prices(calls.filter(pl.col("stage") == "evaluation"), models)
    known = [pl.col(name).count() > 0 for name in ("prompt_tokens", "completion_tokens")]
    unknown_cost = pl.col("cost_usd").null_count() > 0
    return priced.group_by("gen_id").agg(
        pl.when(known[0]).then(pl.col("prompt_tokens").sum()).alias("prompt_tokens"),
        pl.when(known[1]).then(pl.col("completion_tokens").sum()).alias("completion_tokens"),
        pl.when(~unknown_cost).then(pl.col("cost_usd").sum()).alias("cost_usd"),
        pl.col("provider").drop_nulls().last(),
        pl.col("template_sha256").last(),
    )


def with_list_prices(calls: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """The calls with `cost_usd` filled in from tokens and list prices where the provider named no cost."""
    prices = models.select("llm_model_id", "price_prompt", "price_completion").unique("llm_model_id")
    listed = pl.col("prompt_tokens") * pl.col("price_prompt") + pl.col("completion_tokens") * pl.col("price_completion")
    return (
        calls.join(prices, on="llm_model_id", how="left", maintain_order="left")
        .with_columns(cost_usd=pl.coalesce("cost_usd", listed))
        .select(calls.columns)
    )
