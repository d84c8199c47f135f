"""Which calls a scope paid for: those of the ledger, answered or not, and of older generations what their files say."""

from __future__ import annotations

from contextlib import closing

import polars as pl

from daydreaming_dagster.analysis.budget import SPENDING_SCHEMA, with_no_bounds
from daydreaming_dagster.analysis.schema import Schema, to_schema
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.scope import Scope
from daydreaming_dagster.store.ledger import CallState, Ledger

_LEDGER: Schema = {
    "gen_id": pl.String(),
    "stage": pl.String(),
    "template_id": pl.String(),
    "llm_model_id": pl.String(),
    "cohort_id": pl.String(),
    "state": pl.String(),
    "reason": pl.String(),
    "sent_at": pl.Float64(),
    "ended_at": pl.Float64(),
    "reserved_usd": pl.Float64(),
    "reserved_tokens": pl.Int64(),
    "prompt_tokens": pl.Int64(),
    "completion_tokens": pl.Int64(),
    "cost_usd": pl.Float64(),
}
"""Fields of `CallRow`."""


def read_spending(workspace: Workspace, scope: Scope, responses: pl.DataFrame) -> pl.DataFrame:
    """A frame of `SPENDING_SCHEMA`.

    A cohort's are the calls that the ledger counts against it, as `daydreaming budget` does: responses it took over
    from another cohort were paid there. Of anything else, they are all calls for its generations.

    Args:
        workspace: the data root.
        scope: what was paid for.
        responses: of its generations: a frame of `CALLS_SCHEMA`. They tell which answers could be used, and are all
            there is to tell of generations that the ledger knows nothing of.
    """
    with closing(Ledger(workspace.paths, read_only=True)) as calls:
        ledger = pl.DataFrame(calls.read_columns(list(_LEDGER)), schema=_LEDGER, orient="row")
    before_it = with_no_bounds(responses.join(ledger.select("gen_id").unique(), on="gen_id", how="anti"))
    if scope.kind == "cohort":
        paid = ledger.filter(pl.col("cohort_id") == scope.name)
    else:
        paid = ledger.filter(pl.col("gen_id").is_in([member.gen_id for member in scope.members]))
    return pl.concat([before_it, _judge_answers(paid, responses)])


def _judge_answers(paid: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    """The ledger's calls with what became of their answers, which only the stored responses say.

    The last answers are those that are stored; a generation's failure without an answer, stored last, has none.
    """
    answered = pl.col("state") == CallState.ANSWERED
    of_gen = answered.sum().over("gen_id")
    numbered = paid.with_columns(at=pl.when(answered).then(answered.cum_sum().over("gen_id")), answers=of_gen)
    counts = numbered.group_by("gen_id").agg(pl.col("answers").first())
    verdicts = (
        responses.join(counts, on="gen_id")
        .with_columns(skipped=(pl.col("answers").cast(pl.Int64) - pl.len().over("gen_id")).clip(lower_bound=0))
        .select("gen_id", "status", at=(pl.int_range(1, pl.len() + 1).over("gen_id") + pl.col("skipped")))
    )
    told = numbered.with_columns(pl.col("at").cast(pl.Int64)).join(
        verdicts, on=["gen_id", "at"], how="left", maintain_order="left"
    )
    tokens = ("prompt_tokens", "completion_tokens")
    failed = pl.col("state") == CallState.FAILED
    free = failed & pl.col("cost_usd").is_null()
    unused = failed & pl.all_horizontal(pl.col(tokens).is_null())
    complete = told.with_columns(
        status=pl.when(answered).then(pl.col("status").fill_null("ok")).otherwise("reason"),
        cost_usd=pl.when(free).then(0.0).otherwise("cost_usd"),
        cost_usd_at_most="reserved_usd",
        tokens_at_most="reserved_tokens",
        **{name: pl.when(unused).then(0).otherwise(name) for name in tokens},
        duration_s=pl.col("ended_at") - pl.col("sent_at"),
        provider=pl.lit(None, dtype=pl.String),
        template_sha256=pl.lit(None, dtype=pl.String),
    )
    return to_schema(complete, SPENDING_SCHEMA)
