from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from tests.store.outcomes import make_call

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.store.ledger import Ledger
from daydreaming_dagster.store.ledger_reading import read_call_columns
from daydreaming_dagster.store.paths import DataPaths

CALLS = [make_call("call-2", sent_at=2.0), make_call("call-1", sent_at=1.0)]


def test_where_no_ledger_is_none_is_made(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    assert read_call_columns(paths, ["call_id"]) == []
    assert list(tmp_path.iterdir()) == []


def test_calls_come_oldest_first_and_reading_leaves_no_trace(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    with closing(Ledger(paths)) as ledger:
        ledger.record(CALLS)
    before = {path: path.stat().st_mtime_ns for path in paths.ledger.parent.iterdir()}
    assert read_call_columns(paths, ["call_id", "reserved_usd"]) == [("call-1", 0.5), ("call-2", 0.5)]
    assert {path: path.stat().st_mtime_ns for path in paths.ledger.parent.iterdir()} == before


def test_what_a_run_has_just_written_is_seen(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    with closing(Ledger(paths)) as ledger:
        ledger.record(CALLS)
        assert len(read_call_columns(paths, ["call_id"])) == 2


def test_a_damaged_ledger_is_an_error_with_a_fix(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    paths.ledger.parent.mkdir(parents=True)
    paths.ledger.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="cannot be used") as caught:
        read_call_columns(paths, ["call_id"])
    assert caught.value.fix
