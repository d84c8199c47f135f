"""Tables of scores as they lie on disk, written by this program, by hand or by another one."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from daydreaming_dagster.analysis.parsed_scores import PARSED_SCORES_SCHEMA
from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.store.tables import read_table

_NEEDED = ("gen_id", "parent_gen_id", "evaluation_template", "evaluation_llm_model", "score")


def read_scores(path: Path, made_by: str) -> pl.DataFrame:
    """A table of scores with the columns and types of `PARSED_SCORES_SCHEMA`.

    Columns that it lacks are null. A score that is no finite number counts as an error, so that no row without a score
    looks like one with a score.

    Args:
        path: the CSV file.
        made_by: the command that makes it, for the error's fix.

    Raises:
        StoreError: missing or damaged, without the columns that tell rows apart, or with a cell that is no number.
    """
    table = read_table(path, made_by, as_text=True)
    lacking = [name for name in _NEEDED if name not in table.columns]
    if lacking:
        raise StoreError(
            f"{path} is no table of scores: it has no column {', '.join(lacking)}.", fix=made_by, reason="table_damaged"
        )
    columns = [_read_column(path, table, name, dtype) for name, dtype in PARSED_SCORES_SCHEMA.items()]
    finite = pl.col("score").is_finite()
    return pl.DataFrame(columns).with_columns(
        score=pl.when(finite).then("score"),
        error=pl.when(finite | pl.col("error").is_not_null())
        .then("error")
        .when(pl.col("score").is_null())
        .then(pl.lit("score_missing"))
        .otherwise(pl.lit("score_not_finite")),
    )


def _read_column(path: Path, table: pl.DataFrame, name: str, dtype: pl.DataType) -> pl.Series:
    if name not in table.columns:
        return pl.Series(name, [None] * table.height, dtype=dtype)
    cells = table[name]
    if dtype.is_integer() and cells.dtype == pl.String:
        cells = cells.str.strip_suffix(".0")
    column = cells.cast(dtype, strict=False)
    wrong = (cells.is_not_null() & column.is_null()).arg_true()
    if wrong.len():
        raise StoreError(
            f"{path}: the {name} of {table['gen_id'][wrong[0]]} is '{cells[wrong[0]]}', which is not a number.",
            fix="Write a number, or nothing: an evaluation without a score has its reason in the column error.",
            reason="table_damaged",
        )
    return column
