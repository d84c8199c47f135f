from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.store.outcomes import make_outcome

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.resources.event_rows import Materialization
from daydreaming_dagster.resources.outcome_recorder import OutcomeRecorder, Stored, build_records
from daydreaming_dagster.resources.recorder import FailedMaterialization, Record
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.store.paths import DataPaths

FAILURE = {"reason": "truncated", "message": "Cut off.", "code": "", "lasting": True}


class RememberingRecorder:
    """Stands in for the event log."""

    def __init__(self, known: set[str] | None = None, error: Exception | None = None) -> None:
        self.records: list[Record] = []
        self.known = known or set()
        self.error = error

    def record(self, batch: Sequence[Record]) -> None:
        if self.error is not None:
            raise self.error
        self.records.extend(batch)

    def find_unrecorded(self, asset_key: str, partitions: Sequence[str]) -> set[str]:
        return set(partitions) - self.known


def names(records: Sequence[Record]) -> list[tuple[str, str | None]]:
    return [(str(record.asset_key), record.partition) for record in records]


def test_a_finished_generation_is_three_materializations_with_what_it_cost() -> None:
    outcome = make_outcome(cost_usd=0.5, usage={"prompt_tokens": 3, "completion_tokens": 4})
    records = list(build_records(Stored.of_outcome(outcome)))
    assert names(records) == [("draft_prompt", "d_1"), ("draft_raw", "d_1"), ("draft_parsed", "d_1")]
    raw = records[1]
    assert isinstance(raw, Materialization)
    assert raw.metadata["cost_usd"] == 0.5


def test_an_unusable_answer_is_a_failure_of_parsing_and_a_silent_call_one_of_asking() -> None:
    cut = list(build_records(Stored.of_outcome(make_outcome(parsed=None, failure=FAILURE))))
    assert names(cut)[-1] == ("draft_parsed", "d_1")
    assert isinstance(cut[-1], FailedMaterialization)
    silent = list(build_records(Stored.of_outcome(make_outcome(text=None, parsed=None, failure=FAILURE))))
    assert names(silent) == [("draft_prompt", "d_1"), ("draft_raw", "d_1")]
    assert isinstance(silent[-1], FailedMaterialization)


def test_everything_is_recorded_in_order_when_the_context_is_left() -> None:
    fake = RememberingRecorder()
    with OutcomeRecorder(fake) as recorder:  # type: ignore[arg-type]
        for number in range(1000):
            recorder.record([make_outcome(f"d_{number}")])
    assert [partition for name, partition in names(fake.records) if name == "draft_raw"] == [
        f"d_{number}" for number in range(1000)
    ]


def test_an_error_of_dagsters_storage_is_raised_at_the_end_and_not_before() -> None:
    fake = RememberingRecorder(error=OSError("the event log is gone"))
    with pytest.raises(OSError, match="event log is gone"), OutcomeRecorder(fake) as recorder:  # type: ignore[arg-type]
        recorder.record([make_outcome()])
        recorder.record([make_outcome("d_2")])


def test_what_dagster_missed_is_read_from_the_store_and_told(tmp_path: Path) -> None:
    store = GenerationStore(DataPaths(tmp_path))
    for gen_id in ("d_1", "d_2", "d_3"):
        store.write_outcome(make_outcome(gen_id))
    fake = RememberingRecorder(known={"d_2"})
    with OutcomeRecorder(fake) as recorder:  # type: ignore[arg-type]
        assert recorder.record_missed(store, {Stage.DRAFT: ["d_1", "d_2", "d_3"]}) == 2
    assert [partition for name, partition in names(fake.records) if name == "draft_parsed"] == ["d_1", "d_3"]
