"""Result tables on disk: CSV for people and Parquet beside it for programs, each written whole or not at all.

A table is rewritten also when it has become empty, so that no stale one stays behind.
"""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.store import files


def write_table(path: Path, table: pl.DataFrame) -> None:
    """Writes `<path>` as CSV and the same name with `.parquet`, in this order, so that the Parquet file is not older.

    Args:
        path: the CSV file.
        table: rows; an empty one gives a file with a header only.
    """
    parquet = io.BytesIO()
    table.write_parquet(parquet)
    files.write_bytes(path, table.write_csv().encode())
    files.write_bytes(path.with_suffix(".parquet"), parquet.getvalue())


def read_table(path: Path, made_by: str, *, as_text: bool = False) -> pl.DataFrame:
    """The table of a CSV path, from the Parquet file beside it unless the CSV file was written later, as by hand.

    Args:
        path: the CSV file.
        made_by: the command that makes it, for the error's fix.
        as_text: every cell of a CSV file as text, for those who know better than to guess types from the cells.

    Raises:
        StoreError: missing or damaged.
    """
    parquet = path.with_suffix(".parquet")
    try:
        if parquet.exists() and (not path.exists() or parquet.stat().st_mtime_ns >= path.stat().st_mtime_ns):
            return pl.read_parquet(parquet)
        return pl.read_csv(path, infer_schema=not as_text, infer_schema_length=None)
    except FileNotFoundError as error:
        raise StoreError(f"There is no table {path}.", fix=made_by, reason="table_missing") from error
    except pl.exceptions.PolarsError as error:
        raise StoreError(f"{path} is not a readable table ({error}).", fix=made_by, reason="table_damaged") from error
