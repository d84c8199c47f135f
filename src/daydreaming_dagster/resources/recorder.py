"""Tells Dagster what a bulk run has made and what failed, in batches.

Owns the translation into Dagster's events. What is recorded, and that it is on disk by then, is the caller's affair.
`record` takes the event log's lock and waits for the disk: call it from a thread beside an event loop, not in it.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    EventLogEntry,
)
from dagster._core.definitions.events import (
    AssetMaterializationFailure,
    AssetMaterializationFailureReason,
    AssetMaterializationFailureType,
)
from dagster._core.events import AssetMaterializationPlannedData, StepMaterializationData

from daydreaming_dagster.resources.event_log import BatchedSqliteEventLogStorage
from daydreaming_dagster.resources.event_rows import Materialization, RowTemplates

# More events in one transaction gain nothing, and keep other writers out for longer.
EVENTS_PER_TRANSACTION = 1000


@dataclass(frozen=True, slots=True)
class FailedMaterialization:
    """A partition of an asset that could not be made.

    Attributes:
        asset_key: name of the asset, such as `draft_raw`.
        partition: the generation's id.
        description: what went wrong and what to do about it, for the run's log and the asset's page.
        metadata: anything that `MetadataValue` takes, shown beside the description.
    """

    asset_key: str
    partition: str
    description: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


Record = Materialization | FailedMaterialization
_Event = Materialization | DagsterEvent


class EventRecorder:
    """Writes records into the event log of one run, with whatever storage the instance has.

    The events belong to the run, not to one of its steps: Dagster's run page reads every event of every step anew to
    draw its timeline, which takes seconds when there are ten thousand of them.
    """

    def __init__(
        self, instance: DagsterInstance, run: DagsterRun, *, read_time: Callable[[], float] = time.time
    ) -> None:
        self._instance = instance
        self._run = run
        self._read_time = read_time
        self._last_ms: dict[str, int] = {}
        self._templates = RowTemplates(self._build_entry)

    def record(self, batch: Sequence[Record]) -> None:
        """Store all records of the batch, in its order; returns when the event log has them.

        A failed partition is shown as in progress while the run lasts, and as failed once the run has ended in failure:
        in an event log that is what an attempt without a materialization means.
        """
        events = [event for record in batch for event in self._build_events(record)]
        dated = list(zip(events, self._date(events), strict=True))
        for start in range(0, len(dated), EVENTS_PER_TRANSACTION):
            self._store(dated[start : start + EVENTS_PER_TRANSACTION])

    def find_unrecorded(self, asset_key: str, partitions: Iterable[str]) -> set[str]:
        """Those of the partitions that Dagster has no materialization of, for instance after a crash."""
        return set(partitions) - self._instance.get_materialized_partitions(AssetKey(asset_key))

    def find_unattempted(self, asset_key: str, partitions: Iterable[str]) -> set[str]:
        """Those of the partitions of which Dagster knows neither a materialization nor a failed attempt."""
        storage, key = self._instance.event_log_storage, AssetKey(asset_key)
        failed = storage.get_latest_asset_partition_materialization_attempts_without_materializations(key)
        return self.find_unrecorded(asset_key, partitions) - failed.keys()

    def _store(self, events: Sequence[tuple[_Event, float]]) -> None:
        storage = self._instance.event_log_storage
        if not isinstance(storage, BatchedSqliteEventLogStorage):
            storage.store_event_batch([self._build_entry(event, at) for event, at in events])
            return
        storage.store_rows(
            self._run.run_id,
            [
                self._templates.build(event, at, storage.build_row)
                if isinstance(event, Materialization)
                else storage.build_row(self._build_entry(event, at))
                for event, at in events
            ],
        )

    def _build_events(self, record: Record) -> Iterator[_Event]:
        job_name = self._run.job_name
        if isinstance(record, Materialization):
            yield record  # most of all: only the storage knows whether more has to be built
            return
        asset_key = AssetKey(record.asset_key)
        yield DagsterEvent(
            event_type_value=DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value,
            job_name=job_name,
            message=f"Tried to materialize {record.asset_key}.",
            event_specific_data=AssetMaterializationPlannedData(asset_key, partition=record.partition),
        )
        yield DagsterEvent.build_asset_failed_to_materialize_event(
            job_name,
            None,
            AssetMaterializationFailure(
                asset_key=asset_key,
                partition=record.partition,
                description=record.description,
                metadata=record.metadata,
                failure_type=AssetMaterializationFailureType.FAILED,
                reason=AssetMaterializationFailureReason.FAILED_TO_MATERIALIZE,
            ),
        )

    def _date(self, events: Sequence[_Event]) -> Iterator[float]:
        """When each event happened: all by now, and those of one asset a millisecond apart.

        The page of an asset takes events of the same millisecond for one event and shows the last of them only.
        """
        now_ms = int(self._read_time() * 1000)
        left = Counter(_asset_name(event) for event in events)
        for event in events:
            asset = _asset_name(event)
            left[asset] -= 1
            self._last_ms[asset] = max(now_ms - left[asset], self._last_ms.get(asset, 0) + 1)
            # Half a millisecond keeps the fraction clear of the border at which Dagster cuts it off.
            yield (self._last_ms[asset] + 0.5) / 1000

    def _build_entry(self, event: _Event, at: float) -> EventLogEntry:
        if isinstance(event, Materialization):
            made = AssetMaterialization(event.asset_key, partition=event.partition, metadata=event.metadata)
            event = DagsterEvent(
                event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
                job_name=self._run.job_name,
                message=f"Materialized {made.label}.",
                event_specific_data=StepMaterializationData(made),
            )
        failed = event.event_type == DagsterEventType.ASSET_FAILED_TO_MATERIALIZE
        return EventLogEntry(  # type: ignore[no-untyped-call]
            error_info=None,
            level=logging.ERROR if failed else logging.DEBUG,
            user_message="",
            run_id=self._run.run_id,
            timestamp=at,
            job_name=event.job_name,
            dagster_event=event,
        )


def _asset_name(event: _Event) -> str:
    if isinstance(event, Materialization):
        return event.asset_key
    return "" if event.asset_key is None else event.asset_key.to_user_string()
