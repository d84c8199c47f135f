from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.store.outcomes import make_call, make_outcome

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store import files
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.store.journal import Entry, Journal, has_leftovers, recover
from daydreaming_dagster.store.ledger import Amount, Ledger, Limits
from daydreaming_dagster.store.owners import Owner
from daydreaming_dagster.store.paths import DataPaths


@pytest.fixture
def store(tmp_path: Path) -> GenerationStore:
    return GenerationStore(DataPaths(tmp_path / "data"))


@pytest.fixture
def ledger(store: GenerationStore) -> Iterator[Ledger]:
    opened = Ledger(store.paths)
    yield opened
    opened.close()


def test_what_was_appended_is_put_in_place_after_the_process_was_killed(store: GenerationStore, ledger: Ledger) -> None:
    journal = Journal(store.paths, "dead")
    journal.append(Entry(make_call(state="answered", cost_usd=0.1, owner="dead"), make_outcome()))
    journal.leave()
    assert recover(store, ledger) == 1
    assert store.find_parsed(Stage.DRAFT, "d_1") == "A response."
    assert [row.state for row in ledger.find_calls("d_1")] == ["answered"]
    assert not has_leftovers(store.paths)
    assert recover(store, ledger) == 0


def test_an_answer_is_put_in_place_where_the_metadata_of_an_earlier_one_were_damaged(
    store: GenerationStore, ledger: Ledger
) -> None:
    store.write_outcome(make_outcome(text="First.", parsed=None, call_id="call-0"))
    (store.folder(Stage.DRAFT, "d_1") / "raw_metadata.json").write_text("{")
    journal = Journal(store.paths, "dead")
    journal.append(Entry(make_call(state="answered", cost_usd=0.1, owner="dead"), make_outcome()))
    journal.leave()
    assert recover(store, ledger) == 1
    assert store.find_raw(Stage.DRAFT, "d_1") == "A response."
    assert [version.text_path.read_text() for version in store.versions(Stage.DRAFT, "d_1")] == ["First."]


def test_files_of_a_long_run_are_put_in_place_in_the_order_in_which_they_were_written(
    store: GenerationStore, ledger: Ledger
) -> None:
    journal = Journal(store.paths, "dead")
    journal.note(make_call(owner="dead"))
    for _ in range(9):
        journal.turn_over()
        journal.retire()
    journal.turn_over()
    journal.append(Entry(make_call(state="answered", cost_usd=0.1, owner="dead"), make_outcome()))
    journal.leave()
    assert recover(store, ledger) == 1
    assert [(row.state, row.cost_usd) for row in ledger.find_calls("d_1")] == [("answered", 0.1)]


def test_what_was_replaced_since_by_a_newer_response_stays_replaced(store: GenerationStore, ledger: Ledger) -> None:
    journal = Journal(store.paths, "dead")
    older = make_outcome(text="Older.", parsed="Older.", call_id="call-1")
    journal.append(Entry(make_call(state="answered", owner="dead"), older))
    store.write_outcome(older)
    store.write_outcome(make_outcome(text="Newer.", parsed="Newer.", call_id="call-2"))
    journal.leave()
    recover(store, ledger)
    assert store.find_raw(Stage.DRAFT, "d_1") == store.find_parsed(Stage.DRAFT, "d_1") == "Newer."
    assert [version.text_path.read_text() for version in store.versions(Stage.DRAFT, "d_1")] == ["Older."]


def test_what_was_read_anew_since_stays_as_it_was_read(store: GenerationStore, ledger: Ledger) -> None:
    outcome = make_outcome(parsed="As read then.")
    journal = Journal(store.paths, "dead")
    journal.append(Entry(make_call(state="answered", owner="dead"), outcome))
    store.write_outcome(outcome)
    store.write_parsed(Stage.DRAFT, "d_1", "As read now.", {"parser_name": "newer"})
    journal.leave()
    assert recover(store, ledger) == 0
    assert store.find_parsed(Stage.DRAFT, "d_1") == "As read now."
    assert store.find_parsed_metadata(Stage.DRAFT, "d_1") == {"parser_name": "newer"}


def test_what_a_newer_parser_refused_since_stays_refused(store: GenerationStore, ledger: Ledger) -> None:
    outcome = make_outcome()
    journal = Journal(store.paths, "dead")
    journal.append(Entry(make_call(state="answered", owner="dead"), outcome))
    store.write_outcome(outcome)
    store.remove_parsed(Stage.DRAFT, "d_1")
    store.update_raw_metadata(Stage.DRAFT, "d_1", {"failure": {"reason": "parse_failed"}})
    journal.leave()
    recover(store, ledger)
    assert store.find_parsed(Stage.DRAFT, "d_1") is None


def test_a_parsed_text_that_the_kill_prevented_is_written(store: GenerationStore, ledger: Ledger) -> None:
    outcome = make_outcome()
    journal = Journal(store.paths, "dead")
    journal.append(Entry(make_call(state="answered", owner="dead"), outcome))
    store.write_outcome(outcome)
    store.remove_parsed(Stage.DRAFT, "d_1")
    journal.leave()
    assert recover(store, ledger) == 1
    assert store.find_parsed(Stage.DRAFT, "d_1") == "A response."


def test_a_call_that_was_settled_since_is_not_unknown_again(store: GenerationStore, ledger: Ledger) -> None:
    journal = Journal(store.paths, "dead")
    journal.note(make_call(owner="dead"))
    journal.note(make_call("call-2", owner="dead"))
    ledger.record([make_call(state="failed", cost_usd=0.1, ended_at=2.0, owner="dead")])
    journal.leave()
    recover(store, ledger)
    rows = {row.call_id: (row.state, row.cost_usd) for row in ledger.find_calls("d_1")}
    assert rows == {"call-1": ("failed", 0.1), "call-2": ("unknown", None)}
    assert ledger.find_scope("cohort:cohort-1")[1].usd == pytest.approx(0.1 + 0.5)


def test_a_call_without_an_end_becomes_unknown_spend_at_its_worst_case(store: GenerationStore, ledger: Ledger) -> None:
    journal = Journal(store.paths, "dead")
    journal.note(make_call(owner="dead"))
    journal.leave()
    recover(store, ledger)
    (row,) = ledger.find_calls("d_1")
    assert (row.state, row.cost_usd, row.spent.usd) == ("unknown", None, 0.5)
    assert ledger.find_scope("cohort:cohort-1")[1] == Amount(0.5, 100)


def test_the_journal_of_a_living_run_is_left_alone(store: GenerationStore, ledger: Ledger) -> None:
    owner = Owner(store.paths)
    journal = Journal(store.paths, owner.id)
    journal.append(Entry(make_call(), make_outcome()))
    assert recover(store, ledger) == 0
    assert store.find_raw(Stage.DRAFT, "d_1") is None
    journal.leave()
    owner.close()
    assert recover(store, ledger) == 1


def test_recovery_gives_up_what_the_dead_had_claimed_and_leased(store: GenerationStore, ledger: Ledger) -> None:
    ledger.set_limits("run:r", Limits(1.0))
    ledger.claim("dead", [["d_1"]])
    ledger.lease("run:r", "dead", Amount(0.1), Amount(1.0))
    recover(store, ledger)
    assert ledger.claim("other", [["d_1"]]) == ([0], set())
    assert ledger.lease("run:r", "other", Amount(1.0), Amount(1.0)) == Amount(1.0, 0)


@given(cut=st.integers(2, 400))
def test_a_line_that_was_cut_off_spoils_no_other(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = GenerationStore(DataPaths(tmp_path_factory.mktemp("root")))
    journal = Journal(store.paths, "dead")
    journal.append(Entry(make_call("call-1"), make_outcome("d_1")))
    journal.append(Entry(make_call("call-2"), make_outcome("d_2", call_id="call-2")))
    journal.leave()
    (path,) = store.paths.journal.glob("*.jsonl")
    size = path.stat().st_size
    os.truncate(path, max(size // 2 + 1, size - cut))
    ledger = Ledger(store.paths)
    assert recover(store, ledger) == 1
    ledger.close()
    assert store.find_raw(Stage.DRAFT, "d_1") == "A response."


def test_a_retired_journal_carries_over_the_calls_still_under_way(store: GenerationStore, ledger: Ledger) -> None:
    journal = Journal(store.paths, "dead")
    journal.note(make_call("call-1"))
    journal.note(make_call("call-2"))
    journal.append(Entry(make_call("call-1", state="answered"), make_outcome()))
    journal.turn_over()
    journal.retire()
    journal.leave()
    recover(store, ledger)
    assert [row.call_id for row in ledger.find_calls("d_1")] == ["call-2"]


def test_what_is_appended_after_the_file_was_turned_over_outlives_it(store: GenerationStore, ledger: Ledger) -> None:
    journal = Journal(store.paths, "dead")
    journal.append(Entry(make_call("call-1", state="answered"), make_outcome("d_1")))
    assert journal.turn_over() == 1
    journal.append(Entry(make_call("call-2", state="answered"), make_outcome("d_2", call_id="call-2")))
    journal.retire()
    journal.leave()
    assert recover(store, ledger) == 1
    assert store.find_raw(Stage.DRAFT, "d_1") is None, "the caller had said that it was in place"
    assert store.find_raw(Stage.DRAFT, "d_2") == "A response."


def test_a_retired_journal_leaves_nothing_behind(store: GenerationStore) -> None:
    journal = Journal(store.paths, "owner")
    journal.append(Entry(make_call(), make_outcome()))
    journal.turn_over()
    journal.retire()
    assert list(store.paths.journal.iterdir()) == []


def test_a_full_disk_still_takes_what_is_under_way(store: GenerationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(store.paths, "owner")
    journal.append(Entry(make_call(), make_outcome()))
    real, full = files.write_all, [True]

    def write_all(handle: int, content: bytes) -> None:
        if full and not any(store.paths.journal.glob("*.reserve")):
            full.clear()  # the reserve was given up
        if full:
            real(handle, content[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle, content)

    monkeypatch.setattr(files, "write_all", write_all)
    journal.append(Entry(make_call("call-2"), make_outcome("d_2", call_id="call-2")))
    journal.leave()
    (path,) = store.paths.journal.glob("*.jsonl")
    assert len(path.read_bytes().splitlines()) == 2, "nothing of the refused write is left"


def test_a_disk_that_takes_nothing_is_told_and_leaves_no_half_line(
    store: GenerationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(store.paths, "owner")
    journal.append(Entry(make_call(), make_outcome()))
    (path,) = store.paths.journal.glob("*.jsonl")
    before = path.read_bytes()
    real = files.write_all

    def write_all(handle: int, content: bytes) -> None:
        real(handle, content[:10])
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files, "write_all", write_all)
    with pytest.raises(StoreError, match="input/output error"):
        journal.note(make_call("call-2"))
    assert path.read_bytes() == before
    journal.leave()
