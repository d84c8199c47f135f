"""A table is a CSV file for people and a Parquet file for programs, and what somebody edits is what is read."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.store.tables import read_table, write_table

MADE_BY = "Make it."
TABLE = pl.DataFrame({"name": ["a", "007"], "score": [1.0, None]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "scores.csv"
    write_table(path, TABLE)
    return path


def test_a_table_is_read_back_with_its_types(path: Path) -> None:
    assert read_table(path, MADE_BY).equals(TABLE)


def test_the_parquet_file_is_never_older_than_the_csv_file_it_was_written_with(path: Path) -> None:
    assert path.with_suffix(".parquet").stat().st_mtime_ns >= path.stat().st_mtime_ns


def test_a_csv_file_edited_a_moment_later_is_what_is_read(path: Path) -> None:
    path.write_text("name,score\nedited,9.0\n")
    later = path.with_suffix(".parquet").stat().st_mtime_ns + 1_000_000
    os.utime(path, ns=(later, later))
    assert read_table(path, MADE_BY)["name"].to_list() == ["edited"]


@pytest.mark.parametrize("left", [".csv", ".parquet"])
def test_one_of_the_two_files_is_enough(path: Path, left: str) -> None:
    for suffix in {".csv", ".parquet"} - {left}:
        path.with_suffix(suffix).unlink()
    assert read_table(path, MADE_BY).height == 2


def test_a_table_without_rows_keeps_its_columns(path: Path) -> None:
    write_table(path, TABLE.clear())
    assert read_table(path, MADE_BY).schema == TABLE.schema
    assert path.read_text() == "name,score\n"


def test_a_table_that_is_not_there_or_not_readable_is_an_error_that_says_who_makes_it(path: Path) -> None:
    with pytest.raises(StoreError, match="no table") as missing:
        read_table(path.with_name("other.csv"), MADE_BY)
    assert (missing.value.reason, missing.value.fix) == ("table_missing", MADE_BY)
    path.with_suffix(".parquet").write_bytes(b"no parquet")
    with pytest.raises(StoreError, match="not a readable table") as damaged:
        read_table(path, MADE_BY)
    assert damaged.value.reason == "table_damaged"
