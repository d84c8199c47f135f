from __future__ import annotations

from pathlib import Path

import pytest
from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterEventType,
    DagsterInstance,
    EventLogEntry,
    MetadataValue,
)
from dagster._core.storage.event_log import InMemoryEventLogStorage

from daydreaming_dagster.resources import recorder as recorder_module
from daydreaming_dagster.resources.event_rows import Materialization
from daydreaming_dagster.resources.recorder import EventRecorder, FailedMaterialization

from .homes import add_run


@pytest.fixture
def instance(tmp_path: Path) -> DagsterInstance:
    """An instance whose storage knows no batches: what is recorded must not depend on the storage."""
    return DagsterInstance.ephemeral(tempdir=str(tmp_path))


def read_log(instance: DagsterInstance, run_id: str) -> list[EventLogEntry]:
    return [record.event_log_entry for record in instance.get_records_for_run(run_id).records]


def test_a_materialization_is_found_under_its_asset_with_partition_metadata_and_run(instance: DagsterInstance) -> None:
    run = add_run(instance)
    metadata = {"at": MetadataValue.url("http://127.0.0.1/essay"), "n": 3}
    made = Materialization("draft_raw", "a", metadata)
    EventRecorder(instance, run, read_time=lambda: 17.0).record([made])
    event = instance.get_latest_materialization_event(AssetKey("draft_raw"))
    assert event is not None
    assert event.asset_materialization == AssetMaterialization("draft_raw", partition="a", metadata=metadata)
    assert (event.run_id, event.job_name, event.timestamp) == (run.run_id, "bulk", 17.0005)


def test_a_failure_says_in_the_run_log_what_went_wrong(instance: DagsterInstance) -> None:
    run = add_run(instance)
    failed = FailedMaterialization("draft_raw", "a", "Truncated after 4096 tokens.", {"reason": "truncated"})
    EventRecorder(instance, run).record([failed])
    attempt, outcome = read_log(instance, run.run_id)
    assert attempt.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    assert outcome.dagster_event_type == DagsterEventType.ASSET_FAILED_TO_MATERIALIZE
    data = outcome.get_dagster_event().asset_failed_to_materialize_data.asset_materialization_failure
    assert (data.asset_key, data.partition) == (AssetKey("draft_raw"), "a")
    assert data.description == "Truncated after 4096 tokens."
    assert data.metadata == {"reason": MetadataValue.text("truncated")}


def test_records_keep_their_order_and_those_of_one_asset_are_a_millisecond_apart(instance: DagsterInstance) -> None:
    """Two batches at the same instant, the second of which must not fall back behind the first."""
    run = add_run(instance)
    recorder = EventRecorder(instance, run, read_time=lambda: 100.0)
    recorder.record([Materialization("draft_raw", name, {}) for name in "cab"])
    recorder.record([Materialization(asset, "d", {}) for asset in ("draft_raw", "draft_parsed")])
    log = read_log(instance, run.run_id)
    assert [entry.get_dagster_event().partition for entry in log] == ["c", "a", "b", "d", "d"]
    assert [entry.timestamp for entry in log] == [99.9985, 99.9995, 100.0005, 100.0015, 100.0005]


def test_nothing_is_stored_for_an_empty_batch(instance: DagsterInstance) -> None:
    run = add_run(instance)
    EventRecorder(instance, run).record([])
    assert read_log(instance, run.run_id) == []


def test_a_large_batch_is_stored_in_several_transactions(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    store = InMemoryEventLogStorage.store_event_batch

    def note_size(self: InMemoryEventLogStorage, events: list[EventLogEntry]) -> None:
        sizes.append(len(events))
        store(self, events)

    monkeypatch.setattr(InMemoryEventLogStorage, "store_event_batch", note_size)
    monkeypatch.setattr(recorder_module, "EVENTS_PER_TRANSACTION", 4)
    run = add_run(instance)
    EventRecorder(instance, run).record([Materialization("draft_raw", str(i), {}) for i in range(10)])
    assert sizes == [4, 4, 2]
    assert len(read_log(instance, run.run_id)) == 10


def test_what_dagster_was_not_told_before_a_crash_is_found(instance: DagsterInstance) -> None:
    recorder = EventRecorder(instance, add_run(instance))
    recorder.record(
        [
            Materialization("draft_raw", "a", {}),
            Materialization("draft_prompt", "b", {}),
            FailedMaterialization("draft_raw", "c", "Truncated."),
        ]
    )
    assert recorder.find_unrecorded("draft_raw", ["a", "b", "c"]) == {"b", "c"}
    assert recorder.find_unrecorded("draft_parsed", iter(["a"])) == {"a"}
