from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance, EventLogEntry, MetadataValue
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from daydreaming_dagster.resources.event_log import BatchedSqliteEventLogStorage
from daydreaming_dagster.resources.event_rows import EventRow, Materialization, RowTemplates
from daydreaming_dagster.resources.recorder import EventRecorder

from .homes import BATCHED, add_run, open_home

texts = st.text(max_size=30)
shown = st.one_of(texts.map(MetadataValue.url), texts.map(MetadataValue.md), texts.map(MetadataValue.path))
facts = st.one_of(texts, st.integers(), st.floats(), st.booleans(), shown)
metadata = st.dictionaries(st.text(min_size=1, max_size=10), facts, max_size=5)
times = st.integers(0, 4_000_000_000_000).map(lambda ms: (ms + 0.5) / 1000)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterInstance]:
    with open_home(tmp_path_factory.mktemp("home"), BATCHED) as opened:
        yield opened


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(several=st.lists(st.tuples(texts.filter(len), metadata, times), min_size=1, max_size=4))
@example(several=[('d_"1"\\\n', {"cost": 1e-9, "n": 10**18, "said": "„ä“ \ud83d"}, 17.0005)])
@example(
    several=[("d_1", {"a": 1, "b": 2, "c": 1.0, "d": 1.0}, 0.0005), ("d_1", {"a": 2, "b": 1, "c": 0.0, "d": -0.0}, 1.0)]
)
def test_a_filled_template_is_what_dagster_would_have_written(
    instance: DagsterInstance, several: list[tuple[str, dict[str, Any], float]]
) -> None:
    """Each shape of metadata meets its template at least twice."""
    storage = instance.event_log_storage
    assert isinstance(storage, BatchedSqliteEventLogStorage)
    recorder = EventRecorder(instance, add_run(instance))
    templates = RowTemplates(recorder._build_entry)
    for partition, values, at in several * 2:
        made = Materialization("draft_raw", partition, values)
        entry = recorder._build_entry(made, at)
        built = templates.build(made, at, storage.build_row)
        assert built.row == storage.build_row(entry).row
        assert repr(built.build_entry()) == repr(entry)


def test_a_template_is_used_for_everything_that_a_run_tells(instance: DagsterInstance) -> None:
    """Else the test above would compare Dagster with itself."""
    storage = instance.event_log_storage
    assert isinstance(storage, BatchedSqliteEventLogStorage)
    serialized = []

    def build_row(entry: EventLogEntry) -> EventRow:
        serialized.append(entry)
        return storage.build_row(entry)

    templates = RowTemplates(EventRecorder(instance, add_run(instance))._build_entry)
    for number in range(5):
        values = {
            "text": f"{number}",
            "n": number,
            "usd": number / 3,
            "explorer": MetadataValue.url(f"http://x/{number}"),
        }
        templates.build(Materialization("draft_raw", f"d_{number}", values), 17.0 + number, build_row)
    assert len(serialized) == 1


def test_dagster_finds_what_was_filled_in(tmp_path: Path) -> None:
    with open_home(tmp_path, BATCHED) as instance:
        run = add_run(instance)
        made = [Materialization("draft_raw", name, {"n": number}) for number, name in enumerate("abc")]
        EventRecorder(instance, run, read_time=lambda: 17.0).record(made)
        key = AssetKey("draft_raw")
        assert instance.get_materialized_partitions(key) == {"a", "b", "c"}
        latest = instance.get_latest_materialization_event(key)
        assert latest is not None
        assert latest.asset_materialization == AssetMaterialization(key, partition="c", metadata={"n": 2})
        assert (latest.run_id, latest.timestamp) == (run.run_id, 17.0005)
        assert len(instance.get_records_for_run(run.run_id).records) == 3
