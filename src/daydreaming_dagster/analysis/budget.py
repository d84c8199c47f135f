"""What was spent on what: calls, tokens, money and time."""

from __future__ import annotations

import polars as pl

from daydreaming_dagster.analysis.ratings import CALLS_SCHEMA, with_list_prices
from daydreaming_dagster.analysis.schema import Schema, to_schema

ACCEPTED_SCHEMA: Schema = {"essay_gen_id": pl.String(), "generator_model": pl.String()}
"""One row per essay that counts as a result."""

SPENDING_SCHEMA: Schema = {**CALLS_SCHEMA, "cost_usd_at_most": pl.Float64(), "tokens_at_most": pl.Int64()}
"""One row per call that was paid for, answered or not; the upper bounds are null where nobody set any."""

BUDGET_SCHEMA: Schema = {
    "level": pl.String(),
    "stage": pl.String(),
    "llm_model_id": pl.String(),
    "template_id": pl.String(),
    "generations": pl.Int64(),
    "calls": pl.Int64(),
    "failed_calls": pl.Int64(),
    "prompt_tokens": pl.Int64(),
    "completion_tokens": pl.Int64(),
    "cost_usd": pl.Float64(),
    "calls_of_unknown_cost": pl.Int64(),
    "unknown_cost_usd_at_most": pl.Float64(),
    "unknown_tokens_at_most": pl.Int64(),
    "duration_s": pl.Float64(),
    "accepted_ideas": pl.Int64(),
    "cost_usd_per_accepted_idea": pl.Float64(),
}
"""One row per part of the spending; `level` says which columns name it.

- `total`; `stage`; `model` (stage and model); `template` (stage, model and template); `generator`: drafts and essays of
  one model, for what its accepted ideas cost.
- `calls` of which `failed_calls` gave no usable answer, or none at all; where there is no ledger, only those that left
  a response. `duration_s` adds up calls, which may have run side by side.
- `cost_usd` adds up the known costs and leaves out `calls_of_unknown_cost`; it is null when none is known. These came
  to `unknown_cost_usd_at_most`, the worst case set aside for them; null when that is not known of all of them.
- `prompt_tokens` and `completion_tokens` are those that were told. Calls that told none, being lost or answered without
  a count, used up to `unknown_tokens_at_most` besides; null when that is not known of all of them.
- `accepted_ideas`, `cost_usd_per_accepted_idea`: for `total` (all stages) and `generator`; null without accepted ideas.
"""

_LEVELS: dict[str, tuple[str, ...]] = {
    "total": (),
    "stage": ("stage",),
    "model": ("stage", "llm_model_id"),
    "template": ("stage", "llm_model_id", "template_id"),
}
_NAMES = ("stage", "llm_model_id", "template_id")


def build_budget(calls: pl.DataFrame, models: pl.DataFrame, accepted: pl.DataFrame) -> pl.DataFrame:
    """The spending by stage, model and template; see `BUDGET_SCHEMA`. Without calls only the header.

    Args:
        calls: a frame of `SPENDING_SCHEMA`.
        models: a frame of `MODELS_SCHEMA`, for the prices where the provider named no cost.
        accepted: a frame of `ACCEPTED_SCHEMA`.
    """
    # Where a worst case was set aside the engine knew the prices, too: what it could not tell by them stays unknown.
    is_bounded = pl.col("cost_usd_at_most").is_not_null()
    priced = pl.concat([calls.filter(is_bounded), with_list_prices(calls.filter(~is_bounded), models)])
    levels = [_sum_up(priced, level, keys) for level, keys in _LEVELS.items()]
    written = priced.filter(pl.col("stage").is_in(["draft", "essay"]))
    levels.append(_sum_up(written, "generator", ("llm_model_id",)))
    table = pl.concat(levels)
    by_model = accepted.group_by(pl.col("generator_model").alias("llm_model_id")).agg(pl.len().alias("by_model"))
    ideas = (
        pl.when(pl.col("level") == "total")
        .then(pl.lit(accepted.height, dtype=pl.Int64))
        .when(pl.col("level") == "generator")
        .then(pl.col("by_model").cast(pl.Int64).fill_null(0))
    )
    counted = table.join(by_model, on="llm_model_id", how="left", maintain_order="left").with_columns(
        accepted_ideas=ideas
    )
    some = pl.col("accepted_ideas") > 0
    priced_ideas = counted.with_columns(
        cost_usd_per_accepted_idea=pl.when(some).then(pl.col("cost_usd") / pl.col("accepted_ideas"))
    )
    return to_schema(priced_ideas, BUDGET_SCHEMA)


def with_no_bounds(calls: pl.DataFrame) -> pl.DataFrame:
    """Calls of `CALLS_SCHEMA` as a frame of `SPENDING_SCHEMA`: nobody knows what the uncounted ones can have taken."""
    return to_schema(calls.with_columns(cost_usd_at_most=None, tokens_at_most=None), SPENDING_SCHEMA)


def select_accepted(ranking: pl.DataFrame, construct: str, at_least: float) -> pl.DataFrame:
    """Essays whose estimate on a construct reaches a number of points, as a frame of `ACCEPTED_SCHEMA`.

    Args:
        ranking: a frame of `RANKING_SCHEMA`.
        construct: what the idea has to be good at.
        at_least: points; compared with the shrunken estimate, or with the adjusted mean where there is none.
    """
    good = pl.coalesce("shrunken", "adjusted_mean") >= at_least
    chosen = ranking.filter(pl.col("construct") == construct, pl.col("level") == "essay", good)
    return to_schema(chosen.with_columns(essay_gen_id="id"), ACCEPTED_SCHEMA)


def _sum_up(calls: pl.DataFrame, level: str, keys: tuple[str, ...]) -> pl.DataFrame:
    cost = pl.col("cost_usd")
    bounds = pl.col("cost_usd_at_most").filter(cost.is_null())
    untold = pl.all_horizontal(pl.col("prompt_tokens", "completion_tokens").is_null())
    token_bounds = pl.col("tokens_at_most").filter(untold)
    figures = (
        calls.with_columns(pl.lit(level).alias("level"))
        .group_by("level", *keys)
        .agg(
            pl.col("gen_id").n_unique().cast(pl.Int64).alias("generations"),
            pl.len().cast(pl.Int64).alias("calls"),
            (pl.col("status") != "ok").sum().cast(pl.Int64).alias("failed_calls"),
            pl.col("prompt_tokens").sum(),
            pl.col("completion_tokens").sum(),
            pl.when(cost.count() > 0).then(cost.sum()).alias("cost_usd"),
            cost.null_count().cast(pl.Int64).alias("calls_of_unknown_cost"),
            pl.when(bounds.null_count() == 0).then(bounds.sum()).alias("unknown_cost_usd_at_most"),
            pl.when(token_bounds.null_count() == 0).then(token_bounds.sum()).alias("unknown_tokens_at_most"),
            pl.col("duration_s").sum(),
        )
    )
    missing = [pl.lit(None, dtype=pl.String).alias(name) for name in _NAMES if name not in keys]
    columns = [name for name in BUDGET_SCHEMA if "accepted" not in name]
    return figures.with_columns(missing).select(columns).sort(*_NAMES)
