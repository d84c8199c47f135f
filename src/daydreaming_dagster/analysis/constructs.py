"""What a rubric measures, and on which scale: the groups within which scores may be averaged at all.

A mean over novelty and coherence is a number without a meaning, and so is one over a 0-9 and a 0-5 scale. Every
summary is therefore made per measure: the construct that the evaluation template declares, and the template itself
where none is declared.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from daydreaming_dagster.analysis.schema import Schema

MEASURE: Schema = {"construct": pl.String(), "scale_min": pl.Float64(), "scale_max": pl.Float64()}
"""Columns that say what a row of a summary is about; scores of different measures are never in one row."""


def with_construct(scores: pl.DataFrame, constructs: Mapping[str, str] | None) -> pl.DataFrame:
    """The scores with a column `construct`, the template's own id where its construct is not declared.

    Args:
        scores: a frame of `PARSED_SCORES_SCHEMA`.
        constructs: construct by evaluation template; blank or absent means undeclared.
    """
    declared = {template: construct for template, construct in (constructs or {}).items() if construct}
    template = pl.col("evaluation_template")
    return scores.with_columns(construct=template.replace_strict(declared, default=template, return_dtype=pl.String))
