from __future__ import annotations

import itertools
import logging
import multiprocessing
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    DynamicPartitionsDefinition,
    EventLogEntry,
    RunsFilter,
)
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.events import AssetMaterializationPlannedData, AssetObservationData, StepMaterializationData
from dagster._core.storage.event_log.base import AssetRecordsFilter
from dagster._core.storage.event_log.schema import AssetKeyTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select
from sqlalchemy.exc import OperationalError

from daydreaming_dagster.resources.event_log import BatchedSqliteEventLogStorage
from daydreaming_dagster.resources.event_rows import Materialization
from daydreaming_dagster.resources.recorder import EventRecorder, FailedMaterialization

from .homes import BATCHED, STOCK, add_run, open_home

MADE, PLANNED, OBSERVED = "ASSET_MATERIALIZATION", "ASSET_MATERIALIZATION_PLANNED", "ASSET_OBSERVATION"
ASSETS = ("draft_prompt", "draft_raw")
RUNS = ("3c1cbb40-50b6-4b8a-a8ad-000000000001", "3c1cbb40-50b6-4b8a-a8ad-000000000002")
PARTITIONS = DynamicPartitionsDefinition(name="drafts")


@pytest.fixture
def instance(home: Path) -> Iterator[DagsterInstance]:
    with open_home(home, BATCHED) as opened:
        yield opened


@pytest.fixture(scope="module")
def both_logs(tmp_path_factory: pytest.TempPathFactory, empty_home: Path) -> Iterator[list[DagsterInstance]]:
    """An instance with the stock event log and one with batches, for tests that write the same into both."""
    homes = tmp_path_factory.mktemp("both")
    for name in ("stock", "batched"):
        shutil.copytree(empty_home, homes / name)
    with open_home(homes / "stock", STOCK) as stock, open_home(homes / "batched", BATCHED) as batched:
        yield [stock, batched]


def build_entry(kind: str, asset: str, partition: str | None, run_id: str, at: float) -> EventLogEntry:
    key = AssetKey(asset)
    tags = {DATA_VERSION_TAG: f"{asset}-{at}"}
    data = {
        MADE: StepMaterializationData(AssetMaterialization(key, partition=partition, tags=tags)),
        OBSERVED: AssetObservationData(AssetObservation(key, partition=partition, tags=tags)),
        PLANNED: AssetMaterializationPlannedData(key, partition=partition),
    }.get(kind)
    event = data and DagsterEvent(event_type_value=kind, job_name="bulk", event_specific_data=data)
    return EventLogEntry(None, logging.INFO, f"said at {at}", run_id, at, job_name="bulk", dagster_event=event)


entries = st.tuples(
    st.sampled_from([MADE, PLANNED, OBSERVED, "message"]),
    st.sampled_from(ASSETS),
    st.sampled_from(["a", "b", "c", None]),
    st.sampled_from(RUNS),
)


def read_everything(instance: DagsterInstance) -> dict[str, Any]:
    """All that Dagster's pages ask an event log for, and what the assets' rows say."""
    log = instance.event_log_storage
    assert isinstance(log, SqlEventLogStorage)
    columns = AssetKeyTable.c
    found: dict[str, Any] = {
        run_id: [(record.storage_id, record.event_log_entry) for record in log.get_records_for_run(run_id).records]
        for run_id in RUNS
    }
    for asset in ASSETS:
        key = AssetKey(asset)
        filters = AssetRecordsFilter(asset_key=key)
        records = instance.get_asset_records([key])
        found[asset] = (
            [record.asset_entry for record in records],
            log.get_materialized_partitions(key),
            log.get_latest_asset_partition_materialization_attempts_without_materializations(key),
            log.get_latest_storage_id_by_partition(key, DagsterEventType.ASSET_MATERIALIZATION),
            log.get_latest_tags_by_partition(key, DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]),
            log.get_event_tags_for_asset(key),
            log.fetch_materializations(filters, limit=100).records,
            log.fetch_observations(filters, limit=100).records,
            log.get_latest_planned_materialization_info(key),
        )
    with log.index_connection() as connection:
        rows = select(columns.asset_key, columns.last_run_id, columns.last_materialization_timestamp)
        found["rows"] = connection.execute(rows.order_by(columns.asset_key)).all()
    return found


clock = itertools.count(1000)


@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(events=st.lists(entries, min_size=1, max_size=30), cut=st.integers(0, 30))
@example(events=[(kind, "draft_raw", "a", RUNS[0]) for kind in (MADE, PLANNED, MADE)], cut=3)
def test_batches_leave_the_records_that_single_events_leave(
    both_logs: list[DagsterInstance], events: list[tuple[str, str, str | None, str]], cut: int
) -> None:
    """Each example adds to what the earlier ones have left in both logs."""
    stock, batched = both_logs
    log = [build_entry(*event, at=float(next(clock))) for event in events]
    for entry in log:
        stock.event_log_storage.store_event(entry)
    batched.event_log_storage.store_event_batch(log[:cut])
    batched.event_log_storage.store_event_batch(log[cut:])
    assert read_everything(batched) == read_everything(stock)


def test_dagster_yaml_gets_the_class_that_it_names(instance: DagsterInstance) -> None:
    assert type(instance.event_log_storage) is BatchedSqliteEventLogStorage


def test_the_stock_storage_reads_and_continues_what_batches_wrote_and_the_other_way_round(
    home: Path,
) -> None:
    for configuration, partition in ((BATCHED, "a"), (STOCK, "b"), (BATCHED, "c")):
        with open_home(home, configuration) as instance:
            run = add_run(instance)
            EventRecorder(instance, run).record(materializations([partition]))
    with open_home(home, STOCK) as instance:
        assert instance.get_materialized_partitions(AssetKey("draft_raw")) == {"a", "b", "c"}
        latest = instance.get_latest_materialization_event(AssetKey("draft_raw"))
        assert latest is not None
        assert latest.run_id == run.run_id


def test_events_of_other_kinds_keep_their_place_among_batched_ones(instance: DagsterInstance) -> None:
    kinds = [MADE, "message", OBSERVED, "message", MADE]
    log = [build_entry(kind, "draft_raw", "a", RUNS[0], at=float(i)) for i, kind in enumerate(kinds)]
    instance.event_log_storage.store_event_batch(log)
    assert [record.event_log_entry for record in instance.get_records_for_run(RUNS[0]).records] == log


def test_partitions_are_shown_as_made_in_progress_and_failed(instance: DagsterInstance) -> None:
    key = AssetKey("draft_raw")

    def statuses() -> tuple[set[str], set[str], set[str]]:
        status = get_and_update_asset_status_cache_value(instance, key, PARTITIONS)
        assert status is not None
        return tuple(
            set(subset.get_partition_keys())
            for subset in (
                status.deserialize_materialized_partition_subsets(PARTITIONS),
                status.deserialize_in_progress_partition_subsets(PARTITIONS),
                status.deserialize_failed_partition_subsets(PARTITIONS),
            )
        )

    instance.add_dynamic_partitions("drafts", ["a", "b", "c"])
    first = add_run(instance)
    EventRecorder(instance, first).record([*materializations("a"), failure("b")])
    assert statuses() == ({"a"}, {"b"}, set())
    instance.report_run_failed(first)
    assert statuses() == ({"a"}, set(), {"b"})
    second = add_run(instance)
    EventRecorder(instance, second).record(materializations("bc"))
    instance.report_run_failed(second)
    assert statuses() == ({"a", "b", "c"}, set(), set())


def test_a_wiped_asset_shows_only_what_was_recorded_afterwards(instance: DagsterInstance) -> None:
    key, recorder = AssetKey("draft_raw"), EventRecorder(instance, add_run(instance))
    recorder.record(materializations("ab"))
    instance.wipe_assets([key])
    assert instance.get_latest_materialization_event(key) is None
    assert instance.get_materialized_partitions(key) == set()
    recorder.record(materializations("c"))
    assert instance.get_materialized_partitions(key) == {"c"}


def test_failures_of_an_asset_can_be_paged_through(instance: DagsterInstance) -> None:
    recorder = EventRecorder(instance, add_run(instance))
    recorder.record([failure("a"), *materializations("b"), failure("c"), failure("d")])
    log, found, cursor, more = instance.event_log_storage, [], None, True
    while more:
        page = log.fetch_failed_materializations(AssetKey("draft_raw"), limit=2, cursor=cursor)
        found += [record.partition_key for record in page.records]
        cursor, more = page.cursor, page.has_more
    assert found == ["d", "c", "a"]
    only_a = AssetRecordsFilter(asset_key=AssetKey("draft_raw"), asset_partitions=["a"])
    assert [record.partition_key for record in log.fetch_failed_materializations(only_a, limit=5).records] == ["a"]


def test_a_reader_sees_whole_batches(instance: DagsterInstance, home: Path) -> None:
    batches, per_batch = 6, 50
    recorder = EventRecorder(instance, add_run(instance))
    seen: set[int] = set()
    done = threading.Event()

    def read() -> None:
        with sqlite3.connect(home / "history" / "runs" / "index.db") as index:
            while True:
                last_round = done.is_set()
                seen.add(index.execute("SELECT count(*) FROM event_logs").fetchone()[0])
                if last_round:
                    break
        index.close()

    reader = threading.Thread(target=read)
    reader.start()
    for batch in range(batches):
        recorder.record(materializations(f"{batch}-{i}" for i in range(per_batch)))
    done.set()
    reader.join()
    assert seen <= {count * per_batch for count in range(batches + 1)}
    assert max(seen) == batches * per_batch


class LockReleasingStorage(BatchedSqliteEventLogStorage):
    """Meets a locked index at the first try, and a free one at the second."""

    def __init__(self, base_dir: str, other_writer: sqlite3.Connection) -> None:
        super().__init__(base_dir)
        self.other_writer = other_writer
        self.tries = 0

    def index_transaction(self) -> AbstractContextManager[Connection]:
        self.tries += 1
        if self.tries == 2:
            self.other_writer.rollback()
        return super().index_transaction()


@pytest.fixture
def locked_index(
    instance: DagsterInstance, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[sqlite3.Connection]:
    """Another process's connection, in the middle of a transaction; nobody waits for it."""
    monkeypatch.setattr(sqlite_event_log, "SQLITE_BUSY_TIMEOUT_SECONDS", 0)
    other = sqlite3.connect(home / "history" / "runs" / "index.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


def test_a_batch_waits_for_other_writers(locked_index: sqlite3.Connection, home: Path) -> None:
    storage = LockReleasingStorage(str(home / "history" / "runs"), locked_index)
    storage.store_event_batch([build_entry(MADE, "draft_raw", "a", RUNS[0], at=1.0)])
    assert storage.tries == 2
    assert storage.get_materialized_partitions(AssetKey("draft_raw")) == {"a"}


def test_a_batch_that_cannot_be_stored_leaves_nothing_behind(
    locked_index: sqlite3.Connection, instance: DagsterInstance
) -> None:
    entry = build_entry(MADE, "draft_raw", "a", RUNS[0], at=1.0)
    with pytest.raises(OperationalError, match="database is locked"):
        instance.event_log_storage.store_event_batch([entry, entry])
    locked_index.rollback()
    assert instance.get_records_for_run(RUNS[0]).records == []
    assert instance.get_materialized_partitions(AssetKey("draft_raw")) == set()


@pytest.mark.slow
def test_several_processes_record_into_one_home(home: Path) -> None:
    writers, batches, per_batch = 2, 8, 200
    with open_home(home, BATCHED):
        pass
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=record_many, args=(home, n, batches, per_batch)) for n in range(writers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * writers
    with open_home(home, BATCHED) as instance:
        key = AssetKey("draft_raw")
        assert len(instance.get_materialized_partitions(key)) == writers * batches * per_batch
        newest = instance.fetch_materializations(key, limit=1).records[0].storage_id
        record = instance.get_asset_records([key])[0]
        assert record.asset_entry.last_materialization_storage_id == newest
        for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED])):
            assert len(instance.get_records_for_run(run.run_id).records) == batches * per_batch


def record_many(home: Path, writer: int, batches: int, per_batch: int) -> None:
    with DagsterInstance.from_config(str(home)) as instance:
        recorder = EventRecorder(instance, add_run(instance))
        for batch in range(batches):
            recorder.record(materializations(f"{writer}-{batch}-{i}" for i in range(per_batch)))


def materializations(partitions: Iterable[str]) -> Sequence[Materialization]:
    return [Materialization("draft_raw", partition, {}) for partition in partitions]


def failure(partition: str) -> FailedMaterialization:
    return FailedMaterialization("draft_raw", partition, "The response was truncated.")
