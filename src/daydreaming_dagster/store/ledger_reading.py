"""Reading the ledger's calls for tables: a look at the file that makes none, changes nothing and waits for nobody."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from daydreaming_dagster.store.cache_files import can_write
from daydreaming_dagster.store.ledger import explain_sqlite_errors
from daydreaming_dagster.store.paths import DataPaths


def read_call_columns(paths: DataPaths, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Some fields of `CallRow` of all calls, oldest first; none where there is no ledger.

    Raises:
        StoreError: the file is damaged.
    """
    if not paths.ledger.exists():
        return []
    # What has no writers' log beside it is whole in itself; opened as unchanging, SQLite makes no files of its own.
    is_live = paths.ledger.with_name(f"{paths.ledger.name}-wal").exists() and can_write(paths.ledger)
    address = f"{paths.ledger.absolute().as_uri()}?{'mode=ro' if is_live else 'immutable=1'}"
    with explain_sqlite_errors(paths), closing(sqlite3.connect(address, uri=True, timeout=60.0)) as database:
        return database.execute(f"SELECT {', '.join(names)} FROM calls ORDER BY sent_at, call_id").fetchall()
