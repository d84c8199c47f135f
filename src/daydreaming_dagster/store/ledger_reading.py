"""Reading the ledger's calls for tables: a look at the file that makes none, changes nothing and waits for nobody."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from daydreaming_dagster.store.cache_files import open_for_reading
from daydreaming_dagster.store.ledger import explain_sqlite_errors
from daydreaming_dagster.store.paths import DataPaths


def read_call_columns(paths: DataPaths, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Some fields of `CallRow` of all calls, oldest first; none where there is no ledger.

    Raises:
        StoreError: the file is damaged.
    """
    if not paths.ledger.exists():
        return []
    with explain_sqlite_errors(paths), closing(open_for_reading(paths.ledger)) as database:
        return database.execute(f"SELECT {', '.join(names)} FROM calls ORDER BY sent_at, call_id").fetchall()
