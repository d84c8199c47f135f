"""Columns and types of a table, declared once beside the function that builds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

Schema = dict[str, pl.DataType]
"""Column names in order, with their types."""


def to_schema(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """The schema's columns, in its order and types; other columns are left out."""
    return frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def table_of_rows(rows: Iterable[Mapping[str, object]], schema: Schema) -> pl.DataFrame:
    """A table of the schema from rows; a column that a row does not have is null in it."""
    known = list(rows)
    return pl.DataFrame({name: [row.get(name) for row in known] for name in schema}, schema=schema)
