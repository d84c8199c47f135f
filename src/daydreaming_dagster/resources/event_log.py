"""Dagster's event log on SQLite, with batches that cost two transactions instead of two connections an event.

Owns how events get into the SQLite files below DAGSTER_HOME. Reading them, the tables and the migrations stay
Dagster's: a home written by these classes can be opened with the stock ones and the other way round.

The private imports are those of the class that is extended; `tests/dagster/test_event_log.py` fails when a new version
of Dagster moves or changes one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from dagster import AssetKey, DagsterEventType, EventLogEntry
from dagster._core.event_api import AssetRecordsFilter, EventRecordsResult
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetKeyTable, SqlEventLogStorageTable
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from filelock import FileLock
from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import OperationalError

from daydreaming_dagster.resources.event_rows import EventRow

BATCHED_EVENTS = frozenset(
    {
        DagsterEventType.ASSET_MATERIALIZATION,
        DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
        DagsterEventType.ASSET_OBSERVATION,
        DagsterEventType.ASSET_FAILED_TO_MATERIALIZE,
    }
)
# SQLite itself waits half a minute for another writer; only a machine under heavy load needs a second wait.
LOCK_ATTEMPTS = 4


class BatchedSqliteEventLogStorage(SqliteEventLogStorage):
    """The stock SQLite event log, which stores a batch of asset events as quickly as one event.

    Every event lies in two files: that of its run, which the run's page reads, and the index across runs, which the
    assets' pages read. A batch is one transaction in each. The index comes first: it is the file for which processes
    compete, and when it refuses a batch, nothing of the batch is stored, so that Dagster's way out (storing the events
    one by one) makes no event appear twice.
    """

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> BatchedSqliteEventLogStorage:
        """Build what `dagster.yaml` names; the inherited method would build the parent class."""
        return cls(inst_data=inst_data, **config_value)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events in their order; those of other kinds than `BATCHED_EVENTS` one by one, as Dagster does."""
        for (run_id, batched), group in groupby(events, key=lambda event: (event.run_id, _is_batched(event))):
            if batched:
                self.store_rows(run_id, [self.build_row(event) for event in group])
            else:
                for event in group:
                    self.store_event(event)

    def build_row(self, event: EventLogEntry) -> EventRow:
        """The row of the event table that holds an asset event."""
        return EventRow(self._event_to_row(event), lambda: event, has_tags=True)

    def store_rows(self, run_id: str, events: Sequence[EventRow]) -> None:
        """Store asset events of one run in their order."""
        rows = [event.row for event in events]
        _retry_while_locked(lambda: self._store_in_index(events, rows))
        _retry_while_locked(lambda: self._store_in_run(run_id, rows))

    def fetch_failed_materializations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """The failures stored for an asset, newest first unless `ascending`; the parent class always finds none."""
        if isinstance(records_filter, AssetKey):
            records_filter = AssetRecordsFilter(asset_key=records_filter)
        event_filter = records_filter.to_event_records_filter(
            event_type=DagsterEventType.ASSET_FAILED_TO_MATERIALIZE, cursor=cursor, ascending=ascending
        )
        result: EventRecordsResult = self._get_event_records_result(event_filter, limit, cursor, ascending)
        return result

    def _store_in_index(self, events: Sequence[EventRow], rows: Sequence[Mapping[str, Any]]) -> None:
        with self.index_transaction() as connection:
            event_ids = _insert_events(connection, rows)
            tagged = {
                event_id: event.build_entry()
                for event_id, event in zip(event_ids, events, strict=True)
                if event.has_tags
            }
            self._store_asset_event_tags(connection, list(tagged.values()), list(tagged))
            with_index_columns = self._has_asset_key_index_cols_on_connection(connection)
            for asset_key, values in self._asset_rows(events, event_ids, with_index_columns):
                statement = insert(AssetKeyTable).values(asset_key=asset_key, **values)
                connection.execute(statement.on_conflict_do_update(index_elements=["asset_key"], set_=values))

    def _store_in_run(self, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        with self.run_connection(run_id) as connection:
            _insert_events(connection, rows)

    def _asset_rows(
        self, events: Sequence[EventRow], event_ids: Sequence[int], with_index_columns: bool
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The asset key and what its row says after these events, as if they had been stored one after another.

        Of the events of one kind only an asset's last one leaves a trace in its row, and to serialize an event is what
        costs: so the others are not looked at.
        """
        last: dict[tuple[str, str], tuple[EventRow, int]] = {}
        for event, event_id in zip(events, event_ids, strict=True):
            place = (event.row["asset_key"], event.row["dagster_event_type"])
            last.pop(place, None)  # so that the order of the dictionary is that of the events that count
            last[place] = (event, event_id)
        values: dict[str, dict[str, Any]] = {}
        for (asset_key, _), (event, event_id) in last.items():
            found = self._get_asset_entry_values(event.build_entry(), event_id, with_index_columns)
            values.setdefault(asset_key, {}).update(found)
        return ((asset_key, row) for asset_key, row in values.items() if row)


class BatchedSqliteStorage(DagsterSqliteStorage):
    """The stock storage of runs, schedules and events in one folder, but with the event log above.

    `dagster.yaml` names it. Processes open it one after the other: of two that make the tables of a new home at the
    same time, Dagster's own code lets one fail, and may leave a home behind that nobody can open any more.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        with FileLock(Path(base_dir, "opening.lock")):
            super().__init__(base_dir, inst_data)
            self._event_log_storage = BatchedSqliteEventLogStorage(str(Path(base_dir, "history", "runs")))

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> BatchedSqliteStorage:
        """Build what `dagster.yaml` names, in a folder that may start with `~` as DAGSTER_HOME may."""
        return cls.from_local(str(Path(config_value["base_dir"]).expanduser()), inst_data)


def _is_batched(event: EventLogEntry) -> bool:
    return event.is_dagster_event and event.dagster_event_type in BATCHED_EVENTS


def _insert_events(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> range:
    """Insert rows of the event table; their ids, in the rows' order.

    SQLite numbers the rows of one transaction without gaps, because no other connection can write in between.
    """
    connection.execute(SqlEventLogStorageTable.insert(), rows)
    last_id: int = connection.execute(select(func.max(SqlEventLogStorageTable.c.id))).scalar_one()
    return range(last_id - len(rows) + 1, last_id + 1)


def _retry_while_locked(store: Callable[[], None]) -> None:
    """Call `store`, again while other processes write; each try waits for them as long as Dagster's connections do."""
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            store()
            return
        except OperationalError as error:
            if "database is locked" not in str(error) or attempt == LOCK_ATTEMPTS:
                raise
