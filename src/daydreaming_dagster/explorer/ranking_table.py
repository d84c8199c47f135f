"""The ranking of essays, where the analysis has made one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.store.paths import DataPaths

_COLUMNS = ("construct", "id", "rank", "raw_mean", "shrunken", "low", "high", "p_top_k", "k")


def find_table(paths: DataPaths, name: str) -> Path | None:
    """The CSV of a result table, of the current cohort before that over all; None when it was not made yet."""
    places = (paths.summary, paths.cross_experiment, paths.parsing)
    return next((path for folder in places if (path := folder / f"{name}.csv").is_file()), None)


def find_ranking(paths: DataPaths) -> Path | None:
    """The table `ranking`; None when it was not made yet."""
    return find_table(paths, "ranking")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a result table; none when it is damaged, which the page says that shows it."""
    from daydreaming_dagster.store.tables import read_table  # polars is only needed where there are tables

    try:
        return read_table(path, "daydreaming run").to_dicts()
    except StoreError:
        return []


def read_ranking_rows(path: Path) -> list[tuple[Any, ...]]:
    """Rows of the essays for the index's table `ranking`."""
    rows = (row for row in read_rows(path) if row.get("level") == "essay")
    return [tuple(row.get(column) for column in _COLUMNS) for row in rows]
