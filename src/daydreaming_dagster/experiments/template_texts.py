"""With which text of its template each generation was made: a template that is edited keeps its name."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from daydreaming_dagster.analysis.schema import Schema, table_of_rows
from daydreaming_dagster.domain.catalogue import Catalogue
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.experiments.report_wording import join_words
from daydreaming_dagster.utils.wording import show_count

TEXTS_SCHEMA: Schema = {
    "stage": pl.String(),
    "template_id": pl.String(),
    "template_sha256": pl.String(),
    "generations": pl.Int64(),
    "is_today": pl.Boolean(),
}
"""One row per template and text of it that was sent, most used first.

`template_sha256` is null for generations that do not say with which text they were made; `is_today` is whether it is
the text in the input files now, null when one of the two is not known.
"""

_TEMPLATE = ["stage", "template_id"]
_SHOWN_DIGITS = 12


def count_texts(calls: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """How many generations with a usable answer were made with which text: a frame of `TEXTS_SCHEMA`.

    Args:
        calls: a frame of `CALLS_SCHEMA`.
        catalogue: the inputs of today.
    """
    today = [
        {"stage": str(stage), "template_id": template.template_id, "today": template.sha256}
        for stage in Stage
        for template in catalogue.templates[stage].values()
    ]
    known = table_of_rows(today, dict.fromkeys((*_TEMPLATE, "today"), pl.String()))
    last = calls.unique("gen_id", keep="last").filter(pl.col("status") == "ok")
    used = last.group_by(*_TEMPLATE, "template_sha256").agg(generations=pl.len().cast(pl.Int64))
    return (
        used.join(known, on=_TEMPLATE, how="left")
        .with_columns(is_today=pl.col("template_sha256") == pl.col("today"))
        .sort(*_TEMPLATE, "generations", "template_sha256", descending=[False, False, True, False])
        .select(TEXTS_SCHEMA.keys())
    )


def find_mixed(texts: pl.DataFrame) -> pl.DataFrame:
    """The rows of templates of which several texts were sent, or of which it is partly unknown."""
    return texts.filter(pl.len().over(_TEMPLATE) > 1)


def describe_texts(texts: pl.DataFrame) -> Iterator[str]:
    """What to know of templates that were not always sent as they stand today; nothing when all were."""
    for (stage, template_id), rows in texts.group_by(_TEMPLATE, maintain_order=True):
        counts = dict(rows.select("template_sha256", "generations").iter_rows())
        total, unknown = show_count(sum(counts.values()), str(stage)), counts.pop(None, 0)
        name = f"{'rubric' if stage == Stage.EVALUATION else f'{stage} template'} {template_id}"
        if older := int(rows.filter(pl.col("is_today").not_())["generations"].sum()):
            yield f"{older} of {total} used an older text of the {name} than the one in the input files today."
        if unknown:
            yield f"With which text of the {name} {unknown} of {total} were made is not known."
        if len(counts) > 1:
            shown = join_words([f"{show_sha256(sha)} ({count} times)" for sha, count in counts.items()])
            yield f"Different texts of the {name} were sent, by SHA-256 {shown}: every figure on it mixes them."


def show_sha256(sha256: str | None) -> str:
    """The first digits, enough to tell texts apart; `unknown` without."""
    return "unknown" if sha256 is None else f"{sha256[:_SHOWN_DIGITS]}…"
